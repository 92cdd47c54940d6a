"""The normal state, in which no pattern is remembered, and the coupling that it can bear."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import known, refuse
from .._typing import SubsetReals
from ..model import DickeModel
from ..self_consistency import stationary_spins
from .retrieval_branch import overlaps_in_field, response
from .spectrum import eigenvalues, largest_eigenvalue, one_sign

FINEST, POINTS, HALVINGS = 1e-3, 64, 50  # of the search for an oscillation that grows before the static threshold
FARTHEST = 100.0  # couplings looked at, in units of the largest rate, where there is no static threshold


def normal_threshold(model: DickeModel, lengths: SubsetReals) -> Float[Array, ""]:
    """g0 at which the state with xi = 0 loses stability: the first eigenvalue that crosses the imaginary axis.

    static: g0^-2 = lambda_max of P'(f) chi at f = 0, a symmetric matrix without dissipation
    """
    at_rest = overlaps_in_field(model, jnp.zeros(model.num_modes, model.dtype), lengths)
    if known(at_rest) and np.max(np.abs(np.asarray(at_rest))) > 1e-6:
        must_be = "one whose dissipation leaves spins without field no overlap, for a normal state to exist"
        refuse("model", must_be, f"an overlap of {float(np.max(np.abs(np.asarray(at_rest)))):.3g}")
    return _conservative(model, lengths) if model.dissipation is None else _dissipative(model, lengths)


@eqx.filter_jit
def _conservative(model: DickeModel, lengths: SubsetReals) -> Float[Array, ""]:
    chi, side = response(model), jnp.sign(model.omega_mode[0])
    zero = jnp.zeros_like(chi)
    slopes = jax.jacfwd(lambda f: overlaps_in_field(model, f, side * lengths))(zero)
    root = jnp.sqrt(jnp.abs(chi))
    softness = largest_eigenvalue(slopes * jnp.sign(chi)[None, :] * jnp.outer(root, root))
    return jnp.where(one_sign(model), jax.lax.rsqrt(softness), 0.0)


@eqx.filter_jit
def _dissipative(model: DickeModel, lengths: SubsetReals) -> Float[Array, ""]:
    fixed = jax.lax.stop_gradient((model, lengths))
    pulls = jax.jacfwd(lambda f: overlaps_in_field(fixed[0], f, fixed[1]))(jnp.zeros(model.num_modes, model.dtype))
    values = jnp.linalg.eigvals(pulls * response(fixed[0])[None, :])
    real = jnp.where(jnp.abs(values.imag) < 1e-9 * jnp.max(jnp.abs(values)), values.real, -jnp.inf)
    strongest = jnp.max(real)
    rates = jnp.array([jnp.max(jnp.abs(rate)) for rate in fixed[0].rates.values()])
    far = FARTHEST * jnp.max(rates)
    static = jnp.where(strongest > far**-2, jax.lax.rsqrt(jnp.where(strongest > 0, strongest, 1)), far)

    def growth(g0: Array, model: DickeModel, lengths: SubsetReals) -> Array:
        return eigenvalues(_linearised(model, lengths, g0)).real[0]

    grid = static * jnp.geomspace(FINEST, 1.001, POINTS, dtype=model.dtype)
    unstable = jax.lax.map(lambda g0: growth(g0, *fixed), grid) > 0
    first = jnp.argmax(unstable)
    below = jnp.where(first > 0, grid[jnp.maximum(first - 1, 0)], 0)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        grows = growth(middle, *fixed) > 0
        return jnp.where(grows, low, middle), jnp.where(grows, middle, high)

    g0 = jax.lax.fori_loop(0, HALVINGS, halve, (below, grid[first]))[0]
    slope = jax.jvp(lambda g: growth(g, *fixed), (g0,), (jnp.ones_like(g0),))[1]
    moved = growth(g0, model, lengths)
    # value 0, derivative that of the root of the growth rate
    return jnp.where(jnp.any(unstable), g0 - (moved - jax.lax.stop_gradient(moved)) / slope, jnp.inf)


def _linearised(model: DickeModel, lengths: SubsetReals, g0: Array) -> Float[Array, "n n"]:
    """The deviations from the normal state at coupling g0 that modes see: p_mu = sum_k w_k G[mu, k] dm_k and dalpha_mu.

        p'_mu = L p_mu + 4 g0 (e_z x m) sum_nu C[mu, nu] Re dalpha_nu,   C = G w G^T,  L = 2 [Omega e_x]_x + T

    where jumps treat all subsets alike; else each dm_k by itself.
    """
    spins, M, dtype = model.spins, model.num_modes, model.dtype
    assert model.dissipation is not None  # the caller's business
    linear, _ = model.dissipation.terms(dtype)
    m = stationary_spins(model, jnp.zeros(model.num_subsets, dtype), lengths)
    omega = 2 * model.omega_spin * jnp.array([[0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype)
    pushed = jnp.stack([-m[1], m[0], 0 * m[0]])  # e_z x m_k
    if linear.shape[-1] == 1:
        rows = jax.vmap(lambda q: spins.project(spins.field(q)), out_axes=1)(jnp.eye(M, dtype=dtype))  # C
        local = jnp.kron(omega + linear[:, :, 0], jnp.eye(M, dtype=dtype))
        drive = jnp.concatenate([4 * g0 * pushed[a, 0] * rows for a in range(3)])
        read = jnp.concatenate([jnp.zeros((M, 2 * M), dtype), jnp.eye(M, dtype=dtype)], axis=1)
    else:
        each = jnp.broadcast_to(linear, (3, 3, model.num_subsets)) + omega[:, :, None]
        local = jnp.concatenate([jnp.concatenate([jnp.diag(block) for block in row], axis=1) for row in each])
        G = jax.vmap(spins.field)(jnp.eye(M, dtype=dtype))  # (M, K)
        drive = jnp.concatenate([(4 * g0 * pushed[a][None, :] * G).T for a in range(3)])
        none = jnp.zeros((M, 2 * model.num_subsets), dtype)
        read = jnp.concatenate([none, G * spins.weights.astype(dtype)[None, :]], axis=1)
    turn, loss = jnp.diag(model.omega_mode), jnp.diag(model.kappa / 2)
    top = jnp.concatenate([local, drive, jnp.zeros_like(drive)], axis=1)
    real = jnp.concatenate([jnp.zeros_like(read), -loss, turn], axis=1)
    imaginary = jnp.concatenate([-g0 * read, -turn, -loss], axis=1)
    return jnp.concatenate([top, real, imaginary])
