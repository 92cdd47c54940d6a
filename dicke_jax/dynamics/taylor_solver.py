"""`BilinearTaylor`: the Taylor series of the mean-field equations, as a diffrax solver."""

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax as dfx
import equinox as eqx
import jax
from jaxtyping import Array

from .._checks import check_count, refuse
from .._typing import RealState
from ..mean_field import AbstractMeanFieldModel, DickeModel, mean_field_equations
from .taylor_series import Series, has_series, taylor_step, unit_of_time

FEW = 2  # orders written out before the loop, where nothing else is asked for: their sums are short


class TaylorPolynomial(dfx.AbstractLocalInterpolation):
    """y(t) = sum_n c_n (t - t0)^n within one step."""

    t0: Array  # pyright: ignore[reportIncompatibleVariableOverride]
    t1: Array  # pyright: ignore[reportIncompatibleVariableOverride]
    series: Series | None  # None where the solver is not `dense`

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True) -> RealState:
        if t1 is not None:
            (m1, a1), (m0, a0) = self.evaluate(t1), self.evaluate(t0)
            return m1 - m0, a1 - a0
        if self.series is None:
            refuse("solver", "dense where values within its steps are asked for", "BilinearTaylor(dense=False)")
        dtype = jax.tree.leaves(self.series)[0].dtype
        return self.series.at((t0 - self.t0) / unit_of_time(self.t1 - self.t0, dtype))


class BilinearTaylor(dfx.AbstractSolver):
    """The Taylor-series solver of `mfsolve` and `steadystate`, for rates that are constant or `PiecewiseLinear`.

    - `series_order`: 18 suits tight tolerances in float64, 13 looser ones, 8 suits float32; `mfsolve` chooses. The
      last term of the series is the error estimate, so that any adaptive step-size controller of diffrax can drive it.
    - `dense`: whether the coefficients are kept for values within a step, which nothing asks for where only the ends of
      a run are saved; `mfsolve` chooses.
    - `unrolled`: how many orders are written out in the program, the rest running through a loop; None for what the
      number of rows and of subsets suggests. 0 compiles soonest; `series_order` is the fastest where thousands of rows,
      many runs or thousands of subsets pay for it.

    The order matters where a run relaxes: orders 8, 13 and 18 let an oscillation of frequency w grow by less than 5e-9
    a step as long as h w is below 3.4, 5.0 and 6.6, and there their last term is a tenth of it or more, so that the
    controller stays within. Their neighbours let it grow at steps that look harmless to the error estimate.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.5)
        >>> solver = dj.BilinearTaylor(series_order=13)
        >>> solution = dj.mfsolve(model, dj.stored_pattern(model), [0.0, 20.0], solver=solver, rtol=1e-8)
        >>> print(solution.overlaps[-1].round(4))
        [0.6729 0.     0.     0.    ]
    """

    series_order: int = eqx.field(static=True, default=18)
    dense: bool = eqx.field(static=True, default=True)
    unrolled: int | None = eqx.field(static=True, default=None)

    term_structure: ClassVar = dfx.ODETerm
    interpolation_cls: ClassVar[Callable[..., TaylorPolynomial]] = TaylorPolynomial

    def __check_init__(self) -> None:
        check_count("series_order", self.series_order, 2)
        if self.unrolled is not None:
            check_count("unrolled", self.unrolled, 0)

    def order(self, terms: Any) -> int:
        return self.series_order

    def error_order(self, terms: Any) -> int:
        return self.series_order

    def init(self, terms: Any, t0: Any, t1: Any, y0: RealState, args: AbstractMeanFieldModel) -> None:
        field = getattr(getattr(terms, "term", terms), "vector_field", None)
        if field is not mean_field_equations:
            refuse("solver", "another one, such as diffrax.Dopri8(), for these terms", "BilinearTaylor")
        if not has_series(args):
            such = "rates that are neither constant nor PiecewiseLinear"
            such = such if isinstance(args, DickeModel) else "a CollectiveModel"
            must_be = f"another one, such as diffrax.Dopri8(), for {such}"
            refuse("solver", must_be, "BilinearTaylor")

    def func(self, terms: Any, t0: Any, y0: RealState, args: DickeModel) -> RealState:
        return terms.vf(t0, y0, args)

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: RealState, args: DickeModel, solver_state: None, made_jump: Any
    ) -> tuple[RealState, RealState, dict[str, Any], None, dfx.RESULTS]:
        how = self.series_order, FEW if self.unrolled is None else self.unrolled, self.dense
        y1, error, series = taylor_step(t0, t1 - t0, y0, args, *how)
        return y1, error, dict(series=series), None, dfx.RESULTS.successful


def written_out(solver: dfx.AbstractSolver) -> dfx.AbstractSolver:
    """The same solver, with all orders of a series written out: for runs of many rows or of very many steps."""
    if not isinstance(solver, BilinearTaylor) or solver.unrolled is not None:
        return solver
    return BilinearTaylor(solver.series_order, solver.dense, solver.series_order)
