"""Multiple shooting: the state and the period with y(T) = y(0), by Newton's method."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from .._implicit import smallest_solution
from .._typing import RealState, SpinVectors
from ..mean_field import AbstractMeanFieldModel, mean_field_equations, spin_lengths
from ..mean_field.site_levels import away_from, populations
from .once_around import NUM_PIECES, Around, around, end_of

SINGULAR = 1e-9  # of the largest singular value: a direction that leaves y(T) = y(0) as it is, of a family of orbits
REJECTED = 6  # steps in a row, each shorter than the one before, after which nothing gets better
PERIOD_FACTOR = 2.0  # by which the period may differ from the first guess


class Shooting(eqx.Module):
    """The equations for u = (y, log(T / T_0)), as many as unknowns.

        y(T) - y + c(y) = 0,   f(y_0) . (y - y_0) = 0

    y_0, T_0 are the guess. What is conserved is one equation too many in y(T) = y, which c makes up for: where no jumps
    act on single sites it is the part of m_k by which its length, or of d levels its populations, are not those of the
    guess, m_k (1 - s_k / |m_k|). No motion has such a part, so that both vanish, being orthogonal.
    """

    guess: RealState
    period: Float[Array, ""]
    section: Float[Array, " n"] | None = None  # its normal, where it is not f(y_0)

    def start(self) -> Float[Array, " size"]:
        flat, _ = ravel_pytree(self.guess)
        return jnp.append(flat, 0)

    def off(self, model: AbstractMeanFieldModel, m: SpinVectors) -> SpinVectors:
        """The part of m that has other lengths or populations than the guess; 0 where those are not conserved."""
        if model.dissipation is not None:
            return jnp.zeros_like(m)
        if model.levels > 2:
            return away_from(m, populations(self.guess[0]))
        lengths = spin_lengths(m)
        return m - m * (spin_lengths(self.guess[0]) / jnp.where(lengths > 0, lengths, 1))[None]

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
        y, _ = self.orbit(u)
        flat, _ = ravel_pytree(y)
        first, _ = ravel_pytree(self.guess)
        off, _ = ravel_pytree((self.off(model, y[0]), jnp.zeros_like(y[1])))
        return jnp.append(end - flat + off, jnp.sum(self.normal(model) * (flat - first)))

    def look(
        self, model: AbstractMeanFieldModel, u: Array, inner: Float[Array, "later n"], change: Any = None
    ) -> "Look":
        """The equations at u and their slopes; with `change`, of the model along a parameter, that in a last column.

        An orbit is run along in pieces, from y and from the states `inner`:

            y_(i+1) = end_i(y_i),   d y_(i+1) = M_i d y_i + v_i d(T / S) + (end_i - y_(i+1))

        All that is left in between is put into the last one, so that the unknowns stay those of one run around.
        """
        first, unravel = ravel_pytree(self.guess)
        n = first.size
        inside = jnp.abs(u[n]) < math.log(PERIOD_FACTOR)
        span = jnp.where(inside, self.orbit(u)[1], self.period) / NUM_PIECES
        starts = jnp.concatenate([u[None, :n], inner])
        pieces = jax.vmap(lambda start: around(model, unravel(start), span, change))(starts)
        gaps = pieces.end[:-1] - inner

        def onward(carry: Any, piece: Any) -> tuple[Any, Any]:
            moved, shift = carry
            matrix, velocity, gap = piece
            moved = jnp.matmul(matrix[:, :n], moved, precision="highest").at[:, n].add(velocity * span)
            shift = jnp.matmul(matrix[:, :n], shift, precision="highest") + gap
            return (moved.at[:, n + 1 :].add(matrix[:, n:]), shift), (moved.at[:, n + 1 :].add(matrix[:, n:]), shift)

        columns = n + 1 + (change is not None)
        nothing = jnp.eye(n, columns, dtype=u.dtype), jnp.zeros_like(first)
        gaps_and_last = jnp.concatenate([gaps, jnp.zeros_like(first)[None]])
        _, (moved, shifts) = jax.lax.scan(onward, nothing, (pieces.matrix, pieces.velocity, gaps_and_last))
        value = self.equations(model, u, pieces.end[-1] + shifts[-1])
        slopes = jax.jacfwd(lambda at: self.equations(model, at, pieces.end[-1]))(u)
        slopes = slopes.at[:n, :n].add(moved[-1, :, :n]).at[:n, n].add(moved[-1, :, n])
        further = jnp.pad(moved[-1, :, n + 1 :], ((0, u.size - n), (0, 0)))
        # a gap after a piece along which deviations grow is as good as one that is smaller by that at its start
        growth = jnp.maximum(jnp.max(jnp.abs(pieces.matrix[:, :, :n]), axis=(1, 2)), 1)
        own = self.equations(model, u, pieces.end[-1])
        left = jnp.concatenate([own.at[:n].divide(growth[-1]), (gaps / growth[:-1, None]).ravel()])
        turn = Around(pieces.end[-1], pieces.velocity[-1], moved[-1, :, :n], inside & jnp.all(pieces.ran))
        slopes = jnp.concatenate([slopes, further], axis=1)
        return Look(u, inner, value, slopes, left, moved[:-1], shifts[:-1], turn, turn.ran)


class Look(NamedTuple):
    """The equations and their slopes at u, with what the run around gave."""

    u: Float[Array, " size"]
    inner: Float[Array, "later n"]  # where all pieces but the first begin
    value: Float[Array, " equations"]  # with what is left between pieces
    slopes: Float[Array, "equations unknowns"]
    left: Float[Array, " all"]  # of the equations, and between pieces, over what deviations grow by along each
    spread: Float[Array, "later n unknowns"]  # d inner / d u
    shift: Float[Array, "later n"]  # by which `inner` is to move besides
    turn: Around
    good: Bool[Array, ""]

    def moved(self, step: Float[Array, " unknowns"]) -> Float[Array, "later n"]:
        """Where pieces begin after a step of u."""
        return self.inner + jnp.matmul(self.spread, step, precision="highest") + self.shift


def residual(u: Float[Array, " size"], args: tuple[AbstractMeanFieldModel, Shooting, Array]) -> Float[Array, " size"]:
    """The equations as a function of u, the model and the guess, for the implicit rule."""
    model, problem, inner = args
    return problem.equations(model, u, end_of(model, *problem.orbit(u), inner))


def nearest_solution(matrix: Float[Array, "n n"], given: Float[Array, " n"]) -> Float[Array, " n"]:
    """The smallest x with A x = b, where a family of orbits leaves some directions free."""
    return smallest_solution(matrix, given, SINGULAR)


def shoot(
    look: Callable[[Array, Array], Look], start: Array, inner: Array, tol: float, most: int, singular: float = SINGULAR
) -> Look:
    """Where Levenberg and Marquardt's steps end, with a damping that goes with what is left of the equations.

        d = -(A^T A + lambda^2)^-1 A^T F,   lambda = damping |F|

    They go to a near orbit also where orbits come in families and A is singular at each; in the end they are Newton's.
    """

    def unfinished(carry: tuple[Any, ...]) -> Bool[Array, ""]:
        _, _, at, _, rejected, count = carry
        closed = at.good & (jnp.max(jnp.abs(at.left)) <= tol)
        return ~closed & (rejected < REJECTED) & (count < most)

    def improve(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        new, inner, at, damping, rejected, count = carry
        there = look(new, inner)
        better = there.good & ((_size(there) < _size(at)) | ~at.good)
        at = jax.tree.map(lambda a, b: jnp.where(better, a, b), there, at)
        damping = damping * jnp.where(better, 0.2, 5.0).astype(new.dtype)
        left, s, right = jnp.linalg.svd(jnp.where(at.good, at.slopes, jnp.eye(*at.slopes.shape, dtype=new.dtype)))
        kept = s > singular * s[0]
        scaled = jnp.where(kept, s / jnp.where(kept, s**2 + (damping * _size(at)) ** 2, 1), 0)
        step = -jnp.matmul(scaled * jnp.matmul(at.value, left, precision="highest"), right, precision="highest")
        return at.u + step, at.moved(step), at, damping, jnp.where(better, 0, rejected + 1), count + 1

    shapes = jax.eval_shape(look, start, inner)
    nowhere = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    none = jnp.zeros((), int)
    first = start, inner, nowhere, jnp.full_like(start[0], 5.0), none, none
    return jax.lax.while_loop(unfinished, improve, first)[2]


def _size(at: Look) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(at.left**2))
