"""`mcsolve`: quantum trajectories in large-spin space, where a density matrix no longer fits. By dynamiqs.

    d psi = -i (H_b - (i/2) sum_mu kappa_mu b^dag b) psi dt,   psi -> b_mu psi at a rate kappa_mu <b^dag b>

in the frame of `displaced_frame`: the jumps are photons detected after a local oscillator has removed the mean field.
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Complex, Float, Key, PRNGKeyArray

from .._checks import as_float, check_all, check_count, check_finite, known, refuse
from .._typing import ArrayLike, RealState
from ..model import DickeModel
from ..state import MeanFieldState
from .cut_off import MOST_GIGABYTES, MasterStatus, as_levels, check_fits, fits, with_enough_levels
from .displaced_frame import hamiltonian, loss, mean_field_path
from .large_spin_space import LargeSpinSpace, product_ket, site_operators
from .lindblad import PURE
from .moments import Moments, real_start, subset_sizes

COPIES = 12  # state vectors that a solver holds at a time for each trajectory
MOST_JUMPS = 10_000  # of one trajectory
UNSEEN = 2**0.5  # jumps more than were seen, of those expected, that standard errors allow for


class TrajectorySolution(eqx.Module):
    """Moments of an ensemble of quantum trajectories, and how well they are known.

    - `moments`: a `Moments`; the covariance is that of the averaged density matrix, as that of `mesolve`.
    - `mean_sem`: (T, 3 K + 2 M), standard errors of the means, in the order of the covariance.
    - `covariance_sem`: (T, D, D), standard errors of the covariance. Where hardly a trajectory has jumped yet the
      sample would understate both: they allow for jumps that are expected and were not seen.
    - `num_jumps`: (S, M), photons that each trajectory lost in the displaced frame.
    - `top_population`: (T, M), the mean population of the highest photon level kept of each mode, in that frame.
    - `status`: a `MasterStatus`; `MasterStatus[status]` is its text.
    """

    moments: Moments
    mean_sem: Float[Array, "T D"]
    covariance_sem: Float[Array, "T D D"]
    num_jumps: Array
    top_population: Float[Array, "T M"]
    status: MasterStatus

    @property
    def successful(self) -> Array:
        """Whether all trajectories ended and their cut-off holds."""
        return jnp.asarray(self.status == MasterStatus.successful)

    def __repr__(self) -> str:
        if not known(self.top_population):
            return eqx.tree_pformat(self)
        jumps, top = np.asarray(self.num_jumps), float(np.max(self.top_population))
        return (
            f"{self.moments!r}\n  {len(jumps)} trajectories, {jumps.sum(axis=1).mean():.1f} jumps each\n"
            f"  status   {MasterStatus[self.status]}\n  highest level: population {top:.1e}"
        )


def mcsolve(
    key: PRNGKeyArray,
    model: DickeModel,
    state: MeanFieldState,
    tsave: ArrayLike,
    subset_size: int | None = None,
    *,
    num_trajectories: int = 500,
    levels: int | Sequence[int] | None = None,
    cutoff_tol: float = 1e-6,
    chunk: int = 100,
    tol: float | None = None,
) -> TrajectorySolution:
    """Sample pure states whose average is the solution of the master equation (paper, Eqs. 1 and 3).

        d psi = -i (H - (i/2) sum_mu kappa_mu b^dag b) psi dt,   psi -> b_mu psi at a rate kappa_mu <b^dag b>

    in the space of K large spins and M modes, of dimension prod_k (N_k + 1) prod_mu levels_mu. Needs dynamiqs, which
    `pip install 'dicke-jax[quantum]'` brings.

    **Main arguments**

    - `key`: decides everything; the trajectories do not depend on `chunk`.
    - `model`, `state`, `tsave`, `subset_size`: as in `mesolve`, without single-spin dissipation.

    **Other arguments**

    - `num_trajectories`: S; errors fall like 1 / sqrt(S).
    - `levels`: photon levels kept in the frame displaced by the mean field, one number or one for each mode; by
      default as many as `cutoff_tol` asks for and fit, found by running again with more. Many, where trajectories leave
      the mean field, for instance for the pattern of opposite sign.
    - `cutoff_tol`: the population of a highest level from which the status is `cut_off`.
    - `chunk`: trajectories that run side by side, to bound memory.
    - `tol`: relative and absolute local error of a state between jumps, and of the times of jumps; 1e-7 where JAX
      computes in float64, 1e-5 in float32.

    **Returns** a `TrajectorySolution`.

    **Raises** ValueError for arguments that do not fit, also for a space too large; ImportError without dynamiqs; an
    Equinox runtime error where the integration breaks down.
    """
    m, frame = real_start(model, state)
    if model.dissipation is not None:
        refuse("model", "without single-spin dissipation (mesolve takes it, for a few spins)", "one with it")
    check_all("|m_k|", jnp.linalg.norm(m, axis=0), lambda s: np.abs(s - 1) < PURE, "1: spins of a subset alike, pure")
    sizes = subset_sizes(model, subset_size)
    check_count("num_trajectories", num_trajectories, least=2)
    check_count("chunk", chunk)
    chunk = min(chunk, num_trajectories)
    if tol is None:
        tol = 1e-7 if jnp.zeros(()).dtype == jnp.float64 else 1e-5
    check_all("tol", tol, lambda x: (x > 0) & (x < 1), "between 0 and 1")
    copies = COPIES + 3 * len(sizes) + 2 * model.num_modes
    must_be = f"so small that {chunk} times {copies} state vectors fit into {MOST_GIGABYTES} GB"
    times = as_float(tsave).astype(float)
    check_finite("tsave", times)
    if times.ndim != 1 or times.size < 2 or (known(times) and not np.all(np.diff(np.asarray(times)) > 0)):
        refuse("tsave", "at least two increasing times", f"shape {times.shape}" if times.ndim != 1 else "others")
    dynamiqs = _import_dynamiqs()
    keys = jax.random.split(key, num_trajectories)
    keys = jnp.concatenate([keys, keys[: -num_trajectories % chunk]]).reshape(-1, chunk)
    precise, mixed, ranks = jax.default_matmul_precision, jax.numpy_dtype_promotion, jax.numpy_rank_promotion

    def space(levels: tuple[int, ...]) -> LargeSpinSpace:
        return LargeSpinSpace(sizes, levels, tuple(range(len(sizes))))

    def run(levels: tuple[int, ...]) -> TrajectorySolution:
        check_fits(space(levels), 16 * chunk * copies, 1, must_be)
        with precise("highest"), mixed("standard"), ranks("allow"):  # what dynamiqs is written for
            return _sample(
                dynamiqs, model, (m, frame), keys, times, space(levels), num_trajectories, as_float(cutoff_tol), tol
            )

    if levels is not None:
        return run(as_levels(levels, model.num_modes))
    return with_enough_levels(run, lambda n: fits(space(n), 16 * chunk * copies, 1), model.num_modes, cutoff_tol)


def _import_dynamiqs() -> ModuleType:
    precision = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    try:
        import dynamiqs
    except ImportError as error:
        raise ImportError("mcsolve needs dynamiqs: pip install 'dicke-jax[quantum]'.") from error
    finally:
        jax.config.update("jax_default_matmul_precision", precision)  # which dynamiqs sets for the whole program
    return dynamiqs


@eqx.filter_jit
def _sample(
    dynamiqs: ModuleType,
    model: DickeModel,
    y0: RealState,
    keys: Key[Array, "chunks chunk"],
    times: Float[Array, " T"],
    space: LargeSpinSpace,
    num_trajectories: int,
    cutoff_tol: Array,
    tol: float,
) -> TrajectorySolution:
    kinks = jnp.sort(jnp.concatenate([jnp.asarray(k, float) for k in model.kinks])) if model.kinks else None
    if kinks is not None:  # a solver that jumps at the last time never reaches it; one more stop inside does no harm
        inside = (kinks > times[0]) & (kinks < times[-1])
        kinks = jnp.sort(jnp.where(inside, kinks, (times[0] + times[-1]) / 2))
    path = mean_field_path(model, y0, times, kinks)

    def operator(diagonals: Callable[[Array], dict[int, Array]]) -> Any:
        def at(t: Array) -> Any:
            return dynamiqs.sparsedia_from_dict(diagonals(t), dims=space.sites, dtype=complex)

        return dynamiqs.timecallable(at, discontinuity_ts=kinks)

    H = operator(lambda t: hamiltonian(model.at(t), space, path.evaluate(t)[1], path.derivative(t)[1]))
    jumps = [operator(lambda t, mu=mu: loss(model.at(t), space, mu)) for mu in range(model.num_modes)]
    psi = dynamiqs.asqarray(product_ket(space, y0[0].astype(float))[:, None], dims=space.sites)
    root_finder = optx.Newton(tol, tol, optx.rms_norm)
    method = dynamiqs.method.Event(dynamiqs.method.Tsit5(rtol=tol, atol=tol), root_finder=root_finder)

    def run(keys: Key[Array, " chunk"]) -> Any:
        result = dynamiqs.jssesolve(
            H,
            jumps,
            psi,
            times,
            keys,
            method=method,
            save_states=False,
            save_extra=lambda t, psi: _observe(psi.to_jax()[:, 0], space),
            nmaxclick=MOST_JUMPS,
        )
        return result.extra, jnp.sum(jnp.isfinite(result.clicktimes), axis=-1)

    samples = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:num_trajectories], jax.lax.map(run, keys))
    (mean, second, top), jumps = samples
    beta = jax.vmap(path.evaluate)(times)[1]
    frame = jnp.concatenate([jnp.zeros((times.size, 3 * len(space.sizes))), beta[:, 0], beta[:, 1]], axis=1)
    return _moments(model, space, times, frame, mean, second, top, jumps, cutoff_tol)


def _observe(psi: Complex[Array, " D"], space: LargeSpinSpace) -> tuple[Array, Array, Array]:
    """<v_i>, <v_i v_j + v_j v_i> / 2 in the displaced frame, and the populations of the highest levels."""
    tensor, K, M = psi.reshape(space.sites), len(space.sizes), len(space.levels)
    applied = [
        jnp.moveaxis(jnp.tensordot(site_operators(space, s, psi.dtype), tensor, axes=((2,), (s,))), 1, s + 1)
        for s in range(K + M)
    ]
    applied = [v.reshape(len(v), -1) for v in applied]
    spins = jnp.stack(applied[:K], axis=1).reshape(3 * K, -1)  # from site by site to component by component
    v = jnp.concatenate([spins, jnp.stack(applied[K:], axis=1).reshape(2 * M, -1)])
    mean, second = (v @ psi.conj()).real, (v.conj() @ v.T).real
    population = jnp.abs(tensor) ** 2
    top = [jnp.sum(jnp.take(population, n - 1, axis=K + mu)) for mu, n in enumerate(space.levels)]
    return mean, second, jnp.stack(top)


def _moments(
    model: DickeModel,
    space: LargeSpinSpace,
    times: Float[Array, " T"],
    frame: Float[Array, "T D"],
    mean: Float[Array, "S T D"],
    second: Float[Array, "S T D D"],
    top: Float[Array, "S T M"],
    jumps: Array,
    cutoff_tol: Array,
) -> TrajectorySolution:
    """Averages over trajectories and their standard errors, that of the covariance to first order in the means'.

    A sample without a jump spreads by nothing, though one may be due. Where fluctuations are Gaussian a jump changes a
    covariance by at most 2 sqrt(C_ii C_jj), and few spins are not quite Gaussian: `UNSEEN` jumps, or as many as are
    expected if fewer, that change it by twice that and means by twice their width, are added to the spread.
    """
    S, K, M = mean.shape[0], len(space.sizes), len(space.levels)
    average = jnp.mean(mean, axis=0)
    off = mean - average
    product = average[:, :, None] * average[:, None, :]
    # the product of two averages is larger than that of the means by the covariance of the averages
    excess = jnp.einsum("sti,stj->tij", off, off) / (S * (S - 1))
    covariance = space.num_spins * (jnp.mean(second, axis=0) - product + excess)
    cross = off[:, :, :, None] * average[:, None, :]
    influence = second - jnp.mean(second, axis=0) - cross - jnp.swapaxes(cross, -1, -2)

    squares = jnp.diagonal(jnp.mean(second, axis=0), axis1=1, axis2=2)[:, 3 * K :]  # of quadratures: (n + 1/2) / N_sp
    photons = space.num_spins * (squares[:, :M] + squares[:, M:]) - 0.5
    rate = jnp.sum(jax.vmap(lambda t: model.at(t).kappa)(times) * photons, axis=1)
    due = S * jnp.append(0.0, jnp.cumsum(jnp.diff(times) * (rate[1:] + rate[:-1]) / 2))
    unseen = (2 * jnp.clip(due, 0.0, UNSEEN) / S) ** 2
    variance = jnp.diagonal(covariance, axis1=1, axis2=2)
    spread = jnp.sum(off**2, axis=0) / (S * (S - 1)), jnp.sum(influence**2, axis=0) / (S * (S - 1))
    mean_sem = jnp.sqrt(spread[0] + unseen[:, None] * variance / space.num_spins)
    change = 4 * variance[:, :, None] * variance[:, None, :]
    covariance_sem = jnp.sqrt(space.num_spins**2 * spread[1] + unseen[:, None, None] * change)
    top = jnp.mean(top, axis=0)

    # the last round of a trajectory is the one without a jump
    ended = jnp.all(jnp.sum(jumps, axis=1) < MOST_JUMPS) & jnp.all(jnp.isfinite(covariance))
    status = MasterStatus.where(jnp.max(top) < cutoff_tol, MasterStatus.successful, MasterStatus.cut_off)
    status = MasterStatus.where(ended, status, MasterStatus.failed)
    v, dtype = average + frame, model.dtype
    m, re, im = v[:, : 3 * K].reshape(-1, 3, K), v[:, 3 * K : 3 * K + M], v[:, 3 * K + M :]
    numbers = times, m, re, im, covariance, mean_sem, covariance_sem, top
    times, m, re, im, covariance, mean_sem, covariance_sem, top = (x.astype(dtype) for x in numbers)
    moments = Moments(times, m, jax.lax.complex(re, im), covariance, space.num_spins)
    return TrajectorySolution(moments, mean_sem, covariance_sem, jumps, top, status)
