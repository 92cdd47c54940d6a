"""How much of the work is done: in full, or just enough to see that it runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    batch: int = 512
    few: int = 4  # for what runs one trajectory after another
    checked: int = 64  # trajectories with a reference
    end: float = 100.0
    rounds: int = 7
    batches: tuple[int, ...] = (100, 1_000, 10_000)
    batches_elsewhere: tuple[int, ...] = (100, 1_000, 10_000, 100_000, 1_000_000)  # than on a CPU
    scaled: tuple[str, ...] = ("solve_ensemble, 1e-10", "mfsolve), 1e-10", "mfsolve), Dopri8", "Tsit5")
    longest: float = 8.0  # seconds that one run of a scaling may take
    patterns: tuple[int, ...] = (4, 8, 12, 16)  # the first is that of all but the roofline
    gradient_batch: int = 64
    gradient_end: float = 20.0
    memory_batches: tuple[int, ...] = (512, 10_240)
    stability_patterns: int = 12
    restarts: int = 64  # of a fit
    stream: int = 2**25  # numbers in an array that no cache holds
    leave_out: tuple[str, ...] = ()  # modes whose name holds one of these


QUICK = Size(
    batch=16,
    few=1,
    end=5.0,
    rounds=1,
    batches=(16,),
    batches_elsewhere=(16,),
    scaled=("solve_ensemble, 1e-10",),
    patterns=(2,),
    gradient_batch=4,
    gradient_end=2.0,
    memory_batches=(16,),
    stability_patterns=4,
    restarts=2,
    stream=2**22,
    leave_out=(
        "1e-11",
        "1e-12",
        "1 device",
        "ensemble, Dopri8",
        "Tsit5",
        "grad,",
        "transition",
        "vmap(mfsolve), 1e-10",
        "vmapped",
        "jvp, ForwardMode",
        "jax.",
        "mfsolve, ForwardMode",
        "steadystate",
        "states, M",
        "time traces",
        "located",
        "warm",
    ),
)
