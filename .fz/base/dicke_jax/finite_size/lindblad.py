"""`mesolve`: the exact master equation in large-spin space. It knows the Hamiltonian, not the mean-field equations.

Each subset is one spin N_k / 2, each mode is cut off in a frame displaced by its exact amplitude alpha(t):

    a_mu = sqrt(N_sp) alpha_mu(t) + b_mu
    alpha_mu' = -(i Omega_mu + kappa_mu / 2) alpha_mu - i g0 sum_k w_k G <S_z,k> / N_k
    H_b = sum_k (Omega S_x,k + g0 sum_mu G 2 Re alpha_mu S_z,k) + sum_mu Omega_mu b^dag b
          + (g0 / sqrt(N_sp)) sum_mu (b + b^dag) sum_k G (S_z,k - <S_z,k>)

so that <b_mu> stays 0 and the cut-off has to hold fluctuations only. H_b and b are real matrices: with rho = A + i B,
A symmetric and B antisymmetric, the real matrix R = A + B is all of rho, Hermitian by construction, and

    R' = R^T H - H R^T + sum_mu kappa_mu (b R b^T - {b^T b, R} / 2).

Single-spin dissipation leaves the space of large spins: every spin is then a site of its own.
"""

from collections.abc import Sequence
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_float, check_all, check_finite, known, refuse
from .._typing import ArrayLike, Quadratures, SpinVectors
from ..model import DickeModel
from ..state import MeanFieldState
from .cut_off import MOST_GIGABYTES, MasterStatus, as_levels, check_fits, fits, with_enough_levels
from .large_spin_space import LargeSpinSpace, hop, hop_both, product_state, reduced, site_operators
from .moments import Moments, real_start, subset_sizes
from .single_spins import dissipate, product_of_spins, single_spin_space

COPIES = 18  # density matrices that a solver holds at a time
PURE = 1e-6  # deviation of |m_k| from 1
ExactState = tuple[Float[Array, "D D"], Quadratures]  # R, and the frame (Re alpha, Im alpha)


class MasterSolution(eqx.Module):
    """Exact moments at the saved times.

    - `moments`: a `Moments`.
    - `top_population`: (T, M), the population of the highest photon level kept of each mode, in its displaced frame.
    - `status`: a `MasterStatus`; `MasterStatus[status]` is its text.
    - `stats`: numbers of accepted and rejected steps.
    """

    moments: Moments
    top_population: Float[Array, "T M"]
    status: MasterStatus
    stats: dict[str, Any]

    @property
    def successful(self) -> Array:
        """Whether the run ended and its cut-off holds."""
        return jnp.asarray(self.status == MasterStatus.successful)

    def __repr__(self) -> str:
        if not known(self.top_population):
            return eqx.tree_pformat(self)
        top = float(np.max(self.top_population))
        return f"{self.moments!r}\n  status   {MasterStatus[self.status]}\n  highest level: population {top:.1e}"


def mesolve(
    model: DickeModel,
    state: MeanFieldState,
    tsave: ArrayLike,
    subset_size: int | None = None,
    *,
    levels: int | Sequence[int] | None = None,
    cutoff_tol: float = 1e-6,
    tol: float | None = None,
    solver: dfx.AbstractSolver | None = None,
    max_steps: int = 2**18,
) -> MasterSolution:
    """Integrate the master equation (paper, Eqs. 1 and 3) from a product state, exactly up to the photon cut-off.

        rho' = -i [H, rho] + sum_mu kappa_mu (a rho a^dag - {a^dag a, rho} / 2)

    and single-spin dissipation, if the model has it. Without, in the space of K large spins and M modes, of dimension
    prod_k (N_k + 1) prod_mu levels_mu; with it in that of all spins, of dimension 2^N_sp prod_mu levels_mu.

    **Main arguments**

    - `model`: a `DickeModel`. Rates may depend on time. Single-spin dissipation is for about 6 spins at most.
    - `state`: the product state to start from: every spin of subset k points along m_k, |m_k| = 1; mode mu is in the
      coherent state of amplitude sqrt(N_sp) alpha_mu. With single-spin dissipation also |m_k| < 1: independent spins
      of this mean.
    - `tsave`: increasing times, at least two.
    - `subset_size`: N, spins per subset, where the model's spins are infinitely many.

    **Other arguments**

    - `levels`: photon levels kept in the displaced frame, one number or one for each mode; by default as many as
      `cutoff_tol` asks for and fit, found by running again with more.
    - `cutoff_tol`: the population of a highest level from which the status is `cut_off`.
    - `tol`: local error of the density matrix in the Frobenius norm; 1e-9 in float64, 1e-5 in float32.
    - `solver`: a diffrax solver, Dopri8 by default; `max_steps`: more steps end the run with a status.

    **Returns** a `MasterSolution`.

    **Raises** ValueError for arguments that do not fit, also for a space too large.
    """
    m, frame = real_start(model, state)
    sizes, size = subset_sizes(model, subset_size), jnp.linalg.norm(m, axis=0)
    if model.dissipation is None:
        check_all("|m_k|", size, lambda s: np.abs(s - 1) < PURE, "1: spins of a subset alike, pure")
        fit = "fit"
    else:
        check_all("|m_k|", size, lambda s: s < 1 + PURE, "at most 1")
        fit = "of single spins, which dissipate, fit"
    must_be = f"so small that {COPIES} density matrices {fit} into {MOST_GIGABYTES} GB"
    bytes_each = COPIES * jnp.dtype(model.dtype).itemsize
    times = as_float(tsave).astype(model.dtype)
    check_finite("tsave", times)
    if times.ndim != 1 or times.size < 2 or (known(times) and not np.all(np.diff(np.asarray(times)) > 0)):
        refuse("tsave", "at least two increasing times", f"shape {times.shape}" if times.ndim != 1 else "others")
    if tol is None:
        tol = 1e-9 if model.dtype == jnp.float64 else 1e-5
    least = jnp.finfo(model.dtype).eps * (times[-1] - times[0])  # NaN is then soon given up
    controller = dfx.PIDController(rtol=0.0, atol=tol, norm=_frobenius, dtmin=least)
    # onto every saved time: the solver's interpolation is less accurate than its steps
    stops = jnp.sort(jnp.concatenate([times, *(kinks.astype(model.dtype) for kinks in model.kinks)]))
    controller = dfx.ClipStepSizeController(controller, step_ts=stops)
    solver = dfx.Dopri8() if solver is None else solver

    def space(levels: tuple[int, ...]) -> LargeSpinSpace:
        if model.dissipation is not None:
            return single_spin_space(sizes, levels)
        return LargeSpinSpace(sizes, levels, tuple(range(len(sizes))))

    def run(levels: tuple[int, ...]) -> MasterSolution:
        check_fits(space(levels), bytes_each, 2, must_be)
        return _integrate(model, m, frame, times, space(levels), cutoff_tol, controller, solver, max_steps)

    if levels is not None:
        return run(as_levels(levels, model.num_modes))
    return with_enough_levels(run, lambda n: fits(space(n), bytes_each, 2), model.num_modes, cutoff_tol)


@eqx.filter_jit
def _integrate(
    model: DickeModel,
    m: SpinVectors,
    frame: Quadratures,
    times: Float[Array, " T"],
    space: LargeSpinSpace,
    cutoff_tol: float,
    controller: dfx.AbstractStepSizeController,
    solver: dfx.AbstractSolver,
    max_steps: int,
) -> MasterSolution:
    sol = dfx.diffeqsolve(
        dfx.ODETerm(_master_equation),
        solver,
        times[0],
        times[-1],
        None,
        ((product_state if model.dissipation is None else product_of_spins)(space, m), frame),
        args=(model, space),
        saveat=dfx.SaveAt(ts=times, fn=_observe),
        stepsize_controller=controller,
        max_steps=max_steps,
        throw=False,
    )
    (m, alpha, covariance), top = sol.ys  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]
    ran = (sol.result == dfx.RESULTS.successful) & jnp.all(jnp.isfinite(covariance))
    status = MasterStatus.where(jnp.max(top) < cutoff_tol, MasterStatus.successful, MasterStatus.cut_off)
    status = MasterStatus.where(ran, status, MasterStatus.failed)
    moments = Moments(times, m, jax.lax.complex(alpha[:, 0], alpha[:, 1]), covariance, space.num_spins)
    return MasterSolution(moments, top, status, sol.stats)


def _master_equation(t: ArrayLike, y: ExactState, args: tuple[DickeModel, LargeSpinSpace]) -> ExactState:
    (R, frame), (model, space) = y, args
    model = model.at(t)
    dtype, S, K = R.dtype, len(space.sites), len(space.sizes)
    G = model.spins.couplings.astype(dtype)[:, np.array(space.subset)]
    re, im = frame
    probabilities = jnp.diagonal(R).reshape(space.sites)
    s_z = jnp.stack([jnp.sum(space.along(k, space.s_z(k), S, dtype) * probabilities) for k in range(K)])
    field, drive = model.g0 * (2 * re @ G), G @ s_z

    coupling = [-drive[mu] for mu in range(model.num_modes)]  # sum_k G (S_z,k - <S_z,k>)
    energies = jnp.zeros((1,) * (S + 1), dtype)
    for k in range(K):
        diagonal = space.along(k, space.s_z(k), S + 1, dtype)
        energies += field[k] * diagonal
        coupling = [c + G[mu, k] * diagonal for mu, c in enumerate(coupling)]
    for mu, n in enumerate(space.levels):
        energies += model.omega_mode[mu] * space.along(K + mu, np.arange(n), S + 1, dtype)

    def times_h(matrix: Array) -> Array:
        """H_b times a matrix, whose rows are laid out site by site."""
        tensor = matrix.reshape(*space.sites, -1)
        out = energies * tensor
        for k in range(K):
            out += model.omega_spin * hop_both(tensor, k, space.s_x_hops(k))
        for mu in range(model.num_modes):
            strength = model.g0 / np.sqrt(space.num_spins).astype(dtype) * coupling[mu]
            out += strength * hop_both(tensor, K + mu, space.b_hops(mu))
        return out.reshape(matrix.shape)

    change = times_h(R).T - times_h(R.T)  # R^T H = (H R)^T
    tensor, loss = R.reshape(*space.sites, *space.sites), jnp.zeros((), dtype)
    for mu, n in enumerate(space.levels):
        row, column, hops = K + mu, S + K + mu, space.b_hops(mu)
        photons = space.along(row, np.arange(n), 2 * S, dtype) + space.along(column, np.arange(n), 2 * S, dtype)
        jumped = hop(hop(tensor, row, hops, up=False), column, hops, up=False)
        loss += model.kappa[mu] * (jumped - photons / 2 * tensor)
    if model.dissipation is not None:
        loss += dissipate(tensor, space, model.dissipation)
    xi = drive / space.num_spins
    frame_dot = jnp.stack(
        [
            model.omega_mode * im - model.kappa / 2 * re,
            -model.omega_mode * re - model.kappa / 2 * im - model.g0 * xi,
        ]
    )
    return change + loss.reshape(R.shape), frame_dot


def _observe(t: Array, y: ExactState, args: tuple[DickeModel, LargeSpinSpace]) -> Any:
    """Means and N_sp times the symmetrised covariance, site by site, and the populations of the highest levels."""
    (R, frame), (_, space) = y, args
    S, K, M = len(space.sites), len(space.sizes), len(space.levels)
    rho = jax.lax.complex((R + R.T) / 2, (R - R.T) / 2).reshape(*space.sites, *space.sites)
    operators = [site_operators(space, site, rho.dtype) for site in range(S)]
    index = [[a * K + k for a in range(3)] for k in range(K)]
    index += [[3 * K + q * M + mu for q in range(2)] for mu in range(M)]
    mean, second = jnp.zeros(3 * K + 2 * M, R.dtype), jnp.zeros((3 * K + 2 * M,) * 2, R.dtype)
    for s in range(S):
        own, rows = operators[s], np.array(index[s])
        one = reduced(rho, S, (s,))
        mean = mean.at[rows].set(jnp.einsum("aij,ji->a", own, one).real)
        second = second.at[np.ix_(rows, rows)].set(jnp.einsum("aij,bjk,ki->ab", own, own, one).real)
        for u in range(s):
            columns = np.array(index[u])
            pair = reduced(rho, S, (u, s))
            block = jnp.einsum("aij,bkl,ljki->ab", own, operators[u], pair).real
            second = second.at[np.ix_(rows, columns)].set(block).at[np.ix_(columns, rows)].set(block.T)
    average = _average_of_sites(space, R.dtype)
    covariance = average @ (space.num_spins * (second - mean[:, None] * mean[None, :])) @ average.T
    mean, K = average @ mean, max(space.subset) + 1
    levels = [jnp.diagonal(reduced(rho, S, (S - M + mu,))).real[-1] for mu in range(M)]
    return (mean[: 3 * K].reshape(3, K), frame + mean[3 * K :].reshape(2, M), covariance), jnp.stack(levels)


def _average_of_sites(space: LargeSpinSpace, dtype: Any) -> Array:
    """From the entries of the sites to those of the subsets, with the share of each site in its subset."""
    subset, sizes = np.array(space.subset), np.array(space.sizes, float)
    belongs = (subset == np.arange(subset.max() + 1)[:, None]) * sizes
    share, modes = belongs / belongs.sum(axis=1, keepdims=True), np.eye(2 * len(space.levels))
    rows = np.kron(np.eye(3), share)
    return jnp.asarray(
        np.block([[rows, np.zeros((len(rows), len(modes)))], [np.zeros((len(modes), rows.shape[1])), modes]]), dtype
    )


def _frobenius(y: Any) -> Array:
    return jnp.sqrt(jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(y)])))
