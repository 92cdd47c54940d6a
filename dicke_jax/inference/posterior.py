"""Posterior samples of fitted rates, by blackjax's No-U-Turn sampler (an extra: it is imported where it is used)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import check_count, known, refuse
from .._door import checked
from .._labelled import Labelled
from .._summary import summary
from .fit_parameters import FitParameters
from .fit_result import FitResult
from .fit_steps import chi_square, residuals
from .free_parameters import Vector
from .optimise import value_and_slope

MIXED = 1.01  # R-hat above which chains do not tell the same


class PosteriorSamples(Labelled):
    """Samples of the rates, given the data.

    - `rates`: (C, S, F), S samples of each of C chains; `names` says which.
    - `num_divergent`: samples at which the sampler lost its way; a few in a thousand are harmless.
    - `r_hat`, `effective_samples`: (F,), of the log rates: 1 where the chains agree, and for how many independent
      samples all of them count.
    """

    rates: Float[Array, "C S F"]
    num_divergent: Int[Array, ""]
    r_hat: Vector
    effective_samples: Vector
    names: tuple[str, ...] = eqx.field(static=True)

    def intervals(self, confidence: float = 0.95) -> Float[Array, "2 F"]:
        """Between the quantiles (1 -+ confidence) / 2 of each rate."""
        if not known(confidence) or not 0 < confidence < 1:
            refuse("confidence", "between 0 and 1", confidence)
        ends = jnp.asarray([(1 - confidence) / 2, (1 + confidence) / 2], self.rates.dtype)
        return jnp.quantile(self.rates.reshape(-1, len(self.names)), ends, axis=0)

    def __repr__(self) -> str:
        if not known(self.rates):
            return eqx.tree_pformat(self)
        chains, samples, _ = self.rates.shape
        agree = "chains agree" if float(jnp.max(self.r_hat)) < MIXED else "chains do not agree: take more samples"
        middle, (low, high) = np.median(self.rates, axis=(0, 1)), np.asarray(self.intervals())
        columns = self.names, middle, low, high, np.asarray(self.r_hat), np.asarray(self.effective_samples)
        rows = [
            (name, f"{mid:.6g}  95 %: {least:.6g} to {most:.6g}  (R-hat {r_hat:.3f}, {size:.0f} effective samples)")
            for name, mid, least, most, r_hat, size in zip(*columns, strict=True)
        ]
        heading = f"PosteriorSamples: {chains} chains of {samples}, {int(self.num_divergent)} divergent, {agree}"
        return summary(heading, rows)


@checked
def sample_posterior(
    key: PRNGKeyArray,
    found: FitResult,
    *,
    num_samples: int = 1000,
    num_chains: int = 4,
    num_warmup: int = 500,
    prior: float = 1.0,
) -> PosteriorSamples:
    """Samples of the rates' posterior, where intervals from the Fisher information are not enough.

        -log density(log p) = sum_i r_i(p)^2 / 2 + sum_j (log(p_j / p_j0))^2 / (2 prior^2)

    with p_0 the rates that the fit started from. Combinations that the data leave open come out as wide as the prior.
    Chains start near the fit, scattered as its covariance says, in coordinates in which that is the unit matrix.

    **Main arguments**

    - `key`: for the random numbers.
    - `found`: a `FitResult`. Noise is taken to be Gaussian, whatever the loss of the fit was.

    **Other arguments**

    - `num_samples`, `num_chains`, `num_warmup`: of each chain; how many; steps before that tune the sampler.
    - `prior`: the standard deviation of each log rate before the data are known.

    **Returns** a `PosteriorSamples`.

    **Raises** ImportError without blackjax, which `pip install "dicke-jax[posterior]"` brings; ValueError for a fit
    that failed, and for arguments that do not fit.

    **Example**

        >>> model, g0 = dj.examples.paper_model(num_patterns=1), np.linspace(0.7, 1.5, 9)
        >>> curve = dj.StationaryCurve(g0, np.sqrt(1 - (0.6 / g0) ** 4), noise=0.01)
        >>> found = dj.fit(model, curve, free=["omega_spin"])
        >>> samples = dj.sample_posterior(jax.random.key(0), found, num_samples=200, num_chains=2)
        >>> print(samples.rates.shape, int(samples.num_divergent))
        (2, 200, 1) 0
    """
    try:
        import blackjax
    except ImportError as error:
        raise ImportError('blackjax must be installed to sample: pip install "dicke-jax[posterior]".') from error
    if not np.isfinite(found.loss):
        refuse("found", "a fit with a finite loss", "one that failed")
    for name, value in (("num_samples", num_samples), ("num_chains", num_chains), ("num_warmup", num_warmup)):
        check_count(name, value, least=4 if name == "num_samples" else 1)
    if not known(prior) or not prior > 0:
        refuse("prior", "positive", prior)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # blackjax mixes types
        numbers = num_samples, num_chains, num_warmup
        samples = _sample(blackjax, found.parameters, found.parameters.start(), found.vector, key, prior, *numbers)
    return PosteriorSamples(*samples, found.names)


@eqx.filter_jit
def _sample(
    blackjax: Any, parameters: FitParameters, start: Vector, best: Vector, key: PRNGKeyArray, prior: Any, *numbers: int
) -> tuple[Float[Array, "C S F"], Int[Array, ""], Vector, Vector]:
    num_samples, num_chains, num_warmup = numbers
    home, pull = parameters.log_rates(start), 1 / jnp.asarray(prior, best.dtype)

    def terms(v: Vector) -> Array:
        return jnp.concatenate([residuals(*parameters.at(v)), pull * (parameters.log_rates(v) - home)])

    slopes = jax.jacfwd(terms)(best)
    _, sizes, rows = jnp.linalg.svd(slopes, full_matrices=False)
    whiten = rows.T / sizes  # the prior leaves no size at 0

    def log_density(u: Vector) -> Float[Array, ""]:
        v = best + whiten @ u
        return -chi_square(terms(v)) + jnp.sum(jnp.log(jnp.abs(parameters.stretches(v))))  # per log rate, not per v

    density = jax.custom_vjp(log_density)  # its gradient is taken forwards: there are few rates, and long runs
    density.defvjp(lambda u: value_and_slope(log_density, u), lambda slope, change: (change * slope,))

    def chain(key: PRNGKeyArray) -> tuple[Array, Array]:
        begin, tune, run = jax.random.split(key, 3)
        first = jax.random.normal(begin, best.shape, best.dtype)
        warm = blackjax.window_adaptation(blackjax.nuts, density)
        (state, tuned), _ = warm.run(tune, first, num_steps=num_warmup)
        kernel = blackjax.nuts(density, **tuned)

        def step(state: Any, key: PRNGKeyArray) -> tuple[Any, tuple[Array, Array]]:
            state, info = kernel.step(key, state)
            return state, (state.position, info.is_divergent)

        _, (positions, divergent) = jax.lax.scan(step, state, jax.random.split(run, num_samples))
        return positions, divergent

    positions, divergent = jax.vmap(chain)(jax.random.split(key, num_chains))
    vectors = best + positions @ whiten.T
    logs = jax.vmap(jax.vmap(parameters.log_rates))(vectors)
    r_hat = blackjax.diagnostics.rhat(logs).reshape(best.shape)  # a single one comes without an axis
    effective = blackjax.diagnostics.effective_sample_size(logs).reshape(best.shape)
    return jax.vmap(jax.vmap(parameters.rates))(vectors), jnp.sum(divergent), r_hat, effective
