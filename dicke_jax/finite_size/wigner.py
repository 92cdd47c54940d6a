"""Truncated Wigner: mean-field trajectories from sampled starts, with the vacuum noise that losses let in.

    dm = f(m, alpha) dt                            f: the mean-field equations
    d alpha_mu = f dt + sqrt(kappa_mu / 4 N_sp) (dW_1 + i dW_2)

Every spin of subset k points along m_k and has +1 or -1 across, each with probability 1/2, so that large spins have the
symmetrised covariance (delta_ab - m_a m_b) / N_k; every quadrature of a_mu has variance 1/4. M and N may be of any
size. N E_N(t) has the exact limit, and beyond Gaussian fluctuations the motion stays non-linear. What is truncated
changes N E_N by a share of order 1/N and means by order 1/N^2.

Unlike the rows of `solve_ensemble` samples are added to sums of moments, so memory does not grow with their number.

Steps are of given sizes. Their error is measured: two rows without noise, one of them displaced, are compared with
`mfsolve`. What it comes to, as a share of a fluctuation, is told beside the results.
"""

from dataclasses import replace
from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from .._checks import as_pattern_index, as_times, check_all, check_count, known, refuse
from .._door import checked
from .._status import Status, where
from .._summary import AbstractResult, Rows
from .._typing import ArrayLike, RealState, RealStates, SpinVectors, SubsetReals
from ..dynamics import mfsolve
from ..mean_field import DickeModel, MeanFieldState, check_spin_lengths, mean_field_equations, overlaps
from .moments import Moments, frames, moments_of, ravel, real_start, subset_sizes, unravel
from .theorem import weighted_trace
from .wigner_steps import Steps, finer, sees, steps_between

EXACT_SUMS = 100  # spins per subset up to which every +-1 is drawn, normal numbers above
DISPLACED = 2.0**-6  # by how much the row is that measures the error of the steps


class WignerSolution(AbstractResult):
    """Moments of an ensemble of sampled trajectories, and how well they are known.

    - `moments`: `Moments`; of the modes in symmetric order.
    - `scaled_error`: (T,), N E_N(t) with N = N_sp / K, and `scaled_error_sem` its standard error.
    - `mean_sem`: (T, 3 K + 2 M), standard errors of the means, in the order of the covariance.
    - `final_overlaps`: (S, M), xi_mu of every sample at the last time.
    - `step_error`: (T,), the error of the steps as a share of a fluctuation, measured without noise.
    - `status`: a `Status`: `coarse_steps` where `step_error` exceeds what S samples can see, 1 / sqrt(2 S); that of
      `mfsolve` where that failed; `failed` where numbers are not finite.
    """

    moments: Moments
    scaled_error: Float[Array, " T"]
    scaled_error_sem: Float[Array, " T"]
    mean_sem: Float[Array, "T D"]
    final_overlaps: Float[Array, "S M"]
    step_error: Float[Array, " T"]
    status: Status

    @checked
    def retrieval_probability(
        self, pattern: ArrayLike = 0, threshold: float = 0.5
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The share of samples whose largest overlap is with `pattern` and above `threshold`; its standard error."""
        size = jnp.abs(self.final_overlaps)
        nu = as_pattern_index(pattern, size.shape[1])
        found = (jnp.argmax(size, axis=1) == nu) & (size[:, nu] > threshold)
        share = jnp.mean(found.astype(size.dtype))
        return share, jnp.sqrt(share * (1 - share) / size.shape[0])

    def _heading(self) -> str:
        return f"WignerSolution: {self.final_overlaps.shape[-2]} samples, {self.moments.system}"

    def _rows(self) -> Rows:
        last, sem = np.asarray(self.scaled_error)[..., -1], np.asarray(self.scaled_error_sem)[..., -1]
        yield "N E_N", f"{np.max(last):.4g} +- {np.max(sem):.1g} at the last time"
        each = np.sqrt(2 / self.final_overlaps.shape[-2])
        for name, text in self.moments._rows():
            is_least = name == "squeezing"
            yield name, f"{text}, the least of many, each +- {each:.1g}" if is_least else text
        yield "steps", f"error {np.max(self.step_error):.1g} of a fluctuation"


@checked
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

    **Arguments**

    - `key`: decides everything; the samples do not depend on `chunk`.
    - `model`: a `DickeModel` without single-spin dissipation. Rates may depend on time.
    - `state`: spins of subset k are independent and have mean m_k; |m_k| < 1 where some are flipped, as in
      `corrupted_pattern` of the limit. Modes are coherent.
    - `tsave`: increasing times, at least two, known.
    - `subset_size`: N, spins per subset, where the model's spins are infinitely many.
    - `num_samples`: S; errors fall like 1 / sqrt(S).
    - `chunk`: samples that run side by side, to bound memory.
    - `dt`: the longest step. By default a twentieth of a radian of the fastest rate at any time, less for more samples,
      short enough for what functions of time do; and taken again with shorter ones where their error shows.

    **Returns** a `WignerSolution`. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=0.4, num_patterns=1)
        >>> key, start = jax.random.key(0), dj.stored_pattern(model)
        >>> run = dj.wigner_moments(key, model, start, [0.0, 2.0], 1000, num_samples=200)
        >>> print(run.final_overlaps.shape, bool(run.successful))
        (200, 1) True
    """
    y0 = real_start(model, state)
    if model.dissipation is not None:
        refuse("model", "without single-spin dissipation, whose noise is not sampled (gaussian_moments has it)", "with")
    check_spin_lengths(y0[0], lambda length: length <= 1 + 1e-5, "at most 1")
    sizes = subset_sizes(model, subset_size)
    check_count("num_samples", num_samples, least=2)
    check_count("chunk", chunk)
    if not known(tsave):
        refuse("tsave", "known, for it sets the steps", "traced")
    times = np.asarray(as_times(tsave), dtype=float)
    if dt is not None:
        if not known(dt):
            refuse("dt", "known, for it sets the steps", "traced")
        check_all("dt", dt, lambda step: (step > 0) & np.isfinite(step), "positive and finite")
    # where nothing depends on time it counts from 0, which is more precise
    at = times if model.is_time_dependent else times - times[0]
    steps = steps_between(at, model, y0, dt, num_samples)
    displaced, beside = _displaced(y0)
    runs = [mfsolve(model, start, at, throw=False) for start in (state, displaced)]
    exact = [(sol.m, sol.alpha) for sol in runs]
    numbers, drawn = jnp.asarray(sizes, model.dtype), EXACT_SUMS * (min(sizes) <= EXACT_SUMS)
    saved, rows = jnp.asarray(times, model.dtype), (num_samples, min(chunk, num_samples))
    how = exact, runs[0].status, saved, numbers, drawn, *rows
    run = _ensemble(key, model, (y0, beside), steps, *how)
    if dt is None and known(run.step_error) and runs[0].successful and not run.successful:  # once more, and finer
        steps = finer(steps, np.max(run.step_error) / sees(num_samples))
        run = _ensemble(key, model, (y0, beside), steps, *how)
    return replace(run, moments=replace(run.moments, num_spins=sum(sizes)))


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
    starts: tuple[RealState, RealState],
    steps: Steps,
    exact: list[tuple[Float[Array, "T 3 K"], Complex[Array, "T M"]]],
    mean_field: Status,
    times: Float[Array, " T"],
    sizes: SubsetReals,
    drawn: int,
    num_samples: int,
    chunk: int,
) -> WignerSolution:
    dtype, root = model.dtype, jnp.sqrt(jnp.sum(sizes))
    entries = 3 * model.num_subsets + 2 * model.num_modes
    limit, beside = (jnp.concatenate([m.reshape(m.shape[0], -1), alpha.real, alpha.imag], axis=1) for m, alpha in exact)

    def sample(key: PRNGKeyArray, row: Array) -> tuple[Array, Array]:
        start, noise = jax.random.split(key)
        sampled = sample_start(start, starts[0], sizes, drawn)
        y = jax.tree.map(lambda a, b, c: jnp.where(row > 1, a, jnp.where(row > 0, b, c)), sampled, *starts[::-1])
        ys = _trajectory(noise, model, y, steps, jnp.where(row > 1, 1 / root, 0.0))
        return jax.vmap(ravel)(ys), overlaps(model, ys[0][-1])

    def size(v: Array) -> Array:
        return jnp.sqrt(weighted_trace(model, v**2))

    def add_chunk(sums: Any, part: Any) -> tuple[Any, tuple[Array, Array]]:
        keys, counts = part
        # the first two rows run without noise: deviations from the first are free of most of the error of the steps
        v, xi = jax.vmap(sample)(jnp.concatenate([keys[:1], keys[:1], keys]), jnp.arange(chunk + 2))
        deviation = beside - limit
        carried = size(v[1] - v[0] - deviation) / jax.lax.cummax(size(deviation))
        u = jnp.where(counts[:, None, None], root * (v[2:] - v[:1]), 0.0)
        errors = weighted_trace(model, u**2)
        more = (jnp.sum(u, 0), jnp.einsum("sti,stj->tij", u, u), jnp.sum(errors, 0), jnp.sum(errors**2, 0))
        return jax.tree.map(jnp.add, sums, more), (xi[2:], jnp.maximum(carried, size(v[0] - limit)))

    fill = -num_samples % chunk  # the last chunk is filled up with samples that do not count
    keys = jax.random.split(key, num_samples)
    keys = jnp.concatenate([keys, keys[:fill]]).reshape(-1, chunk)
    counts = (jnp.arange(num_samples + fill) < num_samples).reshape(-1, chunk)
    T = times.size
    zero = (jnp.zeros((T, entries), dtype), jnp.zeros((T, entries, entries), dtype), *jnp.zeros((2, T), dtype))
    (total, square, error, error_square), (xi, step_errors) = jax.lax.scan(add_chunk, zero, (keys, counts))

    n, mean = num_samples, total / num_samples
    covariance = (square / n - mean[:, :, None] * mean[:, None, :]) * (n / (n - 1))
    means = jax.vmap(lambda v: unravel(v, model))(limit + mean / root)
    sem = jnp.sqrt(jnp.maximum(error_square / n - (error / n) ** 2, 0) / (n - 1))
    moments = moments_of(times, means, covariance, None)
    mean_sem = jnp.sqrt(jnp.diagonal(covariance, axis1=1, axis2=2) / n) / root
    xi = xi.reshape(-1, model.num_modes)[:n]
    coarse = ~(jnp.max(step_errors[0]) <= sees(n))  # so is NaN
    status = where((moments.status == Status.successful) & coarse, Status.coarse_steps, moments.status)
    status = where(mean_field == Status.successful, status, mean_field)
    return WignerSolution(moments, error / n, sem, mean_sem, xi, step_errors[0], status)


def _trajectory(
    key: PRNGKeyArray, model: DickeModel, y0: RealState, steps: Steps, strength: Float[Array, ""]
) -> RealStates:
    """One trajectory at the saved times; noise of `strength` sqrt(kappa / 4) on every quadrature, none on the spins.

    Each step has a clock of its own, from 0: the difference of two late times would lose digits.
    """
    m, quadratures = y0
    shapes = (jax.ShapeDtypeStruct((), m.dtype), jax.ShapeDtypeStruct(quadratures.shape, m.dtype))
    identity = jnp.eye(quadratures.size, dtype=m.dtype).reshape(*quadratures.shape, *quadratures.shape)
    solver, zero = dfx.ShARK(), jnp.zeros((), m.dtype)

    def stretch(j: Array, y: RealState) -> RealState:
        h = steps.size[j]

        def step(i: Array, y: RealState) -> RealState:
            begin = steps.begin[j] + i.astype(h.dtype) * h
            own = jax.random.fold_in(key, steps.before[j] + i)
            path = dfx.UnsafeBrownianPath(shapes, own, levy_area=dfx.SpaceTimeLevyArea)

            def drift(t: Any, y: RealState, args: DickeModel) -> RealState:
                return mean_field_equations(begin + t, y, args)

            def noise(t: Any, y: RealState, args: DickeModel) -> tuple[SpinVectors, Array]:
                size = strength * jnp.sqrt(args.at(begin + t).kappa / 4)
                return jnp.zeros_like(y[0]), size[None, :, None, None] * identity

            terms = dfx.MultiTerm(dfx.ODETerm(drift), dfx.ControlTerm(noise, path))
            return solver.step(terms, zero, h, y, model, None, made_jump=False)[0]

        return jax.lax.fori_loop(0, steps.number[j], step, y)

    def to_next(y: RealState, between: tuple[Array, Array]) -> tuple[RealState, RealState]:
        y = jax.lax.fori_loop(*between, stretch, y)
        return y, y

    _, ys = jax.lax.scan(to_next, y0, (steps.first[:-1], steps.first[1:]))
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), y0, ys)


@eqx.filter_jit
def _displaced(y0: RealState) -> tuple[MeanFieldState, RealState]:
    """A state beside y0, twice: all spins turned, and every mode moved."""
    across, (re, im) = frames(y0[0])[0], y0[1]
    m, re = y0[0] + DISPLACED * (across[:, 0] - across[:, 1]), re + DISPLACED
    return MeanFieldState(m, jax.lax.complex(re, im)), (m, jnp.stack([re, im]))


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
