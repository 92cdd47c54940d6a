"""What the commands of `dicke-jax` do: the work of `studies`, pictures and tables of it, files."""

import argparse
import contextlib
import hashlib
import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from . import DickeModel


def run_transition(options: argparse.Namespace) -> int:
    out = _writable_folder(options.out)
    _set_up_jax(options)
    import jax.numpy as jnp
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from .plotting import plot_transition
    from .studies import retrieval_transition, save_results

    _check_scan("--g0", options.g0_min, options.g0_max, options.points)
    model = _model(options)
    with _Progress(options.quiet) as progress:
        results = retrieval_transition(
            model,
            jnp.linspace(options.g0_min, options.g0_max, options.points),
            tol=options.tol,
            max_time=options.max_time,
            reduce=options.reduce,
            progress=progress,
        )
    _print_table(results)
    if options.reduce:
        print(results.attrs["symmetry_reduction"])
    data = save_results(results, out / "transition.nc")
    plot_transition(results)
    picture = out / "transition.png"
    plt.savefig(picture, dpi=160)
    plt.close("all")
    print(f"wrote {picture} and {data}")
    return 0


def run_critical(options: argparse.Namespace) -> int:
    _set_up_jax(options)
    from dataclasses import replace

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from . import LocalDissipation, critical_coupling

    model = _model(options)
    if options.decay:
        model = replace(model, dissipation=LocalDissipation([("decay_x", options.decay)]))
    table = Table(box=box.SIMPLE_HEAD, title="Critical couplings g0", title_justify="left")
    for heading in ("pattern", "exists above", "stable above"):
        table.add_column(heading, justify="right", no_wrap=True)
    for nu in range(model.num_modes):
        values = [float(critical_coupling(model, nu, kind=kind)) for kind in ("existence", "stability")]
        table.add_row(str(nu + 1), *("never" if value == float("inf") else f"{value:.8f}" for value in values))
    Console().print(table)
    print(f"The normal state is stable below {float(critical_coupling(model, kind='normal')):.8f}.")
    return 0


def run_phases(options: argparse.Namespace) -> int:
    out = _writable_folder(options.out)
    _set_up_jax(options)
    import jax
    import matplotlib
    import numpy as np

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from .plotting import plot_phases
    from .studies import phase_diagram, save_results

    _check_scan("--g0", options.g0_min, options.g0_max, options.points)
    _check_scan("--omega", options.omega_min, options.omega_max, options.points)
    model = _model(options)
    if not 1 <= options.mode <= model.num_modes:
        raise ValueError(f"--mode must be from 1 to {model.num_modes}; got {options.mode}.")
    x = "g0", np.linspace(options.g0_min, options.g0_max, options.points)
    y = ("omega_mode", options.mode - 1), np.linspace(options.omega_min, options.omega_max, options.points)
    with _Progress(options.quiet) as progress:
        results = phase_diagram(model, jax.random.key(options.seed), x, y, progress=progress)
    data = save_results(results, out / "phases.nc")
    plot_phases(results)
    picture = out / "phases.png"
    plt.savefig(picture, dpi=160)
    plt.close("all")
    missing = int((~results.complete).sum())
    print(f"{results.complete.size} points, {missing} of them with searches that may have missed states")
    print(f"wrote {picture} and {data}")
    return 0


def run_exactness(options: argparse.Namespace) -> int:
    out = _writable_folder(options.out)
    _set_up_jax(options)
    from dataclasses import replace

    import jax
    import jax.numpy as jnp
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from . import tilted_pattern
    from .plotting import plot_exactness
    from .studies import mean_field_exactness, save_results

    model = _model(options)
    model = replace(model, g0=jnp.asarray(options.g0, model.dtype))
    state = tilted_pattern(jax.random.key(options.seed), model, 0, angle=options.angle)
    with _Progress(options.quiet) as progress:
        results = mean_field_exactness(
            model,
            state,
            jnp.linspace(0.0, options.end, 41),
            exact_sizes=options.exact,
            levels=options.levels,
            num_samples=options.samples,
            key=jax.random.key(options.seed),
            progress=progress,
        )
    data = save_results(results, out / "exactness.nc")
    plot_exactness(results)
    picture = out / "exactness.png"
    plt.savefig(picture, dpi=160)
    plt.close("all")
    end = results.isel(time=-1)
    for route in ("exact", "sampled"):
        power, error = float(end[f"exponent_{route}"]), float(end[f"exponent_{route}_se"])
        print(f"E_N(t = {options.end:g}) falls like N^({power:.3f} +- {error:.3f}), {route}")
    cut = [int(n) for n in results.N_exact.values[results.status.values != 0]]
    if cut:
        print(f"not to be trusted, for lack of photon levels or a failed run: N = {cut}")
    print(f"wrote {picture} and {data}")
    return 0


def _check_scan(name: str, low: float, high: float, points: int) -> None:
    if points < 1:
        raise ValueError(f"--points must be at least 1; got {points}.")
    if not low < high:
        raise ValueError(f"{name}-min must be below {name}-max; got {low} and {high}.")


def _set_up_jax(options: argparse.Namespace) -> None:
    import jax

    jax.config.update("jax_enable_x64", options.precision == "float64")
    if options.own_process:
        flags = os.environ.get("XLA_FLAGS", "")
        if "xla_backend_extra_options" not in flags:  # loops over a few spins then stay loops, which vectors can take
            os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_extra_options=xla_cpu_disable_loop_unrolling".strip()
        if jax.config.jax_num_cpu_devices < 1 and "device_count" not in flags:  # pyright: ignore[reportAttributeAccessIssue]
            jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]
        folder = _compilation_cache()
        with contextlib.suppress(OSError):  # without a folder to write to a command compiles every time
            folder.mkdir(parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _compilation_cache() -> Path:
    """Where compiled programs stay between commands: a folder for each kind of processor, whose instructions they use.

    A home folder shared by different machines would otherwise offer each the programs of the other.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        processor = platform.node()
    return caches / "dicke-jax" / hashlib.sha256(f"{platform.machine()} {processor}".encode()).hexdigest()[:16]


def _model(options: argparse.Namespace) -> "DickeModel":
    import jax
    import jax.numpy as jnp

    from . import DickeModel, LargeSpins, map_to_large_spins, random_patterns

    num_patterns = options.patterns
    if num_patterns is None:
        num_patterns = len(options.omega_mode) if options.omega_mode else 4
    omega_mode = options.omega_mode or [options.omega_spin * (mu + 3) for mu in range(num_patterns)]
    if options.num_spins is None:
        spins = LargeSpins.hypercube(num_patterns)
    else:
        spins = map_to_large_spins(random_patterns(jax.random.key(options.seed), num_patterns, options.num_spins)).spins
    kappa = options.kappa[0] if len(options.kappa) == 1 else jnp.array(options.kappa)
    return DickeModel(spins, options.omega_spin, jnp.array(omega_mode), kappa, g0=1.0)


def _writable_folder(folder: Path) -> Path:
    """Make the folder and write to it, before any work is done for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise ValueError(
            f"--out must be a folder that can be written; got {folder} ({os.strerror(error.errno or 0)})."
        ) from None


class _Progress:
    """A bar on stderr with the time left."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        self.bar = Progress(*columns, *times, console=Console(stderr=True), disable=quiet)
        self.task = self.bar.add_task("compiling", total=None)

    def __enter__(self) -> "_Progress":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, done: int, total: int) -> None:
        self.bar.update(self.task, completed=done, total=total, description="runs" if done else "compiling")


def _print_table(results: "xr.Dataset") -> None:
    import numpy as np
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title="Thresholds, and |simulation - theory| of the overlap", title_justify="left"
    )
    for heading in ("pattern", "g_crit", "estimate", "enclosed by", "max error", "not converged"):
        table.add_column(heading, justify="right", no_wrap=True)
    for nu in range(results.sizes["pattern"]):
        row = results.isel(pattern=nu)
        seen = bool(np.isfinite(row.g_lower))
        table.add_row(
            str(nu + 1),
            f"{float(row.g_crit):.6f}",
            f"{float(row.g_estimate):.6f}" if np.isfinite(row.g_estimate) else "-",
            f"{float(row.g_lower):.4f} .. {float(row.g_upper):.4f}" if seen else "outside",
            f"{float(abs(row.overlap - row.overlap_theory).max()):.1e}",
            f"{int((row.status != 0).sum())} of {row.sizes['g0']}",
        )
    Console().print(table)
