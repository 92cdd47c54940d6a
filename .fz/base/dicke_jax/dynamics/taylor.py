"""`BilinearTaylor`: the Taylor series of the mean-field equations, as a diffrax solver.

The right-hand side is bilinear, so that the coefficients c_n of the solution around the present time follow one from
the other through Cauchy products of the field with x and y:

    (n+1) x_{n+1} = -sum_j h_j y_{n-j}                         h_n = 4 g0 field(Re alpha_n)
    (n+1) y_{n+1} =  sum_j h_j x_{n-j} - 2 Omega z_n
    (n+1) z_{n+1} =  2 Omega y_n                               (single-spin dissipation adds T m_n, and c at n = 0)
    (n+1) alpha_{n+1} = -(i Omega_mu + kappa_mu / 2) alpha_n - i g0 project(z_n)

A rate r_0 + r_1 t, as within a piece of a `PiecewiseLinear`, multiplies c_n as r_0 c_n + r_1 c_{n-1}.

A high order costs little, steps are several times longer than those of a Runge-Kutta pair at a tighter error, and the
coefficients are the dense output.
"""

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import diffrax as dfx
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array
from optimistix import rms_norm

from .._checks import check_count, refuse
from .._typing import ModeReals, RealState, SubsetReals
from ..dissipation import apply_terms
from ..equations import mean_field_equations
from ..model import DickeModel
from ..schedules import PiecewiseLinear, is_schedule
from .kernels import as_one_kernel
from .whole_run import OneKernel, parts_of

SMALL = 128  # subsets up to which XLA's CPU backend sums over a state itself: a library, beyond, cannot enter a kernel

_Coefficients: TypeAlias = tuple[list[Array], ...]


class _Series(eqx.Module):
    """The coefficients of one step, from order 0 on; to stack them as arrays would cost a third of the step.

    Where z' = flip y, all that is kept of z is its order 0.
    """

    x: list[SubsetReals]
    y: list[SubsetReals]
    z: list[SubsetReals]
    re: list[ModeReals]
    im: list[ModeReals]
    flip: Array

    @property
    def coefficients(self) -> "_Coefficients":
        return self.x, self.y, self.z, self.re, self.im

    def followed_by(self, higher: "_Coefficients") -> "_Series":
        x, y, z, re, im = (c + more for c, more in zip(self.coefficients, higher, strict=True))
        return _Series(x, y, z, re, im, self.flip)

    def at(self, h: Array) -> RealState:
        """The value at a time h after the expansion point."""
        if len(self.z) == len(self.y):
            z = _horner(h, self.z)
        else:
            z = self.z[0] + self.flip * h * _horner(h, [y / (n + 1) for n, y in enumerate(self.y[:-1])])
        spins = jnp.stack([_horner(h, self.x), _horner(h, self.y), z])
        return spins, jnp.stack([_horner(h, self.re), _horner(h, self.im)])

    def last_term(self, h: Array) -> RealState:
        """The size of the last term, h after the expansion point; that of z, where it is not kept, is smaller."""
        order = len(self.x) - 1
        z = self.z[-1] if len(self.z) == len(self.y) else self.flip * self.y[-2] / order
        spins, modes = jnp.stack([self.x[-1], self.y[-1], z]), jnp.stack([self.re[-1], self.im[-1]])
        return jnp.abs(spins) * h**order, jnp.abs(modes) * h**order


class TaylorPolynomial(dfx.AbstractLocalInterpolation):
    """y(t) = sum_n c_n (t - t0)^n within one step."""

    t0: Array  # pyright: ignore[reportIncompatibleVariableOverride]
    t1: Array  # pyright: ignore[reportIncompatibleVariableOverride]
    series: _Series | None  # None where the solver is not `dense`

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True) -> RealState:
        if t1 is not None:
            (m1, a1), (m0, a0) = self.evaluate(t1), self.evaluate(t0)
            return m1 - m0, a1 - a0
        assert self.series is not None
        return self.series.at(t0 - self.t0)


class BilinearTaylor(dfx.AbstractSolver):
    """The Taylor-series solver of `mfsolve` and `steadystate`, for rates that are constant or `PiecewiseLinear`.

    - `dense`: whether the coefficients are kept for values within a step, which nothing asks for where only the ends of
      a run are saved; `mfsolve` chooses.
    - `series_order`: 18 suits tight tolerances in float64, 13 looser ones, 8 suits float32; `mfsolve` chooses. The
      last term of the series is the error estimate, so that any adaptive step-size controller of diffrax can drive it.

    The order matters where a run relaxes: orders 8, 13 and 18 let an oscillation of frequency w grow by less than 5e-9
    a step as long as h w is below 3.4, 5.0 and 6.6, and there their last term is a tenth of it or more, so that the
    controller stays within. Their neighbours let it grow at steps that look harmless to the error estimate.
    """

    series_order: int = eqx.field(static=True, default=18)
    dense: bool = eqx.field(static=True, default=True)

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
        if not has_series(args):
            must_be = "another one, such as diffrax.Dopri8(), for rates that are neither constant nor PiecewiseLinear"
            refuse("solver", must_be, "BilinearTaylor")

    def func(self, terms: Any, t0: Any, y0: RealState, args: DickeModel) -> RealState:
        return terms.vf(t0, y0, args)

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: RealState, args: DickeModel, solver_state: None, made_jump: Any
    ) -> tuple[RealState, RealState, dict[str, Any], None, dfx.RESULTS]:
        step = as_one_kernel(_step, args.spins.operator.elementwise)
        when = t0 if args.is_time_dependent else None
        y1, error, higher = step(when, t1 - t0, y0, args, self.series_order, self.dense)
        series = _start(y0, _Rates.around(t0, args)).followed_by(higher) if self.dense else None
        return y1, error, dict(series=series), None, dfx.RESULTS.successful


def in_one_kernel(
    adjoint: dfx.AbstractAdjoint,
    model: DickeModel,
    solver: dfx.AbstractSolver,
    controller: dfx.AbstractStepSizeController,
    saveat: dfx.SaveAt,
) -> dfx.AbstractAdjoint:
    """`adjoint`, with the run itself as one kernel where all parts of its loop are known to fit into one."""
    inner = controller.controller if isinstance(controller, dfx.ClipStepSizeController) else controller
    fits = isinstance(inner, dfx.PIDController | dfx.ConstantStepSize) and model.spins.operator.elementwise
    fits &= model.num_subsets <= SMALL and getattr(inner, "norm", rms_norm) is rms_norm  # a norm may hold anything
    plain = isinstance(adjoint, dfx.ForwardMode | dfx.RecursiveCheckpointAdjoint)
    if not (isinstance(solver, BilinearTaylor) and fits and plain):
        return adjoint
    return OneKernel(adjoint, tuple(part.fn for part in parts_of(saveat)))


def has_series(model: DickeModel) -> bool:
    """Whether every rate is constant or `PiecewiseLinear`, so that its own series ends at once."""
    jumps = () if model.dissipation is None else model.dissipation.rates
    return all(isinstance(r, PiecewiseLinear) or not is_schedule(r) for r in (*model.rates.values(), *jumps))


class _Rates(eqx.Module):
    """The coefficients around one time of every rate: one for a constant, two for a `PiecewiseLinear`.

    Each kernel makes its own from the model: the backend aborts for numbers that it could have folded beforehand.
    """

    flip: list[Array]
    turn: list[Array]
    drive: list[Array]
    omega_mode: list[Array]
    loss: list[Array]
    jumps: list[tuple[Array, Array]]  # T and c

    @classmethod
    def around(cls, t: Array | None, model: DickeModel) -> "_Rates":
        def series(rate: Any, scale: float) -> list[Array]:
            parts = (jnp.asarray(rate),) if t is None or not isinstance(rate, PiecewiseLinear) else rate.from_(t)
            return [scale * part.astype(model.dtype) for part in parts]

        jumps = []
        if model.dissipation is not None:
            rates = [series(rate, 1) for rate in model.dissipation.rates]
            for n in range(max(len(rate) for rate in rates)):
                now = tuple(rate[n] if n < len(rate) else jnp.zeros_like(rate[0]) for rate in rates)
                jumps.append(eqx.tree_at(lambda d: d.rates, model.dissipation, now).terms(model.dtype))
        return cls(
            series(model.omega_spin, 2),
            series(model.g0, 4),
            series(model.g0, 1),
            series(model.omega_mode, 1),
            series(model.kappa, 0.5),
            jumps,
        )

    @property
    def constant(self) -> bool:
        """Whether the spins' own terms are z' = flip y and all rates constant."""
        parts = (self.flip, self.turn, self.omega_mode, self.loss)
        return not self.jumps and all(len(part) == 1 for part in parts)


def _start(y0: RealState, rates: _Rates) -> _Series:
    (x, y, z), (re, im) = y0
    return _Series([x], [y], [z], [re], [im], rates.flip[0])


def _step(
    t: Array | None, h: Array, start: RealState, model: DickeModel, order: int, dense: bool
) -> tuple[RealState, RealState, _Coefficients | None]:
    fuses = model.spins.operator.elementwise
    field, project, following = (as_one_kernel(part, fuses) for part in (_field, _project, _next))
    rates = _Rates.around(t, model)
    series, turn = _start(start, rates), []
    for n in range(order):
        turn.append(field(n, series.re, t, model))
        series = series.followed_by(following(n, series, turn, project(n, series, t, model), t, model))
    # order 0 is the argument itself, and a kernel cannot hand back what it was given
    higher = tuple(c[1:] for c in series.coefficients) if dense else None
    return *as_one_kernel(_sum, fuses)(h, series), higher


def _times(rate: list[Array], c: list[Array], n: int) -> Array:
    """Order n of the product of a rate and a series."""
    return sum((rate[j] * c[n - j] for j in range(1, min(len(rate), n + 1))), rate[0] * c[n])


def _z(n: int, series: _Series) -> Array:
    return series.z[n] if n < len(series.z) else series.flip / n * series.y[n - 1]


def _field(n: int, re: list[ModeReals], t: Array | None, model: DickeModel) -> SubsetReals:
    rates = _Rates.around(t, model)
    return model.spins.field(_times(rates.turn, re, n))


def _project(n: int, series: _Series, t: Array | None, model: DickeModel) -> ModeReals:
    rates = _Rates.around(t, model)
    if rates.constant:
        return rates.drive[0] * model.spins.project(_z(n, series))
    return model.spins.project(_times(rates.drive, series.z, n))


def _next(
    n: int, series: _Series, turn: list[SubsetReals], drive_n: ModeReals, t: Array | None, model: DickeModel
) -> _Coefficients:
    """The coefficients of order n + 1 from all lower ones."""
    rates = _Rates.around(t, model)
    x, y, re, im = series.x, series.y, series.re, series.im
    turned_y = sum((turn[j] * y[n - j] for j in range(1, n + 1)), turn[0] * y[n])
    turned_x = sum((turn[j] * x[n - j] for j in range(1, n + 1)), turn[0] * x[n])
    share = 1 / (n + 1)
    re_next = share * (_times(rates.omega_mode, im, n) - _times(rates.loss, re, n))
    im_next = share * (-_times(rates.omega_mode, re, n) - _times(rates.loss, im, n) - drive_n)
    if rates.constant:
        flipped = rates.flip[0] * _z(n, series)
        return [-share * turned_y], [share * (turned_x - flipped)], [], [re_next], [im_next]
    m_dot = [-turned_y, turned_x - _times(rates.flip, series.z, n), _times(rates.flip, y, n)]
    for j, (linear, constant) in enumerate(rates.jumps[: n + 1]):
        damped = apply_terms(linear, jnp.stack([x[n - j], y[n - j], series.z[n - j]]))
        m_dot = [dot + change for dot, change in zip(m_dot, damped + constant if j == n else damped, strict=True)]
    return *([share * dot] for dot in m_dot), [re_next], [im_next]


def _sum(h: Array, series: _Series) -> tuple[RealState, RealState]:
    return series.at(h), series.last_term(h)


def _horner(h: Array, coefficients: list[Array]) -> Array:
    total = coefficients[-1]
    for n in range(len(coefficients) - 2, -1, -1):
        total = total * h + coefficients[n]
    return total
