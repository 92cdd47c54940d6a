"""The Taylor series of the mean-field equations around the present time.

The right-hand side is bilinear, so that the coefficients c_n follow one from the other through Cauchy products of the
field with x and y:

    (n+1) x_{n+1} = -sum_j h_j y_{n-j}                         h_n = 4 g0 field(Re alpha_n)
    (n+1) y_{n+1} =  sum_j h_j x_{n-j} - 2 Omega z_n
    (n+1) z_{n+1} =  2 Omega y_n                               (single-spin dissipation adds T m_n, and c at n = 0)
    (n+1) alpha_{n+1} = -(i Omega_mu + kappa_mu / 2) alpha_n - i g0 project(z_n)

A rate r_0 + r_1 t, as within a piece of a `PiecewiseLinear`, multiplies c_n as r_0 c_n + r_1 c_{n-1}.

With rates in hertz c_n is beyond every float32. There c_n u^n is kept, of the size of the state, with the step u as the
unit of time: 1 / (n+1) becomes u / (n+1), and r_1 is u r_1.

A loop over the orders is short to compile; orders written out one by one are quick to run.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._typing import ModeReals, RealState, SubsetReals
from ..mean_field.abstract_model import AbstractMeanFieldModel
from ..mean_field.dissipation import apply_terms
from ..mean_field.model import DickeModel
from ..mean_field.rates import PiecewiseLinear

Coefficient: TypeAlias = tuple[Array, ...]  # x, y, z, Re alpha, Im alpha of one order
Stage: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]  # how a part of a step is called


def has_series(model: AbstractMeanFieldModel) -> bool:
    """Whether every rate of a `DickeModel` is constant or `PiecewiseLinear`, so that its own series ends at once."""
    return isinstance(model, DickeModel) and all(isinstance(rate, PiecewiseLinear) for _, rate in model.schedules)


class WrittenOut(eqx.Module):
    """Every order by itself: to stack them as arrays would cost a third of a step whose orders are written out."""

    orders: list[Coefficient]

    def at(self, h: Array) -> RealState:
        """sum_n c_n h^n, the value at a time h after the expansion point, in the unit of the series."""
        total = self.orders[-1]
        for coefficient in self.orders[-2::-1]:
            total = tuple(t * h + c for t, c in zip(total, coefficient, strict=True))
        return as_state(total)


class Stacked(eqx.Module):
    """All orders as arrays, the order in front."""

    m: Float[Array, "P 3 K"]
    quadratures: Float[Array, "P 2 M"]

    def at(self, h: Array) -> RealState:
        orders = jnp.arange(self.m.shape[0], dtype=h.dtype)
        powers = jax.lax.pow(jnp.broadcast_to(h, orders.shape), orders)[:, None, None]
        return jnp.sum(powers * self.m, axis=0), jnp.sum(powers * self.quadratures, axis=0)


def unit_of_time(step: Array, dtype: Any) -> Any:
    """What a series of this precision counts time in: the step, or the unit of the rates."""
    return 1.0 if dtype == jnp.float64 else jnp.where(step == 0, 1, step).astype(dtype)


Series: TypeAlias = WrittenOut | Stacked
Step: TypeAlias = tuple[RealState, RealState, Series | None]  # its end, its error, and its dense output


def taylor_step(
    t: Array,
    h: Array,
    y0: RealState,
    model: DickeModel,
    order: int,
    unrolled: int,
    dense: bool,
    stage: Stage = lambda part: part,
) -> Step:
    """y(t + h), the size of the last term of its series, and the series itself if it is to be kept.

    `stage` is how each order that is written out is called: a compiler may need to be kept from mixing them.
    """
    unrolled = min(unrolled, order)
    unit = unit_of_time(h, model.dtype)
    rates = Rates.around(t if model.is_time_dependent else None, unit, model)
    orders, fields = [as_coefficient(y0)], []
    for n in range(unrolled):
        now, before = orders[n], orders[n - 1] if n else None
        fields.append(stage(_field)(rates, model, now, before))
        drive = stage(_drive)(rates, model, now, before)
        orders.append(stage(_written_out)(n, unit, rates, orders, fields, drive))
    if unrolled == order:
        y1, last = stage(_sum)(h / unit, orders)
        return y1, last, WrittenOut(orders) if dense else None
    return _loop_over_orders(orders, fields, h, unit, rates, model, order, dense)


def _written_out(
    n: int, unit: Any, rates: "Rates", orders: list[Coefficient], fields: list[SubsetReals], drive: ModeReals
) -> Coefficient:
    """c_{n+1} from all lower orders."""
    turned = [functools.reduce(operator.add, (h * orders[n - j][i] for j, h in enumerate(fields))) for i in (0, 1)]
    constant = [jumps[1] for jumps in rates.jumps[n : n + 1]]
    return _following(unit * (1 / (n + 1)), rates, orders[n], orders[n - 1] if n else None, turned, drive, constant)


def _loop_over_orders(
    orders: list[Coefficient],
    fields: list[Array],
    h: Array,
    unit: Any,
    rates: "Rates",
    model: DickeModel,
    order: int,
    dense: bool,
) -> Step:
    """The same recurrence from the orders that are there up to the last, as a loop.

    The field's orders lie backwards in a buffer twice as long, h_j at order - 1 - j, so that h_{n-j} for all j is one
    piece of it, with zeros where j > n: a Cauchy product is the sum of one product, over all orders.
    """
    begin, now = len(fields), orders[-1]
    before = orders[-2] if begin else tuple(jnp.zeros_like(c) for c in now)
    backwards = jnp.zeros((2 * order, model.num_subsets), model.dtype)
    spins = jnp.zeros((order, 2, model.num_subsets), model.dtype)
    if begin:
        backwards = backwards.at[order - begin : order].set(jnp.stack(fields[::-1]))
        spins = spins.at[:begin].set(jnp.stack([jnp.stack(c[:2]) for c in orders[:-1]]))

    def body(carry: Any, n: Array) -> tuple[Any, Any]:
        (m, quadratures), previous, backwards, spins, total, power = carry
        now = as_coefficient((m, quadratures))
        field = _field(rates, model, now, previous)
        backwards = jax.lax.dynamic_update_index_in_dim(backwards, field, order - 1 - n, 0)
        spins = jax.lax.dynamic_update_index_in_dim(spins, m[:2], n, 0)
        product = jax.lax.dynamic_slice_in_dim(backwards, order - 1 - n, order)[:, None] * spins
        turned = list(jnp.sum(product, axis=0))
        constant = [jnp.where(n == j, jumps[1], 0) for j, jumps in enumerate(rates.jumps)]
        drive = _drive(rates, model, now, previous)
        following = _following(unit / (n + 1).astype(model.dtype), rates, now, previous, turned, drive, constant)
        stacked = as_state(following)
        power = power * step
        total = jax.tree.map(lambda t, c: t + power * c, total, stacked)
        keep = previous if previous is None else now
        return (stacked, keep, backwards, spins, total, power), stacked if dense else None

    step = h / unit
    total, power = as_state(orders[0]), jnp.ones_like(step)
    for c in orders[1:]:
        power = power * step
        total = jax.tree.map(lambda t, c, power=power: t + power * c, total, as_state(c))
    previous = before if rates.length > 1 else None
    start = as_state(now), previous, backwards, spins, total, power
    (last, _, _, _, y1, power), higher = jax.lax.scan(body, start, jnp.arange(begin, order))
    error = jax.tree.map(lambda c: jnp.abs(c * power), last)
    if not dense:
        return y1, error, None
    lower = jax.tree.map(lambda *c: jnp.stack(c), *(as_state(c) for c in orders))
    return y1, error, Stacked(*jax.tree.map(lambda a, b: jnp.concatenate([a, b]), lower, higher))


class Rates(eqx.Module):
    """The coefficients around one time of every rate: one for a constant, two for a `PiecewiseLinear`."""

    flip: list[Array]
    turn: list[Array]
    drive: list[Array]
    omega_mode: list[Array]
    loss: list[Array]
    jumps: list[tuple[Array, Array]]  # T and c

    @classmethod
    def around(cls, t: Array | None, unit: Any, model: DickeModel) -> "Rates":
        def series(rate: Any, scale: float) -> list[Array]:
            moves = isinstance(rate, PiecewiseLinear)
            parts = rate.value_and_slope(t) if moves and t is not None else (jnp.asarray(rate),)
            return [scale * part.astype(model.dtype) * (unit if n else 1) for n, part in enumerate(parts)]

        jumps = []
        if model.dissipation is not None:
            rates = [series(rate, 1) for rate in model.dissipation.rates]
            for n in range(max(len(rate) for rate in rates)):
                now = tuple(rate[n] if n < len(rate) else jnp.zeros_like(rate[0]) for rate in rates)
                jumps.append(eqx.tree_at(lambda d: d.rates, model.dissipation, now).terms(model.dtype))
        scaled = (model.omega_spin, 2), (model.g0, 4), (model.g0, 1), (model.omega_mode, 1), (model.kappa, 0.5)
        return cls(*(series(rate, scale) for rate, scale in scaled), jumps=jumps)

    @property
    def length(self) -> int:
        """How many coefficients the longest of them has."""
        return max(len(rate) for rate in (self.flip, self.turn, self.omega_mode, self.loss, self.jumps))


def _times(rate: list[Array], now: Array, before: Array | None) -> Array:
    """The order of the product of a rate and a series that `now` is the order of in the series."""
    if len(rate) == 1 or before is None:
        return rate[0] * now
    return rate[0] * now + rate[1] * before


def _field(rates: Rates, model: DickeModel, now: Coefficient, before: Coefficient | None) -> SubsetReals:
    return model.spins.field(_times(rates.turn, now[3], None if before is None else before[3]))


def _drive(rates: Rates, model: DickeModel, now: Coefficient, before: Coefficient | None) -> ModeReals:
    return model.spins.project(_times(rates.drive, now[2], None if before is None else before[2]))


def _following(
    share: Any, rates: Rates, now: Coefficient, before: Any, turned: Any, drive: ModeReals, constant: list[Array]
) -> Coefficient:
    """c_{n+1}, share = u / (n + 1), from c_n, c_{n-1} or None, and the field's Cauchy products with x and y."""

    def times(rate: list[Array], i: int) -> Array:
        return _times(rate, now[i], None if before is None else before[i])

    turned_x, turned_y = turned
    m_dot = [-turned_y, turned_x - times(rates.flip, 2), times(rates.flip, 1)]
    for (linear, _), c in zip(rates.jumps, (now, before), strict=False):
        if c is not None:
            m_dot = [dot + change for dot, change in zip(m_dot, apply_terms(linear, jnp.stack(c[:3])), strict=True)]
    for c in constant:
        m_dot = [dot + change for dot, change in zip(m_dot, c, strict=True)]
    re = times(rates.omega_mode, 4) - times(rates.loss, 3)
    im = -times(rates.omega_mode, 3) - times(rates.loss, 4) - drive
    return tuple(share * dot for dot in (*m_dot, re, im))


def _sum(h: Array, orders: list[Coefficient]) -> tuple[RealState, RealState]:
    size = jax.tree.map(lambda c: jnp.abs(c) * h ** (len(orders) - 1), as_state(orders[-1]))
    return WrittenOut(orders).at(h), size


def as_state(coefficient: Coefficient) -> RealState:
    return jnp.stack(coefficient[:3]), jnp.stack(coefficient[3:])


def as_coefficient(y: RealState) -> Coefficient:
    return (*y[0], *y[1])
