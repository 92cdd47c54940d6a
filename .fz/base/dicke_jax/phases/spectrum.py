"""Eigenvalues whose derivatives are right where they have one, and NaN where they have none."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float

from ..model import DickeModel
from ..self_consistency import trusted


def one_sign(model: DickeModel) -> Bool[Array, ""]:
    """Whether all Omega_mu have one sign. Only then is there an energy that the loss of photons brings down."""
    return jnp.all(model.omega_mode > 0) | jnp.all(model.omega_mode < 0)


@jax.custom_jvp
def largest_eigenvalue(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """Of a symmetric matrix."""
    return jnp.linalg.eigvalsh(matrix)[-1]


@largest_eigenvalue.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    """Dlambda = v^T dA v."""
    values, vectors = jnp.linalg.eigh(primals[0])
    v = vectors[:, -1]
    gap = jnp.min(values[-1] - values[:-1], initial=jnp.inf)
    simple = gap > jnp.sqrt(jnp.finfo(v.dtype).eps) * jnp.max(jnp.abs(values))
    return values[-1], trusted(simple, v @ (tangents[0] @ v))


def eigenvalues(matrix: Float[Array, "n n"]) -> Complex[Array, " n"]:
    """Of any matrix, the largest real part first."""
    return eigensystem(matrix)[0]


@jax.custom_jvp
def eigensystem(matrix: Float[Array, "n n"]) -> tuple[Complex[Array, " n"], Complex[Array, "n n"]]:
    """Eigenvalues, the largest real part first, and eigenvectors as columns, which have no derivative."""
    values, vectors = jnp.linalg.eig(matrix)
    order = jnp.lexsort((-values.imag, -values.real))
    return values[order], vectors[:, order]


@eigensystem.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Dlambda = u^H dA v / u^H v, with the left and right eigenvectors of a simple eigenvalue."""
    values, left, right = jax.lax.linalg.eig(primals[0], compute_left_eigenvectors=True)
    order = jnp.lexsort((-values.imag, -values.real))
    values, left, right = values[order], left[:, order], right[:, order]
    near = jnp.sqrt(jnp.finfo(primals[0].dtype).eps)
    scale = jnp.max(jnp.abs(values))
    gaps = jnp.abs(values[:, None] - values[None, :]) + jnp.diag(jnp.full(values.size, jnp.inf, scale.dtype))
    along = jnp.sum(left.conj() * right, axis=0)
    simple = (jnp.min(gaps, axis=1) > near * scale) & (jnp.abs(along) > near)
    pushed = jnp.matmul(tangents[0].astype(right.dtype), right, precision="highest")
    moved = jnp.sum(left.conj() * pushed, axis=0) / jnp.where(simple, along, jnp.ones_like(along))
    return (values, right), (trusted(simple, moved), jnp.zeros_like(right))
