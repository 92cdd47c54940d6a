"""Critical couplings: the g0 at which a state appears, becomes stable, or ceases to be stable."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._checks import as_pattern_index, check_all, check_choice, refuse
from .._typing import ArrayLike, SubsetReals
from ..model import DickeModel, check_model
from ..self_consistency import state_of_overlaps, trusted
from .normal import normal_threshold
from .retrieval import closed_form_obstacle, threshold_squared
from .retrieval_branch import (
    RetrievalBranch,
    as_function,
    coupling_at,
    follow_branch,
    overlaps_in_field,
    refine,
    response,
    side,
    tangent,
)
from .spectrum import largest_eigenvalue, one_sign
from .stability import growth_rate

HALVINGS = 50
FLAT = 1e-6  # of |d log lambda / d log a|: a branch that turns back, and not one that is crossed


def critical_coupling(
    model: DickeModel,
    pattern: ArrayLike = 0,
    *,
    kind: str = "existence",
    spin_length: ArrayLike = 1.0,
    method: str | None = None,
) -> Float[Array, ""]:
    """The coupling g0 at which something happens to a pattern's retrieval state, or to the normal state.

        existence   g_nu / sqrt(s),   g_nu^2 = Omega (Omega_nu^2 + kappa_nu^2 / 4) / (2 Omega_nu)
        stability   g_nu sqrt(g_nu / min_mu g_mu) / sqrt(s)
        normal      1 / sqrt(lambda_max),   lambda_max of (G w s G^T)_mu,nu / (g_mu g_nu)

    Paper, below Eq. 12, for existence and s = 1. The first two hold for orthogonal patterns of +-1 without dissipation.
    In general the retrieval state is followed from strong fields down to where it ceases to be, and its stability with
    it; unequal weights and dissipation included. Does not depend on the model's own g0.

    **Main arguments**

    - `model`: a `DickeModel` with constant rates.
    - `pattern`: nu, from 0. The normal state has none.

    **Other arguments**

    - `kind`: "existence", above which the pattern's retrieval state exists; "stability", above which no other pattern
      grows on it; "normal", above which the normal state, without overlaps, is not stable any more.
    - `spin_length`: s = |m_k|, one number or one for each subset. Dissipation decides on its own lengths.
    - `method`: "closed form" or "root finding"; by default the closed form where it is known to hold.

    **Returns** one number, differentiable in every rate: by implicit differentiation where a root is found, and NaN
    where two patterns are equally easy, since there is none. The number is inf where it happens at no coupling, a
    pattern being no memory at strong coupling either, and NaN where the state could not be followed. Without
    dissipation, mixed signs of Omega_mu leave no retrieval state stable (inf), and the normal state at no coupling (0).

    **Raises** ValueError for arguments that do not fit, rates that depend on time, or a closed form that does not hold.
    """
    check_model(model)
    check_choice("kind", kind, ("existence", "stability", "normal"))
    if model.is_time_dependent:
        refuse("model", "one with constant rates (model.at(t) has those of time t)", "one with rates that change")
    nu = as_pattern_index(pattern, model.num_modes)
    lengths = jnp.asarray(spin_length, model.dtype)
    if lengths.shape not in ((), (model.num_subsets,)):
        refuse("spin_length", f"one number or of shape ({model.num_subsets},)", f"shape {lengths.shape}")
    check_all("spin_length", lengths, lambda s: (s > 0) & (s <= 1), "positive and at most 1")
    each = jnp.broadcast_to(lengths, (model.num_subsets,))
    if kind == "normal":
        return normal_threshold(model, each)

    obstacle = closed_form_obstacle(model, pattern, all_pairs=kind == "stability")
    if obstacle is None and lengths.ndim:
        obstacle = "spin_length", "one number for this closed form", f"shape {lengths.shape}"
    if method is None:
        method = "root finding" if obstacle else "closed form"
    check_choice("method", method, ("closed form", "root finding"))
    if method == "root finding":
        return by_root_finding(model, nu, each, kind)
    if obstacle is not None:
        refuse(*obstacle)
    return closed_form(model, nu, lengths, kind)


@eqx.filter_jit
def closed_form(model: DickeModel, nu: Int[Array, ""], length: Float[Array, ""], kind: str) -> Float[Array, ""]:
    """Existence and stability of orthogonal patterns of +-1."""
    each = jnp.sqrt(jnp.abs(jax.vmap(lambda mu: threshold_squared(model, mu))(jnp.arange(model.num_modes))))
    existence = each[nu] / jnp.sqrt(length)
    if kind == "existence":
        return existence
    easiest = jnp.min(each)
    ties = jnp.sum(each <= easiest * (1 + 1e-12)) > 1
    easiest = trusted(~ties, easiest)
    return jnp.where(one_sign(model), existence * jnp.sqrt(each[nu] / easiest), jnp.inf)


@eqx.filter_jit
def by_root_finding(model: DickeModel, nu: Int[Array, ""], lengths: SubsetReals, kind: str) -> Float[Array, ""]:
    """Existence and stability along the retrieval branch."""
    lengths *= jnp.sign(model.omega_mode[nu])  # the side of the field on which this pattern's states are
    fixed = jax.lax.stop_gradient((model, lengths))
    branch = follow_branch(fixed[0], nu, fixed[1])
    last, s, u = _first_turn(branch, fixed, nu)
    none = branch.number == 0
    if kind == "stability":
        index = jnp.arange(branch.strength.size)

        def note(i: Array, margins: Array) -> Array:
            return margins.at[i].set(margin(*fixed, branch.points[i], branch.strength[i]))

        margins = jax.lax.fori_loop(0, branch.number, note, jnp.zeros_like(branch.strength))
        last = jnp.max(jnp.where((margins > 0) & (index <= last), index, -1))
        none |= last < 0
        if model.dissipation is None:
            none |= ~one_sign(model)
        last = jnp.maximum(last, 0)

        def stable(u: Array, s: Array) -> Bool[Array, ""]:
            return margin(*fixed, u, s) > 0

        s, u = _bisect(branch, last, last + 1, stable, fixed, nu)

        def margin_at(s: Array, model: DickeModel, lengths: SubsetReals) -> Array:
            return margin(model, lengths, as_function(u, (model, lengths, s), nu), s)

        at_end = last >= branch.number - 1
        d_margin = jax.jvp(lambda s: margin_at(s, *fixed), (s,), (jnp.ones_like(s),))[1]
        moved = margin_at(s, model, lengths)
        # value 0, derivative that of the root of the margin
        s = s - (moved - jax.lax.stop_gradient(moved)) * jnp.where(at_end | none, 0, 1 / d_margin)
    lost = (last >= branch.number - 1) & ~branch.complete
    value = coupling_at(as_function(u, (model, lengths, s), nu))
    return jnp.where(none, jnp.inf, jnp.where(lost, jnp.nan, value))


def _first_turn(
    branch: RetrievalBranch, fixed: tuple[DickeModel, SubsetReals], nu: Int[Array, ""]
) -> tuple[Int[Array, ""], Array, Array]:
    """Where g0 turns back first: the point before, log a and the unknowns. Else the end of the branch.

    A branch that nearly crosses another can be lost to it between two points. The side then changes, as it does where
    branches do cross; smaller steps tell the two apart, for only a branch that turns back has a slope of zero.
    """
    model, lengths = fixed
    slopes, sides = jax.vmap(
        lambda u, s: (tangent(u, model, nu, lengths, s)[-1] / u[-1], side(u, model, nu, lengths, s))
    )(branch.points, branch.strength)
    index = jnp.arange(slopes.size - 1)
    event = (index < branch.number - 1) & ((slopes[1:] >= 0) | (sides[1:] != sides[:-1]))

    def look(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        ahead = event & (index >= carry[0])
        before = jnp.where(jnp.any(ahead), jnp.argmax(ahead), jnp.maximum(branch.number - 1, 0))

        def goes_on(u: Array, s: Array) -> Bool[Array, ""]:
            return (tangent(u, model, nu, lengths, s)[-1] < 0) & (side(u, model, nu, lengths, s) == sides[before])

        s, u = _bisect(branch, before, before + 1, goes_on, fixed, nu)
        flat = jnp.abs(tangent(u, model, nu, lengths, s)[-1]) < FLAT * u[-1]
        return before + 1, s, u, ~jnp.any(ahead) | flat

    first = jnp.zeros((), index.dtype), branch.strength[0], branch.points[0], jnp.array(False)
    after, s, u, _ = jax.lax.while_loop(lambda carry: ~carry[-1], look, first)
    return after - 1, s, u


def _bisect(
    branch: RetrievalBranch,
    strong: Int[Array, ""],
    weak: Int[Array, ""],
    before: Callable[[Array, Array], Array],
    fixed: tuple[DickeModel, SubsetReals],
    nu: Int[Array, ""],
) -> tuple[Array, Array]:
    """The weakest field, between two points of the branch, up to which `before` holds, and the unknowns there."""

    def halve(_: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        s, u, beyond = carry
        middle = (s + beyond) / 2
        point, good = refine(fixed[0], nu, fixed[1], middle, u)
        yes = good & before(point, middle)
        return jnp.where(yes, middle, s), jnp.where(yes, point, u), jnp.where(yes, beyond, middle)

    weak = jnp.minimum(weak, branch.strength.size - 1)
    start = branch.strength[strong], branch.points[strong], branch.strength[weak]
    s, u, _ = jax.lax.fori_loop(0, HALVINGS, halve, start)
    return s, u


def margin(model: DickeModel, lengths: SubsetReals, u: Float[Array, " U"], s: Array) -> Float[Array, ""]:
    """Positive where the state is stable, negative where not, and smooth at the threshold.

    Without dissipation, and with Omega_mu of one sign, modes lose energy, and stability is that of an energy minimum:
    the smallest eigenvalue of its M x M Hessian, for any number of subsets. With dissipation, minus the growth rate of
    the full linearised equations.
    """
    f, g0 = jnp.exp(s) * u[:-1], coupling_at(u)
    if model.dissipation is not None:
        model = dataclasses.replace(model, g0=g0)
        return -growth_rate(model, state_of_overlaps(model, overlaps_in_field(model, f, lengths), lengths))
    slopes = jax.jacfwd(lambda f: overlaps_in_field(model, f, lengths))(f)
    # symmetric: sum_k w_k G[mu, k] G[nu, k] |dz_k / db_k|
    stiffness = slopes * jnp.sign(response(model))[None, :]
    root = g0 * jnp.sqrt(jnp.abs(response(model)))
    return 1 - largest_eigenvalue(stiffness * jnp.outer(root, root))
