"""`mcsolve`: quantum trajectories in large-spin space, where a density matrix no longer fits. By dynamiqs.

In the displaced frame of `spin_space`: the jumps are photons detected after a local oscillator has removed the mean
field.
"""

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Complex, Float, Key, PRNGKeyArray

from .._checks import as_float, as_times, check_all, check_count, refuse
from .._door import checked
from .._status import Status
from .._summary import AbstractResult, Rows
from .._typing import ArrayLike, RealState
from ..dynamics.integrate import integrate
from ..dynamics.rate_resolution import functions_of_time, steps_that_see
from ..mean_field import DickeModel, MeanFieldState, check_spin_lengths
from .moments import PURE, Moments, moments_of, ravel, real_start, subset_sizes, unravel
from .photon_cutoff import MOST_GIGABYTES, cutoff_status, run_with_levels
from .spin_space import LargeSpinSpace, hamiltonian, large_spin_space, loss, product_ket, site_operators

COPIES = 12  # state vectors that a solver holds at a time for each trajectory
PATH_STEPS = 2**14  # of the mean field that displaces the frame
MOST_STOPS = 1024  # where rates are functions of time
MOST_JUMPS = 10_000  # of one trajectory
UNSEEN = 2**0.5  # jumps more than were seen, of those expected, that standard errors allow for


class TrajectorySolution(AbstractResult):
    """Moments of an ensemble of quantum trajectories, and how well they are known.

    - `moments`: a `Moments`; the covariance is that of the averaged density matrix, as that of `mesolve`.
    - `mean_sem`: (T, 3 K + 2 M), standard errors of the means, in the order of the covariance.
    - `covariance_sem`: (T, D, D), standard errors of the covariance. Where hardly a trajectory has jumped yet the
      sample would understate both: they allow for jumps that are expected and were not seen.
    - `num_jumps`: (S, M), photons that each trajectory lost in the displaced frame.
    - `top_population`: (T, M), the mean population of the highest photon level kept of each mode, in that frame; at the
      saved times alone, so save more of them where a pulse may fill it between two.
    - `status`: a `Status`, as of `mesolve`.
    """

    moments: Moments
    mean_sem: Float[Array, "T D"]
    covariance_sem: Float[Array, "T D D"]
    num_jumps: Array
    top_population: Float[Array, "T M"]
    status: Status

    def _heading(self) -> str:
        return f"TrajectorySolution: {self.num_jumps.shape[-2]} trajectories, {self.moments.system}"

    def _rows(self) -> Rows:
        yield "jumps", f"{np.asarray(self.num_jumps).sum(axis=-1).mean():.1f} of each trajectory"
        yield from self.moments._rows()
        yield "highest level", f"population {np.max(self.top_population):.1e}"


@checked
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

    **Arguments**

    - `key`: decides everything; the trajectories do not depend on `chunk`.
    - `model`, `state`, `tsave`, `subset_size`: as in `mesolve`, without single-spin dissipation.
    - `num_trajectories`: S; errors fall like 1 / sqrt(S).
    - `levels`: as in `mesolve`, in the frame displaced by the mean field. Many, where trajectories leave it, for
      instance for the pattern of opposite sign.
    - `cutoff_tol`: the population of a highest level from which the status is `cut_off`; what it costs is far below
      the standard errors.
    - `chunk`: trajectories that run side by side, to bound memory.
    - `tol`: relative and absolute local error of a state between jumps, and of the times of jumps; 1e-7 where JAX
      computes in float64, 1e-5 in float32.

    **Returns** a `TrajectorySolution`.

    **Raises** ValueError for arguments that do not fit, also for a space too large; ImportError without dynamiqs; an
    Equinox runtime error where the integration breaks down.

    **Example**

        >>> model, key = dj.examples.paper_model(g0=0.4, num_patterns=1), jax.random.key(0)
        >>> run = dj.mcsolve(key, model, dj.stored_pattern(model), [0.0, 1.0], 2, num_trajectories=20, levels=8)
        >>> print(run.num_jumps.shape, bool(run.successful))
        (20, 1) True
    """
    m, frame = real_start(model, state)
    if model.dissipation is not None:
        refuse("model", "without single-spin dissipation (mesolve takes it, for a few spins)", "one with it")
    check_spin_lengths(m, lambda length: np.abs(length - 1) < PURE, "1: spins of a subset alike, pure")
    sizes = subset_sizes(model, subset_size)
    check_count("num_trajectories", num_trajectories, least=2)
    check_count("chunk", chunk)
    chunk = min(chunk, num_trajectories)
    if tol is None:
        tol = 1e-7 if jnp.result_type(float) == jnp.float64 else 1e-5
    for name, value in (("tol", tol), ("cutoff_tol", cutoff_tol)):
        check_all(name, value, lambda x: (x > 0) & (x < 1), "between 0 and 1")
    copies = COPIES + 3 * len(sizes) + 2 * model.num_modes
    must_be = f"so small that {chunk} times {copies} state vectors fit into {MOST_GIGABYTES} GB"
    times = as_times(tsave, float)
    dynamiqs = _import_dynamiqs()
    precise, mixed, ranks = jax.default_matmul_precision, jax.numpy_dtype_promotion, jax.numpy_rank_promotion
    numbers = num_trajectories, chunk

    def run(space: LargeSpinSpace) -> TrajectorySolution:
        with precise("highest"), mixed("standard"), ranks("allow"):  # what dynamiqs is written for
            return _sample(dynamiqs, model, (m, frame), key, times, space, numbers, as_float(cutoff_tol), tol)

    memory = 16 * chunk * copies, 1
    return run_with_levels(run, partial(large_spin_space, sizes), memory, must_be, levels, model, state, cutoff_tol)


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
    key: PRNGKeyArray,
    times: Float[Array, " T"],
    space: LargeSpinSpace,
    numbers: tuple[int, int],
    cutoff_tol: Array,
    tol: float,
) -> TrajectorySolution:
    """`numbers`: of trajectories, and of those that run side by side."""
    num_trajectories, chunk = numbers
    keys = jax.random.split(key, num_trajectories)
    keys = jnp.concatenate([keys, keys[: -num_trajectories % chunk]]).reshape(-1, chunk)
    controller = steps_that_see(dfx.PIDController(rtol=1e-6, atol=1e-6), model, times[0], times[-1])
    how = {"solver": dfx.Tsit5(), "stepsize_controller": controller, "max_steps": PATH_STEPS}
    path = integrate(model, y0, times[0], times[-1], dfx.SaveAt(t1=True, dense=True), **how)
    stops = [jnp.asarray(kinks, float) for kinks in model.kinks]
    if functions_of_time(model):  # where the mean field stepped, having seen them, so does every trajectory
        taken: Any = path.interpolation
        stops.append(taken.ts[jnp.linspace(0, taken.ts_size - 1, MOST_STOPS).astype(int)].astype(float))
    if stops:  # a solver that jumps at the last time never reaches it; one more stop inside does no harm
        stops = jnp.concatenate(stops)
        inside = (stops > times[0]) & (stops < times[-1])
        stops = jnp.sort(jnp.where(inside, stops, (times[0] + times[-1]) / 2))

    def operator(diagonals: Callable[[Array], dict[int, Array]]) -> Any:
        as_sparse = partial(dynamiqs.sparsedia_from_dict, dims=space.sites, dtype=complex)
        return dynamiqs.timecallable(lambda t: as_sparse(diagonals(t)), discontinuity_ts=stops if len(stops) else None)

    H = operator(lambda t: hamiltonian(model.at(t), space, path.evaluate(t)[1], path.derivative(t)[1]))
    jumps = [operator(lambda t, mu=mu: loss(model.at(t), space, mu)) for mu in range(model.num_modes)]
    psi = dynamiqs.asqarray(product_ket(space, y0[0].astype(float))[:, None], dims=space.sites)
    root_finder = optx.Newton(tol, tol, optx.rms_norm)
    method = dynamiqs.method.Event(dynamiqs.method.Tsit5(rtol=tol, atol=tol), root_finder=root_finder)

    save = {"save_states": False, "save_extra": lambda t, psi: _observe(psi.to_jax()[:, 0], space)}

    def run(keys: Key[Array, " chunk"]) -> Any:
        result = dynamiqs.jssesolve(H, jumps, psi, times, keys, method=method, nmaxclick=MOST_JUMPS, **save)
        return result.extra, jnp.sum(jnp.isfinite(result.clicktimes), axis=-1)

    saved, num_jumps = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:num_trajectories], jax.lax.map(run, keys))
    beta = jax.vmap(path.evaluate)(times)[1]
    frame = jax.vmap(ravel)((jnp.zeros((times.size, 3, len(space.sizes))), beta))
    return _moments(model, space, times, frame, saved, num_jumps, cutoff_tol, path.result == dfx.RESULTS.successful)


def _observe(psi: Complex[Array, " D"], space: LargeSpinSpace) -> tuple[Array, Array, Array]:
    """<v_i>, <v_i v_j + v_j v_i> / 2 in the displaced frame, and the populations of the highest levels."""
    tensor, K, M = psi.reshape(space.sites), len(space.sizes), len(space.levels)
    applied = [
        jnp.moveaxis(jnp.tensordot(site_operators(space, s, psi.dtype), tensor, axes=((2,), (s,))), 1, s + 1)
        for s in range(K + M)
    ]
    v = jnp.concatenate([v.reshape(len(v), -1) for v in applied])
    order = space.subset_averages(float)
    mean, second = order @ (v @ psi.conj()).real, order @ (v.conj() @ v.T).real @ order.T
    population = jnp.abs(tensor) ** 2
    top = [jnp.sum(jnp.take(population, n - 1, axis=K + mu)) for mu, n in enumerate(space.levels)]
    return mean, second, jnp.stack(top)


def _moments(
    model: DickeModel,
    space: LargeSpinSpace,
    times: Float[Array, " T"],
    frame: Float[Array, "T D"],
    saved: tuple[Float[Array, "S T D"], Float[Array, "S T D D"], Float[Array, "S T M"]],
    jumps: Array,
    cutoff_tol: Array,
    seen: Array,
) -> TrajectorySolution:
    """Averages over trajectories and their standard errors, that of the covariance to first order in the means'.

    A sample without a jump spreads by nothing, though one may be due. Where fluctuations are Gaussian a jump changes a
    covariance by at most 2 sqrt(C_ii C_jj), and few spins are not quite Gaussian: `UNSEEN` jumps, or as many as are
    expected if fewer, that change it by twice that and means by twice their width, are added to the spread.
    """
    mean, second, top = saved
    S, K, M = mean.shape[0], len(space.sizes), len(space.levels)
    average = jnp.mean(mean, axis=0)
    off, product = mean - average, average[:, :, None] * average[:, None, :]
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
    ended = seen & jnp.all(jnp.sum(jumps, axis=1) < MOST_JUMPS) & jnp.all(jnp.isfinite(covariance))
    status = cutoff_status(top, cutoff_tol, ended)
    numbers = average + frame, covariance, mean_sem, covariance_sem, top, times
    v, covariance, mean_sem, covariance_sem, top, times = (x.astype(model.dtype) for x in numbers)
    moments = moments_of(times, jax.vmap(lambda v: unravel(v, model))(v), covariance, space.num_spins)
    return TrajectorySolution(moments, mean_sem, covariance_sem, jumps, top, status)
