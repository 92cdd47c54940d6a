"""The normal state, in which no pattern is remembered, and the coupling that it can bear."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._checks import known, refuse
from .._implicit import implicit
from .._typing import ModeReals, SubsetReals
from ..mean_field.model import DickeModel
from ..mean_field.stationary_equations import overlaps_in_field, stationary_spins
from .linearisation import eigensystem, largest_eigenvalue, one_sign
from .retrieval_branch import response

FINEST, POINTS, HALVINGS = 1e-3, 64, 50  # of the search for an oscillation that grows before the static threshold
FARTHEST = 100.0  # couplings looked at, in units of the largest rate, where there is no static threshold


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
    lengths = jnp.broadcast_to(jnp.sign(model.omega_mode[0]) * lengths, (model.num_subsets,))
    value = softness(model, jnp.zeros_like(model.omega_mode), lengths)
    return jnp.where(one_sign(model), jax.lax.rsqrt(value), 0.0), jnp.zeros_like(value)


def softness(model: DickeModel, f: ModeReals, lengths: SubsetReals, g0: Array | float = 1.0) -> Float[Array, ""]:
    """The largest eigenvalue of P'(f) c, c_mu = g0^2 chi_mu, without dissipation: above 1 a deviation grows.

    The matrix is similar to a symmetric one, since P' = sum_k w_k G[mu, k] G[nu, k] dz_k / db_k.
    """
    chi = response(model)
    slopes = jax.jacfwd(lambda f: overlaps_in_field(model, f, lengths))(f)
    root = g0 * jnp.sqrt(jnp.abs(chi))
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
    static = jnp.where(strongest > far**-2, jax.lax.rsqrt(jnp.where(strongest > 0, strongest, 1)), far)

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


def _growth(g0: Float[Array, " 1"], args: tuple[DickeModel, SubsetReals]) -> Float[Array, " 1"]:
    """The largest real part at a coupling, which vanishes at the threshold."""
    return eigensystem(_linearised(*args, g0[0]))[0].real[:1]


def _linearised(model: DickeModel, lengths: SubsetReals, g0: Array) -> Float[Array, "n n"]:
    """The deviations from the normal state at coupling g0 that modes see: p_mu = sum_k w_k G[mu, k] dm_k and dalpha_mu.

        p'_mu = L p_mu + 4 g0 (e_z x m) sum_nu C[mu, nu] Re dalpha_nu,   C = G w G^T,  L = 2 [Omega e_x]_x + T

    where jumps treat all subsets alike; else each dm_k by itself.
    """
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
    return jnp.block([[local, drive, 0 * drive], [0 * read, -loss, turn], [-g0 * read, -turn, -loss]])
