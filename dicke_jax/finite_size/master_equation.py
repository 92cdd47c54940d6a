"""`mesolve`: the exact master equation in large-spin space. It knows the Hamiltonian, not the mean-field equations.

Each subset is one spin N_k / 2, each mode is cut off in a frame displaced by its exact amplitude alpha(t):

    a_mu = sqrt(N_sp) alpha_mu(t) + b_mu
    alpha_mu' = -(i Omega_mu + kappa_mu / 2) alpha_mu - i g0 sum_k w_k G <S_z,k> / N_k

so that <b_mu> stays 0 and the cut-off has to hold fluctuations only. H_b (of `spin_space`) and b are real: with
rho = A + i B, A symmetric and B antisymmetric, the real matrix R = A + B is all of rho, Hermitian by construction, and

    R' = R^T H - H R^T + sum_mu kappa_mu (b R b^T - {b^T b, R} / 2).

Single-spin dissipation leaves the space of large spins: every spin is then a site of its own.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_times, check_all, check_count
from .._door import checked
from .._status import Status
from .._summary import AbstractResult, Rows
from .._typing import ArrayLike, Quadratures, SpinVectors
from ..mean_field import DickeModel, MeanFieldState, check_spin_lengths, overlaps
from . import spin_space
from .moments import PURE, Moments, moments_of, real_start, steps_onto, subset_sizes, unravel
from .photon_cutoff import MOST_GIGABYTES, LargestSeen, cutoff_status, run_with_levels
from .spin_space import LargeSpinSpace, hamiltonian, loss, multiply, reduced

COPIES = 18  # density matrices that a solver holds at a time
ExactState = tuple[Float[Array, "D D"], Quadratures]  # R, and the frame (Re alpha, Im alpha)


class MasterSolution(AbstractResult):
    """Exact moments at the saved times.

    - `moments`: a `Moments`.
    - `overlaps`: (T, M), the means of xi_mu = sum_k w_k G[mu, k] S_z,k / N_k, as those of `MFSolution`.
    - `top_population`: (T, M), the largest population, since the time before, of the highest photon level kept of each
      mode, in its displaced frame.
    - `status`: a `Status`: `cut_off` where a highest level is populated, `failed` where the integration broke down.
    - `stats`: numbers of accepted and rejected steps, and the `dimension` of the space.
    """

    moments: Moments
    overlaps: Float[Array, "T M"]
    top_population: Float[Array, "T M"]
    status: Status
    stats: dict[str, Any]

    def _heading(self) -> str:
        return f"MasterSolution: {self.moments.system}"

    def _rows(self) -> Rows:
        if "dimension" in self.stats:
            yield "space", f"of dimension {int(np.max(self.stats['dimension']))}"
        yield "overlaps", f"{np.round(self.overlaps[0], 4)} -> {np.round(self.overlaps[-1], 4)}"
        yield from self.moments._rows()
        yield "highest level", f"population {np.max(self.top_population):.1e}"


@checked
def mesolve(
    model: DickeModel,
    state: MeanFieldState,
    tsave: ArrayLike,
    subset_size: int | None = None,
    *,
    levels: int | Sequence[int] | None = None,
    cutoff_tol: float | None = None,
    tol: float | None = None,
    solver: dfx.AbstractSolver | None = None,
    max_steps: int = 2**18,
    adjoint: dfx.AbstractAdjoint | None = None,
) -> MasterSolution:
    """Integrate the master equation (paper, Eqs. 1 and 3) from a product state, exactly up to the photon cut-off.

        rho' = -i [H, rho] + sum_mu kappa_mu (a rho a^dag - {a^dag a, rho} / 2)

    and single-spin dissipation, if the model has it. Without, in the space of K large spins and M modes, of dimension
    prod_k (N_k + 1) prod_mu levels_mu; with it in that of all spins, of dimension 2^N_sp prod_mu levels_mu.

    **Arguments**

    - `model`: a `DickeModel`. Rates may depend on time. Single-spin dissipation is for about 6 spins at most: a
      density matrix of 7 with 10 photon levels has 1.6 million numbers, and each spin more makes it four times slower.
    - `state`: the product state to start from: every spin of subset k points along m_k, |m_k| = 1; mode mu is in the
      coherent state of amplitude sqrt(N_sp) alpha_mu. With single-spin dissipation also |m_k| < 1: independent spins
      of this mean.
    - `tsave`: increasing times, at least two.
    - `subset_size`: N, spins per subset, where the model's spins are infinitely many.
    - `levels`: photon levels kept in the displaced frame, one number or one for each mode; by default as many as
      `cutoff_tol` asks for and fit, found by running again with more.
    - `cutoff_tol`: the population of a highest level from which the status is `cut_off`, by default a tenth of `tol`.
      Covariances were off by 30 to 2000 times that population, means by a tenth of it: 1e-6 at the most by default.
    - `tol`: local error of the density matrix in the Frobenius norm; 1e-9 in float64, 1e-5 in float32.
    - `solver`: a diffrax solver, Dopri8 by default; `max_steps`: more steps end the run with a status.
    - `adjoint`: of diffrax, `RecursiveCheckpointAdjoint` by default, for `jax.grad`; `ForwardMode` serves `jax.jvp`.

    **Raises** ValueError for arguments that do not fit, also for a space too large.

    **Returns** a `MasterSolution`.

    **Example**

        >>> model = dj.examples.paper_model(g0=0.4, num_patterns=1)
        >>> exact = dj.mesolve(model, dj.stored_pattern(model), [0.0, 2.0], subset_size=4)
        >>> print(exact.moments.m[-1, 2].round(4), bool(exact.successful))
        [-0.3441] True
    """
    m, frame = real_start(model, state)
    sizes = subset_sizes(model, subset_size)
    if model.dissipation is None:
        spaces, fit = spin_space.large_spin_space, "fit"
        check_spin_lengths(m, lambda length: np.abs(length - 1) < PURE, "1: spins of a subset alike, pure")
    else:
        spaces, fit = spin_space.single_spin_space, "of single spins, which dissipate, fit"
        check_spin_lengths(m, lambda length: length < 1 + PURE, "at most 1")
    must_be = f"so small that {COPIES} density matrices {fit} into {MOST_GIGABYTES} GB"
    memory = COPIES * jnp.dtype(model.dtype).itemsize, 2
    times = as_times(tsave, model.dtype)
    check_count("max_steps", max_steps)
    if tol is None:
        tol = 1e-9 if model.dtype == jnp.float64 else 1e-5
    cutoff_tol = tol / 10 if cutoff_tol is None else cutoff_tol
    for name, value in (("tol", tol), ("cutoff_tol", cutoff_tol)):
        check_all(name, value, lambda x: (x > 0) & (x < 1), "between 0 and 1")
    tolerances = jnp.asarray(cutoff_tol, model.dtype), jnp.asarray(tol, model.dtype)

    def run(space: LargeSpinSpace) -> MasterSolution:
        how = solver or dfx.Dopri8(), adjoint or dfx.RecursiveCheckpointAdjoint(), max_steps
        return _integrate(model, m, frame, times, space, *tolerances, *how)

    return run_with_levels(run, partial(spaces, sizes), memory, must_be, levels, model, state, cutoff_tol)


@eqx.filter_jit
def _integrate(
    model: DickeModel,
    m: SpinVectors,
    frame: Quadratures,
    times: Float[Array, " T"],
    space: LargeSpinSpace,
    cutoff_tol: Float[Array, ""],
    tol: Float[Array, ""],
    solver: dfx.AbstractSolver,
    adjoint: dfx.AbstractAdjoint,
    max_steps: int,
) -> MasterSolution:
    start = spin_space.product_state(space, m) if model.dissipation is None else spin_space.product_of_spins(space, m)
    highest = partial(_highest_levels, space=space)
    sol = dfx.diffeqsolve(
        dfx.ODETerm(_master_equation),
        solver,
        times[0],
        times[-1],
        None,
        (start, frame),
        args=(model, space),
        saveat=dfx.SaveAt(ts=times, fn=_observe, controller_state=True),
        stepsize_controller=LargestSeen(steps_onto(times, model, rtol=0.0, atol=tol, norm=_frobenius), times, highest),
        adjoint=adjoint,
        max_steps=max_steps,
        throw=False,
    )
    means, covariance = sol.ys  # pyright: ignore[reportGeneralTypeIssues, reportOptionalIterable]
    top = LargestSeen.found(sol.controller_state)
    ran = (sol.result == dfx.RESULTS.successful) & jnp.all(jnp.isfinite(covariance))
    moments = moments_of(times, means, covariance, space.num_spins)
    status, stats = cutoff_status(top, cutoff_tol, ran), sol.stats | {"dimension": len(start)}
    return MasterSolution(moments, overlaps(model, moments.m), top, status, stats)


def _master_equation(t: ArrayLike, y: ExactState, args: tuple[DickeModel, LargeSpinSpace]) -> ExactState:
    (R, frame), (model, space) = y, args
    model = model.at(t)
    (re, im), (s_z, photons) = frame, space.diagonals(R.dtype)
    G = model.spins.couplings.astype(R.dtype)[:, np.array(space.subset)]
    drive = model.g0 / space.num_spins * (G @ jnp.sum(s_z * jnp.diagonal(R)[None], axis=1))
    re_dot = model.omega_mode * im - model.kappa / 2 * re
    frame_dot = jnp.stack([re_dot, -model.omega_mode * re - model.kappa / 2 * im - drive])
    # in this frame d_mu is imaginary, H_b real
    H = {offset: diagonal.real for offset, diagonal in hamiltonian(model, space, frame, frame_dot, R.dtype).items()}
    change = multiply(H, R).T - multiply(H, R.T)  # R^T H = (H R)^T
    for mu, kappa in enumerate(model.kappa):
        b, half = loss(model, space, mu), kappa / 2 * photons[mu]
        change += multiply(b, multiply(b, R).T).T - half[:, None] * R - half[None, :] * R
    if model.dissipation is not None:
        tensor = R.reshape(*space.sites, *space.sites)
        change += spin_space.dissipate(tensor, space, model.dissipation).reshape(R.shape)
    return change, frame_dot


def _observe(t: Array, y: ExactState, args: tuple[DickeModel, LargeSpinSpace]) -> Any:
    """Means and N_sp times the symmetrised covariance, site by site."""
    (R, frame), (model, space) = y, args
    S = len(space.sites)
    rho = jax.lax.complex((R + R.T) / 2, (R - R.T) / 2).reshape(*space.sites, *space.sites)
    operators = [spin_space.site_operators(space, site, rho.dtype) for site in range(S)]
    mean, blocks = [], {}
    for s in range(S):
        one = reduced(rho, S, (s,))
        mean.append(jnp.einsum("aij,ji->a", operators[s], one).real)
        blocks[s, s] = jnp.einsum("aij,bjk,ki->ab", operators[s], operators[s], one).real
        for u in range(s):
            pair = reduced(rho, S, (u, s))
            blocks[s, u] = jnp.einsum("aij,bkl,ljki->ab", operators[s], operators[u], pair).real
            blocks[u, s] = blocks[s, u].T
    mean, second = jnp.concatenate(mean), jnp.block([[blocks[s, u] for u in range(S)] for s in range(S)])
    average = space.subset_averages(R.dtype)
    covariance = average @ (space.num_spins * (second - mean[:, None] * mean[None, :])) @ average.T
    m, quadratures = unravel(average @ mean, model)
    return (m, frame + quadratures), covariance


def _highest_levels(y: ExactState, space: LargeSpinSpace) -> Array:
    """The population of the highest level of each mode, of which no derivative is asked."""
    shares = jnp.diagonal(jax.lax.stop_gradient(y[0])).reshape(space.sites)
    modes = range(len(space.sites) - len(space.levels), len(space.sites))
    return jnp.stack([jnp.sum(jnp.moveaxis(shares, mode, 0)[-1]) for mode in modes])


def _frobenius(y: Any) -> Array:
    return jnp.sqrt(jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(y)])))
