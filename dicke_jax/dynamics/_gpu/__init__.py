"""What knows of CUDA; nothing else does. See README.md in this folder."""

from .chunks import way_of as way_of
from .device import gpu_kernel_state as gpu_kernel_state
from .device import use_gpu_kernel as use_gpu_kernel
