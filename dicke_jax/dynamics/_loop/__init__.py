"""What knows of diffrax's loop and of XLA's CPU backend; nothing else does. See README.md in this folder."""

from .kernel import as_fast_as_known as as_fast_as_known
from .kernel import as_small_as_known as as_small_as_known
from .kernel import compiler_flags as compiler_flags
from .kernel import kernel_state as kernel_state
from .kernel import use_cpu_kernel as use_cpu_kernel
from .replay_adjoint import ReplayAdjoint as ReplayAdjoint
from .saved_times import without_times as without_times
