"""Retrieval states of a pattern: in closed form (paper, Eq. 12 and S26 to S28), and along the branch of any model."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from .._checks import as_array, as_pattern_index, known, refuse
from .._door import checked
from .._implicit import implicit
from .._typing import ArrayLike, ModeReals, SubsetReals
from ..mean_field.model import DickeModel
from ..mean_field.state import MeanFieldState, pattern_row
from ..mean_field.stationary_equations import amplitudes, as_spin_lengths, field_per_overlap, overlaps_in_field
from .linearisation import one_sign
from .roots import iterate_along

STRONGEST, WEAKEST = 1e3, 1e-7  # a, in units of `splitting`
LONGEST_STEP, SHORTEST_STEP = 0.7, 1e-7  # in log a
OFF_COURSE = 0.02  # the distance from the tangent at which a point may be one of another branch
MOST_POINTS = 300
NEWTON_STEPS = 8


def threshold_squared(model: DickeModel, pattern: ArrayLike | None = None) -> Float[Array, "..."]:
    """g_nu^2 = Omega (Omega_nu^2 + kappa_nu^2 / 4) / (2 Omega_nu), negative where Omega and Omega_nu differ in sign.

    Of one pattern, or of all.
    """
    return model.omega_spin * stiffness(model, pattern)


def stiffness(model: DickeModel, pattern: ArrayLike | None = None) -> Float[Array, "..."]:
    """g_nu^2 / Omega, and inf for a mode with Omega_nu = 0, which turns no spin."""
    nu = slice(None) if pattern is None else as_pattern_index(pattern, model.num_modes)
    omega, kappa = model.omega_mode[nu], model.kappa[nu]
    turns = omega != 0
    return jnp.where(turns, (omega**2 + kappa**2 / 4) / (2 * jnp.where(turns, omega, 1)), jnp.inf)


@checked
def retrieval_overlap(model: DickeModel, pattern: ArrayLike = 0, *, spin_length: ArrayLike = 1.0) -> Float[Array, ""]:
    """|xi_nu| of the stationary state that is aligned with pattern nu; 0 below threshold.

        |xi_nu|^2 = s^2 - (g_nu / g0)^4,   g_nu^2 = Omega (Omega_nu^2 + kappa_nu^2 / 4) / (2 Omega_nu)

    Paper, Eq. 12, for s = 1. (S28 prints s^2 - |z| where |z|^2 is meant.) Differentiable in every rate; the derivative
    diverges at threshold, while |xi_nu|^2 is smooth up to it.

    **Arguments**

    - `model`: its pattern nu must be orthogonal to the others, sum_k w_k G[nu, k] G[mu, k] = delta, as in the
      thermodynamic limit; all of them, where `pattern` is traced. `model.spins.orthogonal` says which are.
    - `pattern`: nu, from 0.
    - `spin_length`: s = |m_k|, the same for all subsets.

    Existing is not being stable: an easier pattern can take over where a small admixture of it grows.

    **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model()
        >>> print([round(float(dj.retrieval_overlap(model.replace(g0=g0), 0)), 4) for g0 in (0.5, 1.0, 2.0)])
        [0.0, 0.9091, 0.9946]
    """
    return _components(model, *_checked(model, pattern, spin_length))[1]


@checked
def retrieval_state(
    model: DickeModel, pattern: ArrayLike = 0, sign: int = 1, *, spin_length: ArrayLike = 1.0
) -> MeanFieldState:
    """The stationary state aligned with pattern nu, or with its negative; the normal state below threshold.

        z_k = sign |xi_nu| G[nu, k],  y_k = 0,  x_k = -(g_nu / g0)^2
        alpha_mu = -i g0 xi_mu / (i Omega_mu + kappa_mu / 2)

    Paper, S27 to S28. Below threshold z_k = 0, x_k = -s, no photons (x_k = +s where Omega and Omega_nu differ in sign).

    **Arguments**: `model`, `pattern` and `spin_length` as in `retrieval_overlap`; `sign`: +1 or -1, which of the two
    images.

    **Returns** a `MeanFieldState`. **Raises** ValueError for arguments that do not fit.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.0)
        >>> state = dj.retrieval_state(model, pattern=1)
        >>> print(dj.overlaps(model, state.m).round(4), dj.occupations(state.alpha).round(4))
        [0.     0.8472 0.     0.    ] [0.     0.1689 0.     0.    ]
    """
    if sign not in (1, -1):
        refuse("sign", "+1 or -1", sign)
    return _state(model, *_checked(model, pattern, spin_length), as_array(sign, model.dtype))


def _checked(model: DickeModel, pattern: ArrayLike, spin_length: ArrayLike) -> tuple[Int[Array, ""], Float[Array, ""]]:
    nu, length = as_pattern_index(pattern, model.num_modes), as_spin_lengths(model, spin_length)
    obstacle = closed_form_obstacle(model, pattern, length)
    if obstacle is not None:
        refuse(*obstacle)
    return nu, length


@eqx.filter_jit
def closed_form(model: DickeModel, nu: Int[Array, ""], length: Float[Array, ""], kind: str) -> Float[Array, ""]:
    """The couplings of existence and stability of orthogonal patterns of +-1, as `critical_coupling` gives them."""
    each = jnp.abs(stiffness(model))
    turns = jnp.isfinite(each[nu])
    own = jnp.where(turns, each[nu], 1)
    existence = jnp.sqrt(jnp.abs(model.omega_spin) * own / length)
    if kind == "existence":
        return jnp.where(turns, existence, jnp.inf)
    easiest = jnp.min(each)
    unique = jnp.sum(each <= easiest * (1 + 1e-12)) == 1
    easiest = implicit(jnp.subtract, easiest[None], easiest[None], unique)[0]
    easiest = jnp.where(turns, easiest, 1)
    return jnp.where(turns & one_sign(model), existence * (own / easiest) ** 0.25, jnp.inf)


@eqx.filter_jit
def _components(model: DickeModel, nu: Int[Array, ""], length: Float[Array, ""]) -> tuple[Array, Array]:
    """x_k of the retrieval state, or of the normal one, and |xi_nu|; safe to differentiate on both sides."""
    omega, kappa = model.omega_mode[nu], model.kappa[nu]
    weight = model.omega_spin * (omega**2 + kappa**2 / 4)  # x = -weight / pull
    pull = 2 * omega * model.g0**2
    exists = jnp.abs(pull) * length > jnp.abs(weight)
    x = -weight / jnp.where(exists, pull, 1.0)
    at_rest = jnp.where(model.omega_spin * omega >= 0, -length, length)
    overlap = jnp.where(exists, jnp.sqrt(jnp.where(exists, length**2 - x**2, 1.0)), 0.0)
    return jnp.where(exists, x, at_rest), overlap


@eqx.filter_jit
def _state(model: DickeModel, nu: Int[Array, ""], length: Float[Array, ""], sign: Float[Array, ""]) -> MeanFieldState:
    x, overlap = _components(model, nu, length)
    z = sign * overlap * pattern_row(model, nu)
    m = jnp.stack([jnp.full_like(z, x), jnp.zeros_like(z), z])
    return MeanFieldState(m, amplitudes(model, model.spins.project(z)))


def closed_form_obstacle(
    model: DickeModel, pattern: ArrayLike, lengths: ArrayLike = 1.0, *, all_pairs: bool = False
) -> tuple[str, str, str] | None:
    """Why Eq. 12 does not hold: argument, what it must be, what it was. None where it does.

    The retrieval state of a pattern asks that it be orthogonal to the others; its stability, that all pairs be, and so
    does a pattern that is traced. All that is asked is static: the answer is the same under `jax.jit`.
    """
    if model.is_time_dependent:
        must_be = "one with constant rates for this closed form (model.at(t) has those of time t)"
        return "model", must_be, "one with rates that change"
    if model.dissipation is not None:
        return (
            "model",
            "without single-spin dissipation for this closed form (stationary_states and steadystate need none)",
            "one with it",
        )
    if np.ndim(lengths):
        return "spin_length", "one number for this closed form", f"shape {np.shape(lengths)}"
    orthogonal = model.spins.orthogonal
    if all(orthogonal) or (known(pattern) and not all_pairs and orthogonal[int(np.asarray(pattern))]):
        return None
    must_be = "patterns of +-1 that are orthogonal, sum_k w_k G[nu, k] G[mu, k] = 0, for this closed form"
    return (
        "model.spins",
        f"{must_be} (LargeSpins.hypercube has such; stationary_state and steadystate need none)",
        "others, or couplings that are traced",
    )


class BranchPoint(eqx.Module):
    """A point of a branch, at s = log a: the unknowns u, du / ds, and whether it is one.

    `orientation` is a sign that changes along the branch only where another one crosses it.
    """

    s: Float[Array, "*points"]
    u: Float[Array, "*points U"]
    tangent: Float[Array, "*points U"]
    orientation: Float[Array, "*points"]
    good: Bool[Array, "*points"]

    @property
    def slope(self) -> Float[Array, "*points"]:
        """The slope d log lambda / ds, which vanishes where g0 turns back."""
        return self.tangent[..., -1] / self.u[..., -1]


class RetrievalBranch(eqx.Module):
    """Points of a branch, from strong to weak field: the first `number` ones. The rest repeats the last.

    `number` is 0 where strong fields have no state with this pattern's overlap the largest; `complete` is false where
    the branch was lost on the way.
    """

    points: BranchPoint
    number: Int[Array, ""]
    complete: Bool[Array, ""]

    def __getitem__(self, index: Array) -> BranchPoint:
        return jax.tree.map(lambda x: x[index], self.points)


class PatternStates(eqx.Module):
    """The equations of one pattern's states, followed by the strength of its own field, from strong fields down.

    A state is stationary at coupling g0 where, with f_mu = c_mu xi_mu the field of each mode and c_mu = g0^2 chi_mu,

        lambda f = chi P(f),   |f_nu| = a,   lambda = 1 / g0^2

    P(f) are the overlaps of spins at rest in the field f. The strength a runs through the branch where g0 turns back (a
    fold) and where the overlap vanishes (a -> 0, the state merges with the normal one); neither the overlap nor the
    coupling need be monotonic. A point is u = (f / a, lambda), a function of s = log a, constant at both ends.
    """

    model: DickeModel
    pattern: Int[Array, ""]
    lengths: SubsetReals

    def __call__(self, u: Array, s: Array) -> Array:
        """What vanishes at the points of the branch."""
        chi, a = response(self.model), jnp.exp(s)
        fixed = (u[:-1] * jnp.sign(chi))[self.pattern] - 1
        return jnp.append(u[-1] * u[:-1] - chi * overlaps_in_field(self.model, a * u[:-1], self.lengths) / a, fixed)

    def find(self, s: Array, guess: Array) -> BranchPoint:
        """The point at strength exp(s) near a guess, by Newton's method."""
        tol = 1e4 * float(jnp.finfo(s.dtype).eps)

        def both(x: Array) -> tuple[Array, Array]:
            value = self(x[:-1], x[-1])
            return value, value

        def linearised(u: Array) -> tuple[Array, Array, Array]:
            slopes, value = jax.jacfwd(both, has_aux=True)(jnp.append(u, s))
            return value, slopes[:, :-1], -slopes[:, -1]

        def size(shift: Array, u: Array) -> Array:
            return jnp.max(jnp.abs(shift.at[-1].divide(u[-1])))

        u, tangent, orientation, last = iterate_along(linearised, guess, tol, NEWTON_STEPS, size)
        return BranchPoint(s, u, tangent, orientation, (last <= tol) & (u[-1] > 0))

    def slope(self, u: Array, s: Array) -> Array:
        """As that of a `BranchPoint`, and differentiable."""
        _, change = jax.jvp(lambda s: self(u, s), (s,), (jnp.ones_like(s),))
        return -jnp.linalg.solve(jax.jacfwd(self)(u, s), change)[-1] / u[-1]


def follow_branch(states: PatternStates) -> RetrievalBranch:
    """Newton's method from a prediction along the tangent, with steps so short that the branch is not lost."""
    model, lengths = states.model, states.lengths
    unit = splitting(model)
    start, end = jnp.log(STRONGEST * unit), jnp.log(WEAKEST * unit)
    chi = response(model)
    alone = jnp.zeros_like(chi).at[states.pattern].set(jnp.sign(chi[states.pattern]) * jnp.exp(start))
    pull = chi * overlaps_in_field(model, alone, lengths)
    inverse = jnp.abs(pull[states.pattern]) / jnp.exp(start)
    guess = jnp.append(pull / jnp.exp(start) / inverse, inverse)
    first = states.find(start, jnp.where(jnp.isfinite(guess), guess, 1))
    xi = jnp.abs(overlaps_in_field(model, jnp.exp(start) * first.u[:-1], lengths))
    good = first.good & (xi[states.pattern] >= (1 - 1e-6) * jnp.max(xi))  # the largest, or one of two that are alike

    def advance(carry: tuple[RetrievalBranch, Array]) -> tuple[RetrievalBranch, Array]:
        branch, step = carry
        last = branch[branch.number - 1]
        further = jnp.maximum(last.s - step, end)
        predicted = last.u + last.tangent * (further - last.s)
        point = states.find(further, predicted)
        scale = jnp.append(jnp.ones(model.num_modes, predicted.dtype), point.u[-1])
        good = point.good & (jnp.max(jnp.abs(point.u - predicted) / scale) < OFF_COURSE)
        new = good & (jnp.arange(MOST_POINTS) >= branch.number)

        def put(all_: Array, one: Array) -> Array:
            return jnp.where(new.reshape(-1, *(1,) * one.ndim), one[None], all_)

        step = jnp.where(good, jnp.minimum(1.5 * step, LONGEST_STEP), step / 2)
        points = jax.tree.map(put, branch.points, point)
        return RetrievalBranch(points, branch.number + good.astype(int), branch.complete), step

    def unfinished(carry: tuple[RetrievalBranch, Array]) -> Array:
        branch, step = carry
        going = (branch.points.s[-1] > end) & (step > SHORTEST_STEP)
        return going & (branch.number > 0) & (branch.number < MOST_POINTS)

    points = jax.tree.map(lambda x: jnp.broadcast_to(x, (MOST_POINTS, *x.shape)), first)
    branch = RetrievalBranch(points, good.astype(int), jnp.array(False))
    branch, _ = jax.lax.while_loop(unfinished, advance, (branch, jnp.asarray(LONGEST_STEP, model.dtype)))
    return dataclasses.replace(branch, complete=branch.points.s[-1] <= end)


def response(model: DickeModel) -> ModeReals:
    """chi_mu, the field of a mode per overlap, c_mu = g0^2 chi_mu."""
    return field_per_overlap(model.replace(g0=jnp.ones((), model.dtype)))


def splitting(model: DickeModel) -> Float[Array, ""]:
    """The field that counts as strong for a spin: 2 |Omega|, or what jumps do to it where that is more."""
    rates = [jnp.abs(2 * model.omega_spin)]
    if model.dissipation is not None:
        rates.append(jnp.max(jnp.abs(model.dissipation.terms(model.dtype)[0])))
    largest = jnp.max(jnp.stack(rates))
    return jnp.where(largest > 0, largest, 1)  # any field is strong
