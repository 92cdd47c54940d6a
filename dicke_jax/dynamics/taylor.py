"""`BilinearTaylor`: the Taylor series of the mean-field equations, as a diffrax solver.

The right-hand side is bilinear, so that the coefficients c_n of the solution around the present time follow one from
the other through Cauchy products of the field with x and y:

    (n+1) x_{n+1} = -sum_j h_j y_{n-j}                         h_n = 4 g0 field(Re alpha_n)
    (n+1) y_{n+1} =  sum_j h_j x_{n-j} - 2 Omega z_n
    (n+1) z_{n+1} =  2 Omega y_n                               (single-spin dissipation adds T m_n, and c at n = 0)
    (n+1) alpha_{n+1} = -(i Omega_mu + kappa_mu / 2) alpha_n - i g0 project(z_n)

A high order costs little, steps are several times longer than those of a Runge-Kutta pair at a tighter error, and the
coefficients are the dense output.
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_count, refuse
from .._typing import ModeReals, RealState, SubsetReals
from ..dissipation import apply_terms
from ..equations import mean_field_equations
from ..model import DickeModel

try:
    from jax.experimental.xla_metadata import set_xla_metadata
except ImportError:  # experimental: without it the solver is slower on a CPU, not wrong
    set_xla_metadata: Any = None


SeriesCoefficients: TypeAlias = tuple[Float[Array, "P 3 K"], Float[Array, "P 2 M"]]


class TaylorPolynomial(dfx.AbstractLocalInterpolation):
    """y(t) = sum_n c_n (t - t0)^n within one step."""

    t0: Array  # pyright: ignore[reportIncompatibleVariableOverride]
    t1: Array  # pyright: ignore[reportIncompatibleVariableOverride]
    coefficients: SeriesCoefficients

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True) -> RealState:
        if t1 is not None:
            return jax.tree.map(lambda a, b: a - b, self.evaluate(t1), self.evaluate(t0))
        m, quadratures = self.coefficients
        return _horner(t0 - self.t0, m), _horner(t0 - self.t0, quadratures)


class BilinearTaylor(dfx.AbstractSolver):
    """The Taylor-series solver of `mfsolve` and `steadystate`, for constant rates.

    - `series_order`: 13 suits float64, 8 suits float32. The last term of the series is the error estimate, so that any
      adaptive step-size controller of diffrax can drive it.

    The order matters where a run relaxes: orders 8, 13 and 18 let an oscillation of frequency w grow by less than 5e-9
    a step as long as h w is below 3.4, 5.0 and 6.6, and there their last term is a tenth of it or more, so that the
    controller stays within. Their neighbours let it grow at steps that look harmless to the error estimate.
    """

    series_order: int = eqx.field(static=True, default=13)

    term_structure: ClassVar = dfx.ODETerm
    interpolation_cls: ClassVar[Callable[..., TaylorPolynomial]] = TaylorPolynomial

    def __check_init__(self) -> None:
        check_count("series_order", self.series_order, 2)

    def order(self, terms: Any) -> int:
        return self.series_order

    def error_order(self, terms: Any) -> int:
        return self.series_order

    def init(self, terms: Any, t0: Any, t1: Any, y0: RealState, args: DickeModel) -> None:
        field = getattr(getattr(terms, "term", terms), "vector_field", None)
        if field is not mean_field_equations:
            refuse("solver", "another one, such as diffrax.Dopri8(), for these terms", "BilinearTaylor")
        if args.is_time_dependent:
            refuse("solver", "another one, such as diffrax.Dopri8(), for rates that depend on time", "BilinearTaylor")

    def func(self, terms: Any, t0: Any, y0: RealState, args: DickeModel) -> RealState:
        return terms.vf(t0, y0, args)

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: RealState, args: DickeModel, solver_state: None, made_jump: Any
    ) -> tuple[RealState, RealState, dict[str, Any], None, dfx.RESULTS]:
        step = _as_one_kernel(_step, args.spins.operator.elementwise)
        y1, error, coefficients = step(t1 - t0, y0, args, self.series_order)
        return y1, error, dict(coefficients=coefficients), None, dfx.RESULTS.successful


def _step(h: Array, start: RealState, model: DickeModel, order: int) -> tuple[RealState, RealState, SeriesCoefficients]:
    fuses = model.spins.operator.elementwise
    field, project, series = (_as_one_kernel(part, fuses) for part in (_field, _project, _next))
    (x0, y0, z0), (re0, im0) = start
    x, y, z, re, im, turn = [x0], [y0], [z0], [re0], [im0], []
    for n in range(order):
        turn.append(field(re[n], model))
        following = series(n, x, y, z[n], re[n], im[n], turn, project(z[n], model), model)
        for coefficients, c in zip((x, y, z, re, im), following, strict=True):
            coefficients.append(c)
    return _as_one_kernel(_sum, fuses)(h, (x, y, z), (re, im))


def _field(re: ModeReals, model: DickeModel) -> SubsetReals:
    return 4 * model.g0 * model.spins.field(re)


def _project(z: SubsetReals, model: DickeModel) -> ModeReals:
    return model.g0 * model.spins.project(z)


def _next(
    n: int,
    x: list[SubsetReals],
    y: list[SubsetReals],
    z_n: SubsetReals,
    re_n: ModeReals,
    im_n: ModeReals,
    turn: list[SubsetReals],
    drive_n: ModeReals,
    model: DickeModel,
) -> tuple[SubsetReals, SubsetReals, SubsetReals, ModeReals, ModeReals]:
    """The coefficients of order n + 1 from all lower ones."""
    turned_y = sum((turn[j] * y[n - j] for j in range(1, n + 1)), turn[0] * y[n])
    turned_x = sum((turn[j] * x[n - j] for j in range(1, n + 1)), turn[0] * x[n])
    flip, loss, share = 2 * model.omega_spin, model.kappa / 2, 1 / (n + 1)
    x_dot, y_dot, z_dot = -turned_y, turned_x - flip * z_n, flip * y[n]
    if model.dissipation is not None:
        linear, constant = model.dissipation.terms(x_dot.dtype)
        dx, dy, dz = apply_terms(linear, jnp.stack([x[n], y[n], z_n])) + (constant if n == 0 else 0.0)
        x_dot, y_dot, z_dot = x_dot + dx, y_dot + dy, z_dot + dz
    return (
        share * x_dot,
        share * y_dot,
        share * z_dot,
        share * (model.omega_mode * im_n - loss * re_n),
        share * (-model.omega_mode * re_n - loss * im_n - drive_n),
    )


def _sum(
    h: Array, spins: tuple[list[Array], ...], modes: tuple[list[Array], ...]
) -> tuple[RealState, RealState, SeriesCoefficients]:
    """The value at the end of the step, the size of the last term, and the coefficients as arrays."""

    def each(function: Callable[[list[Array]], Array]) -> RealState:
        return jnp.stack([function(c) for c in spins]), jnp.stack([function(c) for c in modes])

    def last_term(c: list[Array]) -> Array:
        return jnp.abs(c[-1]) * h ** (len(c) - 1)

    def series(part: tuple[list[Array], ...]) -> Array:
        return jnp.stack([jnp.stack(c) for c in part], axis=1)

    return each(lambda c: _horner(h, c)), each(last_term), (series(spins), series(modes))


def _horner(h: Array, coefficients: Any) -> Array:
    total = coefficients[-1]
    for n in range(len(coefficients) - 2, -1, -1):
        total = total * h + coefficients[n]
    return total


def _as_one_kernel(function: Callable[..., Any], fuses: bool) -> Callable[..., Any]:
    """On a CPU keep `function` a call of its own, which XLA emits as one kernel.

    Otherwise XLA's CPU backend fuses the recurrence into every one of its consumers, and computes it again in each:
    tens of times slower. There is no public way to ask for this. Elsewhere, and where a step holds matrix products,
    which the backend cannot emit so, the function is left as it is.
    """
    if not fuses or set_xla_metadata is None or jax.default_backend() != "cpu":
        return function

    def call(*args: Any) -> Any:
        with set_xla_metadata(inlineable="false", xla_cpu_small_call="true"):
            return eqx.filter_jit(function)(*args)

    return call
