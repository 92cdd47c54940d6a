"""Truncated Wigner: mean-field trajectories from sampled starts, with the vacuum noise that losses let in.

    dm = f(m, alpha) dt                            f: the mean-field equations
    d alpha_mu = f dt + sqrt(kappa_mu / 4 N_sp) (dW_1 + i dW_2)

Every spin of subset k points along m_k and has +1 or -1 across, each with probability 1/2, so that large spins have the
symmetrised covariance (delta_ab - m_a m_b) / N_k; every quadrature of a_mu has variance 1/4. M and N may be of any
size. N E_N(t) has the exact limit, and beyond Gaussian fluctuations the motion stays non-linear. What is truncated
changes N E_N by a share of order 1/N and means by order 1/N^2.

This is not `solve_ensemble`, which integrates without noise and hands out every row: here a chunk of samples walks in
lock step and is added to sums of moments, so that memory does not grow with the number of samples.
"""

import dataclasses
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import as_float, as_pattern_index, check_all, check_count, check_finite, known, refuse
from .._typing import ArrayLike, RealState, RealStates, SpinVectors, SubsetReals
from ..dynamics import mfsolve
from ..equations import mean_field_equations
from ..model import DickeModel
from ..observables import overlaps
from ..state import MeanFieldState
from .moments import Moments, frames, ravel, real_start, subset_sizes, unravel

EXACT_SUMS = 100  # spins per subset up to which every +-1 is drawn, normal numbers above
STEPS_PER_RADIAN = 20  # of the fastest rate, by default


class WignerSolution(eqx.Module):
    """Moments of an ensemble of sampled trajectories, and how well they are known.

    - `moments`: `Moments`; of the modes in symmetric order.
    - `scaled_error`: (T,), N E_N(t) with N = N_sp / K, and `scaled_error_sem` its standard error.
    - `mean_sem`: (T, 3 K + 2 M), standard errors of the means, in the order of the covariance.
    - `final_overlaps`: (S, M), xi_mu of every sample at the last time.
    - `successful`: whether all numbers are finite.
    """

    moments: Moments
    scaled_error: Float[Array, " T"]
    scaled_error_sem: Float[Array, " T"]
    mean_sem: Float[Array, "T D"]
    final_overlaps: Float[Array, "S M"]
    successful: Array

    def retrieval_probability(
        self, pattern: ArrayLike = 0, threshold: float = 0.5
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The share of samples whose largest overlap is with `pattern` and above `threshold`; its standard error."""
        size = jnp.abs(self.final_overlaps)
        nu = as_pattern_index(pattern, size.shape[1])
        found = (jnp.argmax(size, axis=1) == nu) & (size[:, nu] > threshold)
        share = jnp.mean(found.astype(size.dtype))
        return share, jnp.sqrt(share * (1 - share) / size.shape[0])

    def __repr__(self) -> str:
        if not known(self.scaled_error):
            return eqx.tree_pformat(self)
        last, sem = float(self.scaled_error[-1]), float(self.scaled_error_sem[-1])
        ended = "" if self.successful else " (failed: numbers that are not finite)"
        return f"{self.moments!r}\n  {self.final_overlaps.shape[0]} samples{ended}, N E_N = {last:.4g} +- {sem:.1g}"


def wigner_moments(
    key: PRNGKeyArray,
    model: DickeModel,
    state: MeanFieldState,
    tsave: ArrayLike,
    subset_size: int | None = None,
    *,
    num_samples: int = 2000,
    chunk: int = 500,
    dt: float | None = None,
) -> WignerSolution:
    """Sample `num_samples` trajectories of the truncated Wigner equations from a product state.

    **Main arguments**

    - `key`: decides everything; the samples do not depend on `chunk`.
    - `model`: a `DickeModel` without single-spin dissipation. Rates may depend on time.
    - `state`: spins of subset k are independent and have mean m_k; |m_k| < 1 where some are flipped, as in
      `corrupted_pattern` of the limit. Modes are coherent.
    - `tsave`: increasing times, at least two, known.
    - `subset_size`: N, spins per subset, where the model's spins are infinitely many.

    **Other arguments**

    - `num_samples`: S; errors fall like 1 / sqrt(S).
    - `chunk`: samples that run side by side, to bound memory.
    - `dt`: the step, by default a twentieth of a radian of the fastest rate at the start.

    **Returns** a `WignerSolution`.

    **Raises** ValueError for arguments that do not fit.
    """
    y0 = real_start(model, state)
    if model.dissipation is not None:
        refuse("model", "without single-spin dissipation, whose noise is not sampled (gaussian_moments has it)", "with")
    check_all("|m_k|", jnp.linalg.norm(y0[0], axis=0), lambda s: s <= 1 + 1e-5, "at most 1")
    sizes = subset_sizes(model, subset_size)
    check_count("num_samples", num_samples, least=2)
    check_count("chunk", chunk)
    if not known(tsave):
        refuse("tsave", "known, for it sets the steps", "traced")
    times = np.asarray(as_float(tsave), dtype=float)
    if times.ndim != 1 or times.size < 2 or not np.all(np.diff(times) > 0):
        refuse("tsave", "at least two increasing times", f"shape {times.shape}" if times.ndim != 1 else "others")
    check_finite("tsave", times)
    if dt is None:
        dt = _default_step(model.at(times[0]), y0)
    check_all("dt", dt, lambda step: (step > 0) & np.isfinite(step), "positive and finite")
    steps = jnp.asarray(np.ceil(np.diff(times) / dt), jnp.int32)  # between saved times
    sol = mfsolve(model, state, times, throw=False)
    limit = jnp.concatenate([sol.m.reshape(times.size, -1), sol.alpha.real, sol.alpha.imag], axis=1)
    numbers, drawn = jnp.asarray(sizes, model.dtype), EXACT_SUMS * (min(sizes) <= EXACT_SUMS)
    at = jnp.asarray(times, model.dtype)
    run = _ensemble(key, model, y0, limit, steps, at, numbers, drawn, num_samples, min(chunk, num_samples))
    return eqx.tree_at(lambda r: r.moments, run, dataclasses.replace(run.moments, num_spins=sum(sizes)))


def sample_start(key: PRNGKeyArray, y0: RealState, sizes: SubsetReals, drawn: int) -> RealState:
    """One sample of a product state: large spins as sums of N_k vectors, modes with vacuum noise.

    In subsets of up to `drawn` spins every one is drawn by itself.
    """
    m, quadratures = y0
    spin_key, mode_key = jax.random.split(key)
    frame, length = frames(m)
    half = jnp.full_like(length, 0.5)
    up = jnp.stack([half, half, jnp.clip((1 + length) / 2, 0.0, 1.0)])  # across, across, along m_k
    spins = jnp.einsum("abk,bk->ak", frame, _mean_of_signs(spin_key, up, sizes, drawn))
    noise = jax.random.normal(mode_key, quadratures.shape, quadratures.dtype)
    return spins, quadratures + noise / (2 * jnp.sqrt(jnp.sum(sizes)))


@eqx.filter_jit
def _ensemble(
    key: PRNGKeyArray,
    model: DickeModel,
    y0: RealState,
    limit: Float[Array, "T D"],
    steps: Int[Array, " I"],
    times: Float[Array, " T"],
    sizes: SubsetReals,
    drawn: int,
    num_samples: int,
    chunk: int,
) -> WignerSolution:
    dtype, K = model.dtype, model.num_subsets
    root = jnp.sqrt(jnp.sum(sizes))
    entries = 3 * K + 2 * model.num_modes
    share = jnp.concatenate([jnp.full(3 * K, 1 / K, dtype), jnp.full(2 * model.num_modes, 2.0, dtype)])  # of N E_N

    def sample(key: PRNGKeyArray, strength: Array) -> tuple[Array, Array]:
        start, noise = jax.random.split(key)
        drawn_start = jax.tree.map(
            lambda a, b: jnp.where(strength > 0, a, b), sample_start(start, y0, sizes, drawn), y0
        )
        ys = _trajectory(noise, model, drawn_start, times, steps, strength)
        return jax.vmap(ravel)(ys), overlaps(model, ys[0][-1])

    def add_chunk(sums: Any, part: Any) -> tuple[Any, Array]:
        keys, counts = part
        # the first row runs without noise: deviations from it are free of the error of the steps
        strengths = jnp.full(chunk + 1, 1 / root).at[0].set(0)
        v, xi = jax.vmap(sample)(jnp.concatenate([keys[:1], keys]), strengths)
        u = jnp.where(counts[:, None, None], root * (v[1:] - v[:1]), 0.0)
        errors = jnp.sum(share[None, None, :] * u**2, axis=-1)
        more = (jnp.sum(u, 0), jnp.einsum("sti,stj->tij", u, u), jnp.sum(errors, 0), jnp.sum(errors**2, 0))
        return jax.tree.map(jnp.add, sums, more), xi[1:]

    fill = -num_samples % chunk  # the last chunk is filled up with samples that do not count
    keys = jax.random.split(key, num_samples)
    keys = jnp.concatenate([keys, keys[:fill]]).reshape(-1, chunk)
    counts = (jnp.arange(num_samples + fill) < num_samples).reshape(-1, chunk)
    T = times.size
    zero = (jnp.zeros((T, entries), dtype), jnp.zeros((T, entries, entries), dtype), *jnp.zeros((2, T), dtype))
    (total, square, error, error_square), xi = jax.lax.scan(add_chunk, zero, (keys, counts))

    n = num_samples
    mean = total / n
    covariance = (square / n - mean[:, :, None] * mean[:, None, :]) * (n / (n - 1))
    m, quadratures = jax.vmap(lambda v: unravel(v, model))(limit + mean / root)
    sem = jnp.sqrt(jnp.maximum(error_square / n - (error / n) ** 2, 0) / (n - 1))
    moments = Moments(times, m, jax.lax.complex(quadratures[:, 0], quadratures[:, 1]), covariance, None)
    mean_sem = jnp.sqrt(jnp.diagonal(covariance, axis1=1, axis2=2) / n) / root
    xi = xi.reshape(-1, model.num_modes)[:n]
    return WignerSolution(moments, error / n, sem, mean_sem, xi, jnp.all(jnp.isfinite(covariance)))


def _trajectory(
    key: PRNGKeyArray,
    model: DickeModel,
    y0: RealState,
    times: Float[Array, " T"],
    steps: Int[Array, " I"],
    strength: Float[Array, ""],
) -> RealStates:
    """One trajectory at the saved times; noise of `strength` sqrt(kappa / 4) on every quadrature, none on the spins."""
    m, quadratures = y0
    shapes = (jax.ShapeDtypeStruct((), m.dtype), jax.ShapeDtypeStruct(quadratures.shape, m.dtype))
    path = dfx.UnsafeBrownianPath(shapes, key, levy_area=dfx.SpaceTimeLevyArea)
    identity = jnp.eye(quadratures.size, dtype=m.dtype).reshape(*quadratures.shape, *quadratures.shape)

    def noise(t: Any, y: RealState, args: DickeModel) -> tuple[SpinVectors, Array]:
        size = strength * jnp.sqrt(args.at(t).kappa / 4)
        return jnp.zeros_like(y[0]), size[None, :, None, None] * identity

    terms, solver = dfx.MultiTerm(dfx.ODETerm(mean_field_equations), dfx.ControlTerm(noise, path)), dfx.ShARK()

    def to_next(y: RealState, part: tuple[Array, Array, Array]) -> tuple[RealState, RealState]:
        start, h, count = part

        def step(i: Array, y: RealState) -> RealState:
            t = start + i.astype(h.dtype) * h
            return solver.step(terms, t, t + h, y, model, None, made_jump=False)[0]

        y = jax.lax.fori_loop(0, count, step, y)
        return y, y

    _, ys = jax.lax.scan(to_next, y0, (times[:-1], jnp.diff(times) / steps.astype(m.dtype), steps))
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), y0, ys)


def _mean_of_signs(key: PRNGKeyArray, p: SpinVectors, sizes: SubsetReals, drawn: int) -> SpinVectors:
    """Means over N_k independent numbers, +1 with probability p and -1 otherwise; normal ones for N_k > `drawn`."""
    number = sizes[None]
    normal = 2 * p - 1 + jnp.sqrt(4 * p * (1 - p) / number) * jax.random.normal(key, p.shape, p.dtype)
    if drawn == 0:
        return normal
    up = jax.random.uniform(jax.random.fold_in(key, 1), (*p.shape, drawn), p.dtype) < p[..., None]
    there = jnp.arange(drawn, dtype=p.dtype)[None, :] < sizes[:, None]
    exact = jnp.sum(jnp.where(up, 1.0, -1.0).astype(p.dtype), axis=-1, where=there[None]) / number
    return jnp.where(number <= drawn, exact, normal)


def _default_step(model: DickeModel, y0: RealState) -> float:
    """A share of a radian of the fastest of: spin and mode frequencies, and the field that full overlaps make."""
    response = jnp.sqrt(model.omega_mode**2 + model.kappa**2 / 4)
    amplitude = jnp.abs(model.g0) / jnp.where(response > 0, response, 1.0)
    start = jnp.linalg.norm(y0[1], axis=0)
    turn = 4 * jnp.abs(model.g0) * jnp.max(amplitude + start)
    rates = [2 * jnp.abs(model.omega_spin), jnp.max(jnp.abs(model.omega_mode) + model.kappa / 2), turn]
    if not all(known(rate) for rate in rates):
        refuse("dt", "given where rates are traced", "None")
    return 1 / (STEPS_PER_RADIAN * max(float(jnp.squeeze(rate)) for rate in rates))
