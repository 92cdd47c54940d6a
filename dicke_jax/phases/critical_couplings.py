"""Critical couplings: the g0 at which a state appears, becomes stable, or ceases to be stable."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from .._checks import as_pattern_index, check_choice, known, refuse
from .._door import checked
from .._implicit import implicit, smallest_solution
from .._typing import ArrayLike, ModeReals, SubsetReals
from ..mean_field import DickeModel, check_constant_rates
from ..mean_field.stationary_equations import as_spin_lengths, overlaps_in_field, state_of_overlaps, stationary_spins
from .linearisation import eigensystem, jacobian, largest_eigenvalue, one_sign
from .retrieval_states import (
    BranchPoint,
    PatternStates,
    RetrievalBranch,
    closed_form,
    closed_form_obstacle,
    follow_branch,
    response,
    splitting,
)

FINEST, POINTS = 1e-3, 64  # of the search for an oscillation that grows before the static threshold
FARTHEST = 100.0  # couplings looked at, in units of the largest rate, where there is no static threshold
HALVINGS = 50
FLAT = 1e-6  # of |d log lambda / d log a|: a branch that turns back, and not one that is crossed


@checked
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

    **Arguments**

    - `model`: a `DickeModel` with constant rates.
    - `pattern`: nu, from 0. The normal state has none.
    - `kind`: "existence", above which the pattern's retrieval state exists; "stability", above which no other pattern
      grows on it; "normal", above which the normal state, without overlaps, is not stable any more.
    - `spin_length`: s = |m_k|, one number or one for each subset. Dissipation decides on its own lengths.
    - `method`: "closed form" or "root finding"; by default the closed form where it is known to hold.

    **Returns** one number, differentiable in every rate: by implicit differentiation where a root is found, and NaN
    where two patterns are equally easy, since there is none. The number is inf where it happens at no coupling, a
    pattern being no memory at strong coupling either, and NaN where the state could not be followed. Without
    dissipation, mixed signs of Omega_mu leave no retrieval state of orthogonal patterns stable (inf), and the normal
    state at no coupling (0). Of other patterns a mode of one sign may keep what one of the other lets grow: NaN.

    **Raises** ValueError for arguments that do not fit, rates that depend on time, or a closed form that does not hold.

    **Example**

        >>> model = dj.examples.paper_model()
        >>> for kind in ("existence", "stability"):
        ...     print(kind, [round(float(dj.critical_coupling(model, nu, kind=kind)), 4) for nu in range(4)])
        existence [0.6455, 0.7289, 0.8062, 0.878]
        stability [0.6455, 0.7745, 0.901, 1.0239]
    """
    check_constant_rates(model)
    check_choice("kind", kind, ("existence", "stability", "normal"))
    nu = as_pattern_index(pattern, model.num_modes)
    lengths = as_spin_lengths(model, spin_length, positive=True)
    if kind == "normal":
        return normal_threshold(model, lengths)

    obstacle = closed_form_obstacle(model, pattern, lengths, all_pairs=kind == "stability")
    if method is None:
        method = "root finding" if obstacle else "closed form"
    check_choice("method", method, ("closed form", "root finding"))
    if method == "root finding":
        return by_root_finding(model, nu, lengths, kind)
    if obstacle is not None:
        refuse(*obstacle)
    return closed_form(model, nu, lengths, kind)


@eqx.filter_jit
def by_root_finding(model: DickeModel, nu: Int[Array, ""], lengths: Float[Array, "..."], kind: str) -> Float[Array, ""]:
    """Existence and stability along the retrieval branch."""
    alignment = jnp.sign(model.omega_mode[nu])  # with which spins stand to their field in this pattern's states
    states = PatternStates(model, nu, jnp.broadcast_to(alignment * lengths, (model.num_subsets,)))
    fixed = jax.lax.stop_gradient(states)
    branch = follow_branch(fixed)
    last, at = _first_turn(branch, fixed)
    none = branch.number == 0
    undecided = ~one_sign(model) & (model.dissipation is None and kind == "stability") & ~none
    if kind == "stability":
        index = jnp.arange(branch.points.s.size)

        def note(i: Array, margins: Array) -> Array:
            return margins.at[i].set(margin(fixed, branch.points.u[i], branch.points.s[i]))

        margins = jax.lax.fori_loop(0, branch.number, note, jnp.zeros_like(branch.points.s))
        last = jnp.max(jnp.where((margins > 0) & (index <= last), index, -1))
        none |= last < 0
        none = jnp.where(undecided, all(model.spins.orthogonal), none)
        last = jnp.maximum(last, 0)
        at = _bisect(branch, last, lambda point: margin(fixed, point.u, point.s) > 0, fixed)

    within = (last < branch.number - 1) & ~none
    event = Event(margin if kind == "stability" else PatternStates.slope)
    lost = ((last >= branch.number - 1) & ~branch.complete) | undecided
    # where another branch crosses, the equations are singular in the direction of that one, in which nothing changes
    args, valid = (states, within, at.s), jnp.all(jnp.isfinite(at.u))
    value = jax.lax.rsqrt(implicit(event, jnp.append(at.u, at.s), args, valid, smallest_solution)[-2])
    return jnp.where(none, jnp.inf, jnp.where(lost, jnp.nan, value))


def _first_turn(branch: RetrievalBranch, states: PatternStates) -> tuple[Int[Array, ""], BranchPoint]:
    """Where g0 turns back first: the index of the point before, and the place. Else the end of the branch.

    A branch that nearly crosses another can be lost to it between two points. Its orientation then changes, as it does
    where branches do cross; smaller steps tell the two apart, for only a branch that turns back has a slope of zero.
    """
    slopes, orientations = branch.points.slope, branch.points.orientation
    index = jnp.arange(slopes.size - 1)
    event = (index < branch.number - 1) & ((slopes[1:] >= 0) | (orientations[1:] != orientations[:-1]))

    def look(carry: tuple[Array, BranchPoint, Array]) -> tuple[Array, BranchPoint, Array]:
        ahead = event & (index >= carry[0])
        before = jnp.where(jnp.any(ahead), jnp.argmax(ahead), jnp.maximum(branch.number - 1, 0))

        def goes_on(point: BranchPoint) -> Bool[Array, ""]:
            return (point.orientation == orientations[before]) & (point.slope < 0)

        at = _bisect(branch, before, goes_on, states)
        return before + 1, at, ~jnp.any(ahead) | (jnp.abs(at.slope) < FLAT)

    first = jnp.zeros((), index.dtype), branch[jnp.zeros((), index.dtype)], jnp.array(False)
    after, at, _ = jax.lax.while_loop(lambda carry: ~carry[-1], look, first)
    return after - 1, at


def _bisect(
    branch: RetrievalBranch, strong: Int[Array, ""], before: Callable[[BranchPoint], Array], states: PatternStates
) -> BranchPoint:
    """The point of the weakest field, up to the next one of the branch, for which `before` holds."""

    def halve(_: Any, carry: tuple[BranchPoint, Array]) -> tuple[BranchPoint, Array]:
        at, beyond = carry
        point = states.find((at.s + beyond) / 2, at.u)
        yes = point.good & before(point)
        return jax.tree.map(lambda x, y: jnp.where(yes, x, y), point, at), jnp.where(yes, beyond, point.s)

    weak = jnp.minimum(strong + 1, branch.points.s.size - 1)
    return jax.lax.fori_loop(0, HALVINGS, halve, (branch[strong], branch.points.s[weak]))[0]


class Event(eqx.Module):
    """What vanishes at the point of the branch where a quantity does; or, not `within` the branch, at its end."""

    quantity: Callable[[PatternStates, Array, Array], Array] = eqx.field(static=True)

    def __call__(self, x: Float[Array, " size"], args: tuple[PatternStates, Array, Array]) -> Float[Array, " size"]:
        states, within, end = args
        u, s = x[:-1], x[-1]
        return jnp.append(states(u, s), jnp.where(within, self.quantity(states, u, s), s - end))


def margin(states: PatternStates, u: Float[Array, " U"], s: Array) -> Float[Array, ""]:
    """Positive where the state is stable, negative where not, and smooth at the threshold.

    Without dissipation, and with Omega_mu of one sign, modes lose energy, and stability is that of an energy minimum:
    the smallest eigenvalue of its M x M Hessian, for any number of subsets. With dissipation, minus the growth rate of
    the full linearised equations.
    """
    model, lengths = states.model, states.lengths
    f, g0 = jnp.exp(s) * u[:-1], jax.lax.rsqrt(u[-1])
    if model.dissipation is None:
        return 1 - softness(model, f, lengths, g0)
    model = model.replace(g0=g0)
    state = state_of_overlaps(model, overlaps_in_field(model, f, lengths), lengths)
    return -eigensystem(jacobian(model, state))[0].real[0]


def normal_threshold(model: DickeModel, lengths: Float[Array, "..."]) -> Float[Array, ""]:
    """g0 at which the state with xi = 0 loses stability: the first eigenvalue that crosses the imaginary axis.

    static: g0^-2 = lambda_max of P'(f) chi at f = 0, a symmetric matrix without dissipation
    """
    value, at_rest = (_conservative if model.dissipation is None else _dissipative)(model, lengths)
    if known(at_rest) and float(at_rest) > 1e-6:
        must_be = "one whose dissipation leaves spins without field no overlap, for a normal state to exist"
        refuse("model", must_be, f"an overlap of {float(at_rest):.3g}")
    return value


@eqx.filter_jit
def _conservative(model: DickeModel, lengths: Float[Array, "..."]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The threshold, and the largest overlap without field, which symmetry forbids here."""
    lengths = jnp.broadcast_to(jnp.sign(jnp.sum(model.omega_mode)) * lengths, (model.num_subsets,))
    turns = (model.omega_spin != 0) & jnp.any(model.omega_mode != 0)  # else nothing grows
    safe = model.replace(omega_spin=jnp.where(turns, model.omega_spin, 1))
    value = softness(safe, jnp.zeros_like(model.omega_mode), lengths)
    value = jax.lax.rsqrt(jnp.where(turns, value, 1))
    mixed = 0.0 if all(model.spins.orthogonal) else jnp.nan  # else each mode has spin waves of its own
    return jnp.where(turns, jnp.where(one_sign(model), value, mixed), jnp.inf), jnp.zeros_like(value)


def softness(model: DickeModel, f: ModeReals, lengths: SubsetReals, g0: Array | float = 1.0) -> Float[Array, ""]:
    """The largest eigenvalue of P'(f) c, c_mu = g0^2 chi_mu, without dissipation: above 1 a deviation grows.

    The matrix is similar to a symmetric one, since P' = sum_k w_k G[mu, k] G[nu, k] dz_k / db_k.
    """
    chi = response(model)
    slopes = jax.jacfwd(lambda f: overlaps_in_field(model, f, lengths))(f)
    turns = chi != 0
    root = g0 * jnp.where(turns, jnp.sqrt(jnp.abs(jnp.where(turns, chi, 1))), 0)
    return largest_eigenvalue(slopes * jnp.sign(chi)[None, :] * jnp.outer(root, root))


@eqx.filter_jit
def _dissipative(model: DickeModel, lengths: Float[Array, "..."]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The threshold, and the largest overlap without field, which must be none."""
    lengths = jnp.broadcast_to(lengths, (model.num_subsets,))
    fixed = jax.lax.stop_gradient((model, lengths))
    zero = jnp.zeros(model.num_modes, model.dtype)
    at_rest = jnp.max(jnp.abs(overlaps_in_field(fixed[0], zero, fixed[1])))
    pulls = jax.jacfwd(lambda f: overlaps_in_field(fixed[0], f, fixed[1]))(zero)
    values = jnp.linalg.eigvals(pulls * response(fixed[0])[None, :])
    real = jnp.abs(values.imag) < 1e-9 * jnp.max(jnp.abs(values))
    strongest = jnp.max(jnp.where(real, values.real, -jnp.inf))
    far = FARTHEST * jnp.max(jnp.abs(ravel_pytree(fixed[0].rates)[0]))
    least = 1e2 * float(jnp.finfo(zero.dtype).eps) * jnp.max(jnp.abs(response(fixed[0]))) / splitting(fixed[0])
    static = jnp.where(strongest > least, jax.lax.rsqrt(jnp.where(strongest > 0, strongest, 1)), far)

    def grows(g0: Array) -> Array:
        return _growth(g0[None], fixed)[0] > 0

    grid = static * jnp.geomspace(FINEST, 1.001, POINTS, dtype=model.dtype)
    unstable = jax.lax.map(grows, grid)
    first = jnp.argmax(unstable)
    below = jnp.where(first > 0, grid[jnp.maximum(first - 1, 0)], 0)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        return jax.lax.cond(grows(middle), lambda: (low, middle), lambda: (middle, high))

    g0 = jax.lax.fori_loop(0, HALVINGS, halve, (below, grid[first]))[0]
    found = jnp.any(unstable)
    return jnp.where(found, implicit(_growth, g0[None], (model, lengths), found)[0], jnp.inf), at_rest


def _growth(coupling: Float[Array, " 1"], args: tuple[DickeModel, SubsetReals]) -> Float[Array, " 1"]:
    """The largest real part among the deviations from the normal state that modes see; it vanishes at the threshold.

        p_mu = sum_k w_k G[mu, k] dm_k
        p'_mu = L p_mu + 4 g0 (e_z x m) sum_nu C[mu, nu] Re dalpha_nu,   C = G w G^T,  L = 2 [Omega e_x]_x + T

    where jumps treat all subsets alike; else each dm_k by itself.
    """
    (model, lengths), g0 = args, coupling[0]
    spins, M, dtype = model.spins, model.num_modes, model.dtype
    assert model.dissipation is not None  # the caller's business
    linear, _ = model.dissipation.terms(dtype)
    m = stationary_spins(model, jnp.zeros(model.num_subsets, dtype), lengths)
    pushed = 4 * g0 * jnp.stack([-m[1], m[0], 0 * m[0]])  # 4 g0 e_z x m_k
    one, G = jnp.eye(M, dtype=dtype), jax.vmap(spins.field)(jnp.eye(M, dtype=dtype))
    if linear.shape[-1] == 1:
        pushed, onto, read = pushed[:, :1], jax.vmap(spins.project, out_axes=1)(G), one  # C
    else:
        onto, read = G.T, G * spins.weights.astype(dtype)[None, :]
    turn = 2 * model.omega_spin * jnp.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype)
    of_each = jnp.broadcast_to(turn[:, :, None] + linear, (3, 3, len(onto)))
    local = jnp.block([[jnp.diag(block) for block in row] for row in of_each])
    drive = jnp.concatenate([push[:, None] * onto for push in pushed])
    read = jnp.concatenate([jnp.zeros((M, 2 * len(onto)), dtype), read], axis=1)
    turn, loss = jnp.diag(model.omega_mode), jnp.diag(model.kappa / 2)
    matrix = jnp.block([[local, drive, 0 * drive], [0 * read, -loss, turn], [-g0 * read, -turn, -loss]])
    return eigensystem(matrix)[0].real[:1]
