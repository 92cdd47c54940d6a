"""The retrieval transition, Fig. 3 of the paper: stationary overlaps and photons against the coupling."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from .._checks import as_float, check_finite, check_real, check_shape, refuse, told
from .._door import checked
from .._status import Status
from .._typing import ArrayLike
from ..couplings import LargeSpins
from ..dynamics import check_reaches_steady
from ..dynamics.steady_state import check_ends
from ..mean_field import DickeModel, SymmetryReduction, reduce_symmetry, stored_pattern
from ..phases import critical_coupling, retrieval_overlap
from .results import Progress, origin_of, provenance
from .sweeps import Sweep

RETRIEVED = 0.05  # |xi| from which on a simulated point counts as retrieved
CURVE_POINTS = 400  # of the theory's lines between the simulated couplings
CHUNK = 32  # rows between two signs of progress
OF_MODES, OF_RUNS = ("overlap", "occupation", "fluctuation"), ("status", "residual", "time", "num_steps")


@checked
def retrieval_transition(
    model: DickeModel,
    g0: ArrayLike,
    *,
    tol: float | None = None,
    max_time: float | None = None,
    reduce: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """For every pattern nu, from xi_nu = 1: the stationary |xi_nu| and occupation of mode nu against g0.

    Beside the simulation stands the theory of the thermodynamic limit,

        |xi_nu|^2 = 1 - (g_nu / g0)^4,   |alpha_nu|^2 = g0^2 xi_nu^2 / (Omega_nu^2 + kappa_nu^2 / 4)

    (paper, Eq. 12 and Fig. 3), and beside its g_crit the threshold that the simulated points show by themselves.

    With `LargeSpins.hypercube` a run from xi_nu = 1 stays exactly in the subspace of pattern nu. It shows that the
    retrieval state exists, not that it is stable against an admixture of another pattern. Spins mapped from a finite
    sample of patterns have such an admixture: there an easier pattern can take over shortly above g_nu, and the points
    leave the theory.

    **Arguments**

    - `model`: rates and couplings; its own g0 is not used.
    - `g0`: (G,), the increasing couplings to scan.
    - `tol`, `max_time`: as in `steadystate`, but with a time limit of 10^6 / min kappa: far above threshold the
      relaxation rate falls like g0^-8. For a finite sample it is 10^4 / min kappa, since its spin waves that hardly any
      mode sees would use up any time.
    - `reduce`: run the smaller model of `reduce_symmetry`, for the hypercube one spin and one mode instead of all: the
      same points, sooner. The attribute `symmetry_reduction` of the result says so.
    - `progress`: called with the numbers of finished rows and of all rows.

    **Returns** a dataset with dimensions pattern (from 0) and g0: `overlap`, `occupation` (photons per spin), both
    also as `..._theory` (and on a fine grid of their own as `..._curve`), `fluctuation` of the overlap in time,
    `other_overlap` (the largest with another pattern), `status`, `residual`, `time`, `num_steps`; and for each
    pattern `g_crit`, `g_estimate` with `g_lower` and `g_upper`, the two simulated couplings that enclose the threshold.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=2)
        >>> found = dj.studies.retrieval_transition(model, [0.5, 0.8, 1.1], reduce=True)
        >>> print(found.overlap.values.round(3), found.g_crit.values.round(4))
        [[0.    0.759 0.939]
         [0.    0.558 0.898]] [0.6455 0.7289]
    """
    values = as_float(g0).astype(model.dtype)
    if values.ndim != 1 or values.size < 1:
        refuse("g0", "a one-dimensional array of couplings", f"shape {values.shape}")
    check_finite("g0", values)
    check_reaches_steady(model)
    check_ends(model, tol, max_time)
    if not np.all(np.diff(np.asarray(values)) > 0):
        refuse("g0", "strictly increasing", "couplings that are not")
    if max_time is None:
        max_time = (1e6 if model.spins.num_spins is None else 1e4) / float(jnp.min(model.kappa))

    reductions = [reduce_symmetry(model, stored_pattern(model, nu)) for nu in range(model.num_modes)] if reduce else []
    sweep = _sweep(model, values, reductions, {"tol": tol, "max_time": max_time})
    runs = sweep.run(chunk=CHUNK, progress=progress)
    of_modes = {name: np.zeros((model.num_modes, values.size, model.num_modes)) for name in OF_MODES}
    for name, sizes in of_modes.items():  # 0 in modes that were left out
        for nu in range(model.num_modes):
            active = reductions[nu].active if reduce else np.arange(model.num_modes)
            sizes[nu][:, active] = np.abs(runs[name].values[nu][:, : active.size])
    limit = model.replace(spins=LargeSpins.hypercube(model.num_modes))
    g_crit = np.array([critical_coupling(limit, nu) for nu in range(model.num_modes)])
    span = np.linspace(values[0], values[-1], CURVE_POINTS)
    curve = np.unique(np.append(span, g_crit[(g_crit > span[0]) & (g_crit < span[-1])]))
    theory = _theory(limit, jnp.concatenate([values, jnp.asarray(curve, model.dtype)]))
    (xi_theory, xi_curve), (photons_theory, photons_curve) = (
        np.split(np.asarray(part), [values.size], axis=1) for part in theory
    )

    grid, patterns = ("pattern", "g0"), np.arange(model.num_modes)
    overlap, occupation, fluctuation = (of_modes[name][patterns, :, patterns] for name in OF_MODES)
    others = np.where(np.eye(model.num_modes, dtype=bool)[:, None, :], 0.0, of_modes["overlap"]).max(axis=2)
    kinds = Status.successful, Status.oscillating, Status.undecided  # of the last two it is averages
    ended = np.isin(runs.status.values, [int(kind._value) for kind in kinds])
    couplings = np.asarray(values)
    estimates = np.array([threshold_from_overlaps(couplings[ended[nu]], overlap[nu][ended[nu]]) for nu in patterns])
    on_curve, eq_12, photons = ("pattern", "g0_curve"), {"long_name": "|xi| of Eq. 12"}, {"units": "photons per spin"}
    of_mode = {"long_name": "stationary occupation of the pattern's mode", **photons}
    in_time = {"long_name": "standard deviation of the overlap in time, 0 where converged"}
    of_curves = {"long_name": "couplings of the theory's curves, the thresholds among them"}
    return xr.Dataset(
        {
            "overlap": (grid, overlap, {"long_name": "stationary overlap |xi|"}),
            "overlap_theory": (grid, xi_theory, eq_12),
            "occupation": (grid, occupation, of_mode),
            "occupation_theory": (grid, photons_theory, photons),
            "overlap_curve": (on_curve, xi_curve, eq_12),
            "occupation_curve": (on_curve, photons_curve, photons),
            "fluctuation": (grid, fluctuation, in_time),
            "other_overlap": (grid, others, {"long_name": "largest stationary overlap with another pattern"}),
            **{name: (grid, runs[name].values, runs[name].attrs) for name in OF_RUNS},
            "g_crit": ("pattern", g_crit, {"long_name": "critical coupling below Eq. 12"}),
            "g_estimate": ("pattern", estimates[:, 0], {"long_name": "threshold from the simulated points alone"}),
            "g_lower": ("pattern", estimates[:, 1], {"long_name": "largest simulated coupling without retrieval"}),
            "g_upper": ("pattern", estimates[:, 2], {"long_name": "smallest simulated coupling with retrieval"}),
        },
        coords={
            "pattern": ("pattern", patterns, {"long_name": "stored pattern, from 0"}),
            "g0": ("g0", couplings, {"long_name": "coupling strength", "units": "unit of the rates"}),
            "g0_curve": ("g0_curve", curve, of_curves),
        },
        attrs={
            **origin_of(runs),
            "source": "Carollo and Lesanovsky (2021), Eqs. 7 and 12, Fig. 3",
            **({"symmetry_reduction": _account(reductions)} if reduce else {}),
            **provenance(model),
        },
    )


@checked
def threshold_from_overlaps(g0: ArrayLike, overlap: ArrayLike) -> tuple[float, float, float]:
    """The threshold g_c that points (g0, |xi|) show by themselves, with no theory of its place:

        |xi|^2 = a (g0 - g_c) + b (g0 - g_c)^2 + c (g0 - g_c)^3   for g0 > g_c,   0 below

    |xi|^2 leaves zero smoothly, unlike |xi|: the cubic goes through its first four points above threshold. g_c is
    enclosed by the last point without and the first with retrieval, |xi| > 0.05; an estimate that falls elsewhere,
    where the onset is not of this form or the grid too coarse, is NaN. All three are NaN where the points do not show
    both sides.

    **Arguments**

    - `g0`: (G,), increasing couplings.
    - `overlap`: (G,), the stationary overlaps there, of either sign.

    **Returns** g_c, and the two couplings that enclose it.

    **Raises** ValueError for arguments of shapes that do not fit.

    **Example**

        >>> g0 = np.linspace(0.5, 1.0, 51)
        >>> xi = np.sqrt(np.maximum(1 - (0.7289 / g0) ** 4, 0))  # Eq. 12 of the paper
        >>> print(np.round(dj.studies.threshold_from_overlaps(g0, xi), 4))
        [0.7289 0.72   0.73  ]
    """
    check_real("g0", g0)
    check_real("overlap", overlap)
    g, squared = np.asarray(g0, dtype=float), np.asarray(overlap, dtype=float) ** 2
    if g.ndim != 1 or not (np.diff(g) > 0).all():
        refuse("g0", "a one-dimensional array of increasing couplings", told(g0))
    check_shape("overlap", squared, g.shape, "one for each coupling")
    retrieved = squared > RETRIEVED**2
    if g.size == 0 or retrieved.all() or not retrieved[-1]:
        return np.nan, np.nan, np.nan
    last_without = int(np.flatnonzero(~retrieved)[-1])
    lower, upper = g[last_without], g[last_without + 1]
    points = slice(last_without + 1, last_without + 5)
    reach, scale = g[points] - upper, upper - lower
    cubic = np.polynomial.Polynomial.fit(reach / scale, squared[points], min(3, reach.size - 1))
    roots = [float(root.real) for root in cubic.roots() if abs(root.imag) < 1e-9 and -1 <= root.real <= 0]
    estimate = upper + scale * max(roots, default=np.nan)
    return float(estimate), float(lower), float(upper)


def _sweep(model: DickeModel, values: Array, reductions: list[SymmetryReduction], options: dict[str, Any]) -> Sweep:
    """The runs of every pattern and coupling; where models are reduced, of every pattern's own."""
    title, g0 = "Retrieval transition, from a perfectly stored pattern", np.asarray(values)
    if not reductions:
        axes = {"pattern": np.arange(model.num_modes), "g0": g0}
        return Sweep(model.replace(g0=g0[0]), axes, options=options, title=title)
    own = [int(np.flatnonzero(reduction.active == nu)[0]) for nu, reduction in enumerate(reductions)]
    axes = {"reduction": np.arange(model.num_modes), "pattern": own, "g0": g0}
    smaller = lambda reduction: reductions[reduction].model.replace(g0=g0[0])  # noqa: E731
    return Sweep(smaller, axes, zipped=[("reduction", "pattern")], options=options, title=title)


def _account(reductions: list[SymmetryReduction]) -> str:
    """What was left out, pattern by pattern, and what therefore does not show."""
    texts = [repr(reduction).splitlines() for reduction in reductions]
    sizes = [f"pattern {nu + 1}: {lines[0].split(': ')[1]}" for nu, lines in enumerate(texts)]
    return "\n".join([*sizes, texts[0][2].strip()])


@eqx.filter_jit
def _theory(limit: DickeModel, values: Float[Array, " G"]) -> tuple[Float[Array, "M G"], Float[Array, "M G"]]:
    def at(g0: Array) -> tuple[Array, Array]:
        model = limit.replace(g0=g0)
        xi = jnp.stack([retrieval_overlap(model, nu) for nu in range(limit.num_modes)])
        return xi, (g0 * xi) ** 2 / (limit.omega_mode**2 + limit.kappa**2 / 4)

    return jax.vmap(at, out_axes=1)(values)
