"""One step of pseudo-arclength continuation of a periodic orbit, and what a point of a branch knows of itself."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._typing import RealState
from ..mean_field import AbstractMeanFieldModel, MeanFieldState, overlaps
from .branch_equations import Numbers, with_parameter
from .floquet import floquet
from .linearisation import basis_on_the_way, eigensystem, push
from .once_around import NUM_PIECES, points_of
from .shooting import Look, Shooting, shoot

NEWTON_STEPS = 12
REGULAR = 1e-15  # singular values as in `SINGULAR`: orbits of a branch are apart, however fast deviations grow
NUM_POINTS = 128  # of an orbit, among which its least and its largest overlaps are looked for


class OrbitProblem(eqx.Module):
    """The equations of `Shooting` and one parameter more, in units of `scale`: u = (y, log T, p / scale)."""

    model: AbstractMeanFieldModel
    scale: Float[Array, ""]
    tol: float
    parameter: Any = eqx.field(static=True)
    num_kept: int = eqx.field(static=True)

    def model_at(self, p: Numbers) -> Any:
        """The model with the parameter's value at p, in units of `scale`."""
        return with_parameter(self.model, self.parameter, jnp.asarray(p) * self.scale)


class Course(NamedTuple):
    """An orbit and the direction in which its branch goes on, in (y, log T, p)."""

    y: RealState
    period: Numbers
    p: Numbers
    tangent: Numbers
    section: Numbers  # the normal of the one that fixes the phase of the next orbit; 0 for the velocity here
    inner: Numbers  # states on the way around, and how they change along the branch
    inner_tangent: Numbers


class OrbitPoint(NamedTuple):
    """An orbit of a branch, and how deviations from it grow."""

    course: Course
    good: Numbers
    multipliers: Numbers
    lowest: Numbers
    highest: Numbers
    size: Numbers  # the distance of its states from their mean


@eqx.filter_jit
def next_orbit(problem: OrbitProblem, last: Course, ds: Numbers) -> OrbitPoint:
    """Newton's method on y(T) = y and t . (u - u_0) = ds."""
    one, y = jnp.asarray(last.tangent), jax.tree.map(jnp.asarray, last.y)
    own = Shooting(y, jnp.asarray(last.period)).normal(problem.model_at(last.p))
    section = jnp.where(jnp.any(last.section != 0), last.section, own)
    shooting = Shooting(y, jnp.asarray(last.period), section)
    start = jnp.append(shooting.start(), last.p)

    def look(u: Array, inner: Array) -> Look:
        model, change = eqx.filter_jvp(problem.model_at, (u[-1],), (jnp.ones_like(u[-1]),))
        at = shooting.look(model, u[:-1], inner, change)
        ahead = jnp.sum(one * (u - start)) - ds
        value, left = jnp.append(at.value, ahead), jnp.append(at.left, ahead)
        return at._replace(u=u, value=value, left=left, slopes=jnp.concatenate([at.slopes, one[None]]))

    inner = jnp.asarray(last.inner + ds * last.inner_tangent)
    at = shoot(look, start + ds * one, inner, problem.tol, NEWTON_STEPS, REGULAR)
    good = at.good & (jnp.max(jnp.abs(at.left)) <= 10 * problem.tol)
    slopes = jnp.where(good, at.slopes, jnp.eye(start.size, dtype=start.dtype))
    ahead = jnp.linalg.solve(slopes, jnp.zeros_like(start).at[-1].set(1))
    good &= jnp.all(jnp.isfinite(ahead))
    u = jnp.where(good, at.u, start)
    y, period = shooting.orbit(u[:-1])
    model = problem.model_at(u[-1])
    across, _ = floquet(model, MeanFieldState.from_real(y), at.turn.velocity, at.turn.matrix, problem.num_kept)
    states = points_of(model, y, period, NUM_POINTS, at.inner)
    seen = overlaps(model, states[0])
    spread = sum(jnp.sum((x - jnp.mean(x, axis=0, keepdims=True)) ** 2) for x in states) / NUM_POINTS
    tangent = ahead / jnp.sqrt(jnp.sum(ahead**2))
    along = jnp.matmul(at.spread, tangent, precision="highest")
    course = Course(y, period, u[-1], tangent, jnp.zeros_like(section), at.inner, along)
    return OrbitPoint(course, good, across, jnp.min(seen, axis=0), jnp.max(seen, axis=0), jnp.sqrt(spread))


@eqx.filter_jit
def hopf_point(problem: OrbitProblem, state: MeanFieldState, value: Numbers) -> tuple[Course, Array]:
    """A state at rest as an orbit of no size, in whose plane of turning others are born.

        A v = i w v:   y + e Re v is on the way of an orbit of period 2 pi / w, whose velocity there is -e w Im v

    The phase of v is such that both are orthogonal. Also Re / Im of the eigenvalue, inf where none turns.
    """
    model, y = problem.model_at(value), state.to_real(problem.model)
    basis = basis_on_the_way(model, state, problem.num_kept)
    values, vectors = eigensystem(jnp.matmul(basis.T, push(model, y, basis.T).T, precision="highest"))
    turns = values.imag > 1e-6 * jnp.max(jnp.abs(values))
    at = jnp.argmin(jnp.where(turns, jnp.abs(values.real), jnp.inf))
    v = jnp.matmul(basis.astype(vectors.dtype), vectors[:, at], precision="highest")
    phase = jnp.angle(jnp.sum(v**2)) / 2
    v = v * jax.lax.complex(jnp.cos(phase), -jnp.sin(phase))
    along, across = v.real / jnp.linalg.norm(v.real), v.imag / jnp.linalg.norm(v.imag)
    flat, _ = ravel_pytree(y)
    tangent = jnp.zeros(flat.size + 2, flat.dtype).at[: flat.size].set(along)
    growth = jnp.where(turns[at], values[at].real / values[at].imag, jnp.inf)
    period = 2 * jnp.pi / jnp.where(turns[at], values[at].imag, 1)
    # later on the way, at the angles of the pieces
    angle = 2 * np.pi * np.arange(1, NUM_PIECES, dtype=flat.dtype)[:, None] / NUM_PIECES
    later = (jnp.cos(angle) * v.real[None] - jnp.sin(angle) * v.imag[None]) / jnp.linalg.norm(v.real)
    inner = jnp.broadcast_to(flat, later.shape)
    return Course(y, period, jnp.asarray(value), tangent, -across, inner, later), growth
