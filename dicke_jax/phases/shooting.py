"""Shooting: the state and the period with y(T) = y(0), by Newton's method."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from .._implicit import smallest_solution
from .._typing import RealState, SubsetReals
from ..mean_field import AbstractMeanFieldModel, mean_field_equations, spin_lengths
from .once_around import Around, around, end_of

SINGULAR = 1e-7  # of the largest singular value: a direction that leaves y(T) = y(0) as it is, of a family of orbits
REJECTED = 6  # steps in a row, each shorter than the one before, after which nothing gets better
PERIOD_FACTOR = 2.0  # by which the period may differ from the first guess


class Shooting(eqx.Module):
    """The equations for u = (y, log(T / T_0), one number nu_k for each conserved length s_k), as many as unknowns.

        y(T) - y + sum_k nu_k e_k = 0,   f(y_0) . (y - y_0) = 0,   (|m_k|^2 - s_k^2) / (2 s_k) = 0

    y_0, T_0 are the guess, e_k the direction of its spin k. A conserved length is one equation too many in y(T) = y:
    nu_k, which is zero at the solution, makes up for it. Where jumps act on spins there are none.
    """

    guess: RealState
    period: Float[Array, ""]
    section: Float[Array, " n"] | None = None  # its normal, where it is not f(y_0)

    def directions(self, model: AbstractMeanFieldModel) -> tuple[Float[Array, "n lengths"], SubsetReals]:
        """e_k in the space of y, and s_k."""
        m, quadratures = self.guess
        count = 0 if model.dissipation is not None else model.num_subsets
        lengths = spin_lengths(m)
        there = lengths > 0
        up = jnp.array([0.0, 0.0, 1.0], m.dtype)[:, None]
        unit = jnp.where(there[None], m / jnp.where(there, lengths, 1)[None], up)
        spread = unit[:, :, None] * jnp.eye(model.num_subsets, dtype=m.dtype)[None]
        flat = jnp.concatenate([spread.reshape(-1, model.num_subsets), jnp.zeros((quadratures.size, lengths.size))])
        return flat.astype(m.dtype)[:, :count], lengths[:count]

    def start(self, model: AbstractMeanFieldModel) -> Float[Array, " size"]:
        flat, _ = ravel_pytree(self.guess)
        lengths = self.directions(model)[1]
        return jnp.concatenate([flat, jnp.zeros_like(flat[:1]), jnp.zeros_like(lengths)])

    def orbit(self, u: Float[Array, " size"]) -> tuple[RealState, Float[Array, ""]]:
        """The state and the period of u."""
        flat, unravel = ravel_pytree(self.guess)
        return unravel(u[: flat.size]), jnp.exp(u[flat.size]) * self.period

    def normal(self, model: AbstractMeanFieldModel) -> Float[Array, " n"]:
        """Of the section that fixes where on the orbit y is."""
        if self.section is not None:
            return self.section
        velocity, _ = ravel_pytree(mean_field_equations(0.0, self.guess, model))
        size = jnp.sqrt(jnp.sum(velocity**2))
        return velocity / jnp.where(size > 0, size, 1)

    def equations(self, model: AbstractMeanFieldModel, u: Float[Array, " size"], end: Float[Array, " n"]) -> Array:
        """What vanishes, with the state after T."""
        n, (directions, lengths) = end.size, self.directions(model)
        y, nu = u[:n], u[n + 1 :]
        first, _ = ravel_pytree(self.guess)
        closes = end - y + jnp.matmul(directions, nu, precision="highest")
        on_section = jnp.sum(self.normal(model) * (y - first))
        along = jnp.matmul(directions.T, y, precision="highest")
        m = self.orbit(u)[0][0][:, : lengths.size]
        there = lengths > 0
        kept = (jnp.sum(m**2, axis=0) - lengths**2) / (2 * jnp.where(there, lengths, 1))
        return jnp.concatenate([closes, on_section[None], jnp.where(there, kept, along)])

    def look(self, model: AbstractMeanFieldModel, u: Array, change: Any = None) -> "Look":
        """The equations at u and their slopes; with `change`, of the model along a parameter, that in a last column."""
        flat, _ = ravel_pytree(self.guess)
        n = flat.size
        inside = jnp.abs(u[n]) < math.log(PERIOD_FACTOR)
        y, period = self.orbit(u)
        turn = around(model, y, jnp.where(inside, period, self.period), change)
        value = self.equations(model, u, turn.end)
        slopes = jax.jacfwd(lambda at: self.equations(model, at, turn.end))(u)
        slopes = slopes.at[:n, :n].add(turn.matrix[:, :n]).at[:n, n].add(turn.velocity * period)
        further = jnp.pad(turn.matrix[:, n:], ((0, u.size - n), (0, 0)))
        return Look(u, value, jnp.concatenate([slopes, further], axis=1), turn, inside & turn.ran)


class Look(NamedTuple):
    """The equations and their slopes at u, with what the run around gave."""

    u: Float[Array, " size"]
    value: Float[Array, " equations"]
    slopes: Float[Array, "equations unknowns"]
    turn: Around
    good: Bool[Array, ""]


def residual(u: Float[Array, " size"], args: tuple[AbstractMeanFieldModel, Shooting]) -> Float[Array, " size"]:
    """The equations as a function of u, the model and the guess, for the implicit rule."""
    model, problem = args
    return problem.equations(model, u, end_of(model, *problem.orbit(u)))


def nearest_solution(matrix: Float[Array, "n n"], given: Float[Array, " n"]) -> Float[Array, " n"]:
    """The smallest x with A x = b, where a family of orbits leaves some directions free."""
    return smallest_solution(matrix, given, SINGULAR)


def shoot(look: Callable[[Array], Look], start: Float[Array, " size"], tol: float, most: int) -> Look:
    """Where Levenberg and Marquardt's steps end, with a damping that goes with what is left of the equations.

        d = -(A^T A + lambda^2)^-1 A^T F,   lambda = damping |F|

    They go to a near orbit also where orbits come in families and A is singular at each; in the end they are Newton's.
    """

    def unfinished(carry: tuple[Any, ...]) -> Bool[Array, ""]:
        _, at, _, rejected, count = carry
        closed = at.good & (jnp.max(jnp.abs(at.value)) <= tol)
        return ~closed & (rejected < REJECTED) & (count < most)

    def improve(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        new, at, damping, rejected, count = carry
        there = look(new)
        better = there.good & ((_size(there) < _size(at)) | ~at.good)
        at = jax.tree.map(lambda a, b: jnp.where(better, a, b), there, at)
        damping = damping * jnp.where(better, 0.2, 5.0).astype(new.dtype)
        left, s, right = jnp.linalg.svd(jnp.where(at.good, at.slopes, jnp.eye(*at.slopes.shape, dtype=new.dtype)))
        kept = s > SINGULAR * s[0]
        scaled = jnp.where(kept, s / jnp.where(kept, s**2 + (damping * _size(at)) ** 2, 1), 0)
        step = jnp.matmul(scaled * jnp.matmul(at.value, left, precision="highest"), right, precision="highest")
        return at.u - step, at, damping, jnp.where(better, 0, rejected + 1), count + 1

    shapes = jax.eval_shape(look, start)
    nowhere = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    none = jnp.zeros((), int)
    return jax.lax.while_loop(unfinished, improve, (start, nowhere, jnp.full_like(start[0], 5.0), none, none))[1]


def _size(at: Look) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(at.value**2))
