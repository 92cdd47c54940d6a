"""Order and chaos: the largest Lyapunov exponent of a run."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_all, check_count, known, refuse
from .._typing import RealState
from ..equations import mean_field_equations
from ..model import DickeModel
from ..state import MeanFieldState
from .solve import check_model_and_state, check_tolerance, without_nan
from .steady import check_reaches_steady

NUM_BLOCKS = 10  # of windows, whose means give the standard error


class LyapunovExponent(eqx.Module):
    """The largest Lyapunov exponent of a run; under `jax.vmap` every array has leading batch axes.

    - `exponent`: in the unit of the rates; NaN where the run failed, which `status` tells.
    - `error`: its standard error, from the means of 10 blocks of windows. It knows nothing of drifts: a neutral shear,
      under which deviations grow like t, has an exponent of order log(t) / t at any finite time t.
    - `growth`: (W,), the logarithm of the deviation's growth in each window.
    - `time`: the time that the windows cover.
    - `status`: a `diffrax.RESULTS`; `diffrax.RESULTS[status]` is its text.
    - `final_state`: the `MeanFieldState` after the last window.
    """

    exponent: Float[Array, "*batch"]
    error: Float[Array, "*batch"]
    growth: Float[Array, "*batch W"]
    time: Float[Array, "*batch"]
    status: dfx.RESULTS
    final_state: MeanFieldState

    @property
    def num_windows(self) -> int:
        """W, the number of windows after the transient."""
        return self.growth.shape[-1]

    @property
    def successful(self) -> Array:
        """Whether the run covered its time with finite numbers; one for each row of a batch."""
        return jnp.asarray(self.status == dfx.RESULTS.successful)

    def __repr__(self) -> str:
        if not known(self.exponent):
            return eqx.tree_pformat(self)
        values, errors, good = (np.asarray(x) for x in (self.exponent, self.error, self.successful))
        rows = [f"LyapunovExponent: {self.num_windows} windows over t = {np.max(self.time):g}, {values.dtype}"]
        if values.ndim:
            rows.append(f"  batch     {values.shape}, successful {good.sum()} of {good.size}")
            if good.any():
                rows.append(f"  exponent  {values[good].min():.4g} to {values[good].max():.4g}")
        else:
            rows.append(f"  status    {'successful' if good else dfx.RESULTS[self.status]}")
            rows.append(f"  exponent  {values:.4g} +- {errors:.2g}")
        return "\n".join(rows)


def lyapunov_exponent(
    model: DickeModel,
    state: MeanFieldState,
    *,
    key: PRNGKeyArray | None = None,
    window: float | None = None,
    num_windows: int = 400,
    num_transient: int = 100,
    rtol: float | None = None,
    atol: float | None = None,
) -> LyapunovExponent:
    """The mean rate at which a small deviation from a run grows.

        lambda = (1 / t) log(|v(t)| / |v(0)|),   v' = (df/dy) v,   y' = f(y)

    The run and its tangent v are integrated together, v is set back to length 1 after every window, and the first
    windows are left out. Without single-spin dissipation |m_k| is conserved, and v is taken orthogonal to every m_k:
    deviations between pure states, and not to states of another spin length.

    0 on a periodic orbit or a torus, negative only where the run ends in a fixed point that attracts from all sides.

    **Main arguments**

    - `model`: a `DickeModel` with constant rates and kappa > 0.
    - `state`: the `MeanFieldState` to start from.

    **Other arguments**

    - `key`: draws the first v; `jax.random.key(0)` by default. It has no say in a long run.
    - `window`: the time between two normalisations, 2.5 / min kappa by default.
    - `num_windows`, `num_transient`: how many windows count, a multiple of 10, and how many are left out before.
    - `rtol`, `atol`: as in `mfsolve`, for y and v alike.

    **Returns** a `LyapunovExponent`. **Raises** ValueError for arguments that do not fit. A run that fails is told by
    its status, so that the good rows of a batch live.

    G. Benettin, L. Galgani, A. Giorgilli and J.-M. Strelcyn, Meccanica 15, 9 (1980); equations: Eq. 7 of the paper.
    """
    check_model_and_state(model, state)
    check_reaches_steady(model)
    check_count("num_windows", num_windows, NUM_BLOCKS)
    check_count("num_transient", num_transient, 0)
    if num_windows % NUM_BLOCKS:
        refuse("num_windows", f"a multiple of {NUM_BLOCKS}", num_windows)
    length = 2.5 / jnp.min(model.kappa) if window is None else jnp.asarray(window, model.dtype)
    check_all("window", length, lambda t: (t > 0) & np.isfinite(t), "positive and finite")
    tolerances = check_tolerance("rtol", rtol, model.dtype), check_tolerance("atol", atol, model.dtype)
    return _tangent_run(
        model,
        state.to_real(model),
        jax.random.key(0) if key is None else key,
        length,
        num_windows,
        num_transient,
        *tolerances,
    )


@eqx.filter_jit
def _tangent_run(
    model: DickeModel,
    y0: RealState,
    key: PRNGKeyArray,
    window: Float[Array, ""],
    num_windows: int,
    num_transient: int,
    rtol: float,
    atol: float,
) -> LyapunovExponent:
    valid, model, y0 = without_nan(model, y0)
    valid &= jnp.isfinite(window) & (window > 0)
    window = jnp.where(valid, window, jnp.ones_like(window))

    def advance(
        carry: tuple[RealState, RealState, dfx.RESULTS], _: None
    ) -> tuple[tuple[RealState, RealState, dfx.RESULTS], Array]:
        y, v, status = carry
        sol = dfx.diffeqsolve(
            dfx.ODETerm(_with_tangent),
            dfx.Dopri8(),
            jnp.zeros_like(window),
            window,
            None,
            (y, v),
            args=model,
            saveat=dfx.SaveAt(t1=True),
            stepsize_controller=dfx.PIDController(rtol, atol, dtmin=1e-3 * jnp.finfo(model.dtype).eps * window),
            max_steps=None,
            adjoint=dfx.ForwardMode(),
            throw=False,
        )
        assert sol.ys is not None
        end, moved = jax.tree.map(lambda saved: saved[0], sol.ys)
        size = _norm(moved)
        fine = (sol.result == dfx.RESULTS.successful) & jnp.isfinite(size) & jnp.isfinite(_norm(end)) & (size > 0)
        broken = _where(sol.result == dfx.RESULTS.successful, dfx.RESULTS.nonfinite, sol.result)
        first = (status == dfx.RESULTS.successful) & ~fine
        status = _where(first, broken, status)
        # a broken run stands still: an adaptive solver would never get past NaN
        y = jax.tree.map(lambda new, old: jnp.where(fine, new, old), end, y)
        v = jax.tree.map(lambda new, old: jnp.where(fine, new / size, old), moved, v)
        return (y, v, status), jnp.where(fine, jnp.log(size), jnp.nan)

    start = y0, _first_tangent(key, model, y0), jax.tree.map(jnp.asarray, dfx.RESULTS.successful)
    (y, _, status), growth = jax.lax.scan(advance, start, None, num_transient + num_windows)
    status = _where(valid, status, dfx.RESULTS.nonfinite)
    good = status == dfx.RESULTS.successful
    growth = jnp.where(good, growth[num_transient:], jnp.nan)
    blocks = jnp.mean(growth.reshape(NUM_BLOCKS, -1), axis=1) / window
    error = jnp.std(blocks, ddof=1) / NUM_BLOCKS**0.5
    final = MeanFieldState.from_real(jax.tree.map(lambda leaf: jnp.where(good, leaf, jnp.nan), y))
    return LyapunovExponent(jnp.mean(blocks), error, growth, num_windows * window, status, final)


def _with_tangent(t: Any, pair: tuple[RealState, RealState], model: DickeModel) -> tuple[RealState, RealState]:
    y, v = pair
    return jax.jvp(lambda at: mean_field_equations(t, at, model), (y,), (v,))


def _first_tangent(key: PRNGKeyArray, model: DickeModel, y: RealState) -> RealState:
    m, quadratures = y
    spins, modes = jax.random.split(key)
    v = jax.random.normal(spins, m.shape, m.dtype)
    if model.dissipation is None:
        squared = jnp.sum(m**2, axis=0, keepdims=True)
        along = jnp.sum(m * v, axis=0, keepdims=True) / jnp.where(squared > 0, squared, 1.0)
        v = v - along * m
    tangent = v, jax.random.normal(modes, quadratures.shape, m.dtype)
    size = _norm(tangent)
    return jax.tree.map(lambda leaf: leaf / size, tangent)


def _where(condition: Array, a: Any, b: Any) -> dfx.RESULTS:
    return dfx.RESULTS.where(condition, a, b)


def _norm(y: RealState) -> Array:
    return jnp.sqrt(sum((jnp.sum(leaf**2) for leaf in y), jnp.zeros((), y[0].dtype)))
