"""First and second moments of the large spins and the modes: what the exact, sampled and Gaussian routes all return."""

from typing import Any

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Inexact

from .._checks import check_count, known, refuse
from .._door import checked
from .._status import Status, where
from .._summary import AbstractResult, Rows
from .._typing import RealState, RealStates, SpinVectors
from ..dynamics.rate_resolution import steps_that_see
from ..dynamics.trajectory import check_model_and_state
from ..mean_field import AbstractMeanFieldModel, CollectiveModel, DickeModel, MeanFieldState
from ..mean_field.site_levels import commutators_of, products_of

PURE = 1e-6  # deviation of |m_k| from 1


class Moments(AbstractResult):
    """Means and N_sp times the covariance of v = (m_x,1 ... m_z,K, Re alpha_1, ..., Im alpha_M).

        m_a,k = S_a,k / N_k,   alpha_mu = a_mu / sqrt(N_sp)
        covariance_ij = N_sp <(v_i - <v_i>)(v_j - <v_j>)>, symmetrised in the order of the operators

    The operators are those of `MeanFieldState`, unlike the a / sqrt(N) of the paper. Multiplied by N_sp the covariance
    tends to a limit, (delta_ab - m_a m_b) / w_k for a product state of spins and 1/4 for a quadrature in the vacuum,
    and its equation of motion has the Jacobian of `mean_field_equations` as it stands.

    - `t`: (T,), times.
    - `m`: (T, 3, K), means of the large spins; with d levels (T, d^2 - 1, K), and D = (d^2 - 1) K + 2 M.
    - `alpha`: (T, M), complex means of the modes.
    - `covariance`: (T, D, D) with D = 3 K + 2 M, in the order of `v`.
    - `num_spins`: N_sp, or None for the limit, where the means are those of the mean field.
    - `status`: `Status.failed` where numbers are not finite.
    """

    t: Float[Array, "*batch T"]
    m: Float[Array, "*batch T B K"]
    alpha: Complex[Array, "*batch T M"]
    covariance: Float[Array, "*batch T D D"]
    num_spins: int | None = eqx.field(static=True)

    @property
    def spin_covariance(self) -> Float[Array, "*batch T B K B K"]:
        """N_sp cov(m_a,k, m_b,l)."""
        n = self.m.shape[-2] * self.m.shape[-1]
        return self.covariance[..., :n, :n].reshape(*self.m.shape, *self.m.shape[-2:])

    @property
    def mode_covariance(self) -> Float[Array, "*batch T 2 M 2 M"]:
        """The covariance of Re a_mu and Im a_mu, 1/4 in the vacuum."""
        n, M = self.m.shape[-2] * self.m.shape[-1], self.alpha.shape[-1]
        return self.covariance[..., n:, n:].reshape(*self.alpha.shape[:-1], 2, M, 2, M)

    @property
    def spin_mode_covariance(self) -> Float[Array, "*batch T B K 2 M"]:
        """N_sp cov(m_a,k, quadrature of alpha_mu): what mean field leaves out."""
        n, M = self.m.shape[-2] * self.m.shape[-1], self.alpha.shape[-1]
        return self.covariance[..., :n, n:].reshape(*self.m.shape, 2, M)

    @property
    def squeezing(self) -> Float[Array, "*batch T M"]:
        """The smallest variance of any quadrature of each mode, in units of the vacuum's: below 1 it is squeezed.

        Of S samples or trajectories it is too small by about sqrt(2 / S), being the least of noisy variances.
        """
        return least_quadrature(self.mode_covariance)

    @property
    def photons(self) -> Float[Array, "*batch T M"]:
        """<a_mu^dag a_mu>, all of them, N_sp |alpha_mu|^2 and what fluctuations add; in the limit only the latter."""
        own = jnp.moveaxis(jnp.diagonal(self.mode_covariance, axis1=-3, axis2=-1), -1, -3)
        incoherent = jnp.trace(own, axis1=-2, axis2=-1) - 0.5
        coherent = jnp.real(self.alpha) ** 2 + jnp.imag(self.alpha) ** 2
        return incoherent if self.num_spins is None else self.num_spins * coherent + incoherent

    @property
    @eqx.filter_jit
    def status(self) -> Status:
        """Whether all numbers are finite; one status for each row of a batch."""
        finite = jnp.all(jnp.isfinite(self.covariance), axis=(-3, -2, -1))
        return where(finite, Status.successful, Status.failed)

    @property
    def system(self) -> str:
        """What the moments are of, in words."""
        number = "N_sp -> infinity" if self.num_spins is None else f"N_sp = {self.num_spins}"
        return f"{self.m.shape[-1]} subsets, {self.alpha.shape[-1]} modes, {number}, {self.t.shape[-1]} times"

    def _heading(self) -> str:
        return f"Moments: {self.system}"

    def _rows(self) -> Rows:
        if self.alpha.shape[-1] == 0:
            return
        if self.photons.ndim == 2:
            first, last = (np.asarray(row).round(4).tolist() for row in self.photons[np.array([0, -1])])
            yield "photons", f"{first} -> {last}"
        yield "squeezing", f"least variance of a quadrature {np.min(self.squeezing):.4f} of the vacuum's"


@eqx.filter_jit
def least_quadrature(modes: Inexact[Array, "*batch 2 M 2 M"]) -> Float[Array, "*batch M"]:
    """The smallest variance of any quadrature of each mode, in units of the vacuum's 1/4."""
    single = jnp.moveaxis(jnp.diagonal(modes.real, axis1=-3, axis2=-1), -1, -3)
    return 4 * jnp.linalg.eigvalsh(single)[..., 0]


def moments_of(times: Float[Array, " T"], means: RealStates, covariance: Array, num_spins: int | None) -> Moments:
    m, quadratures = means
    return Moments(times, m, jax.lax.complex(quadratures[:, 0], quadratures[:, 1]), covariance, num_spins)


def real_start(model: DickeModel, state: MeanFieldState) -> RealState:
    """The arguments every route starts from, checked: the state's real components."""
    check_model_and_state(model, state)
    return _real(model, state)


def real_start_of_any(model: DickeModel | CollectiveModel, state: MeanFieldState) -> RealState:
    """`real_start` of the route that takes a `CollectiveModel` too."""
    return _real(model, state) if isinstance(model, CollectiveModel) else real_start(model, state)


_real = eqx.filter_jit(lambda model, state: state.to_real(model))  # one program


def steps_onto(
    times: Float[Array, " T"], model: AbstractMeanFieldModel, **tolerances: Any
) -> dfx.AbstractStepSizeController:
    """A controller that sees what rates do, and steps onto saved times: a solver interpolates less accurately."""
    least = jnp.finfo(model.dtype).eps * (times[-1] - times[0])  # NaN, and what grows beyond all bounds, is given up
    return steps_that_see(dfx.PIDController(dtmin=least, **tolerances), model, times[0], times[-1], times)


def ravel(y: RealState) -> Float[Array, " D"]:
    """The components of a state in the order of the covariance."""
    m, quadratures = y
    return jnp.concatenate([m.ravel(), quadratures.ravel()])


def unravel(v: Float[Array, " D"], model: AbstractMeanFieldModel) -> RealState:
    """The inverse of `ravel`."""
    n = model.num_components - 2 * model.num_modes
    return v[:n].reshape(-1, model.num_subsets), v[n:].reshape(2, model.num_modes)


@checked
@eqx.filter_jit
def product_covariance(model: DickeModel | CollectiveModel, m: SpinVectors) -> Float[Array, "D D"]:
    """N_sp times the covariance of independent spins, alike within a subset, and of modes in vacuum or coherent states.

    (delta_ab - m_a m_b) / w_k for the spins of subset k, 1/4 for every quadrature. Of sites with d levels delta_ab
    becomes Tr(rho {lambda_a, lambda_b} / 2) = (2 / d) delta_ab + sum_c d_abc m_c.

    - `model`: a `DickeModel` or a `CollectiveModel`; `m`: (3, K), Bloch vectors.

    **Returns** (D, D) with D = 3 K + 2 M, in the order of `Moments`. **Raises** ValueError for arguments that do not
    fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=1)
        >>> print(dj.product_covariance(model, jnp.array([[0.0], [0.0], [1.0]])).diagonal())
        [1.   1.   0.   0.25 0.25]
    """
    same_spin = products_of(m) - m[:, None] * m[None, :]
    return block_matrix(model, same_spin, jnp.eye(2 * model.num_modes, dtype=m.dtype) / 4)


def block_matrix(model: AbstractMeanFieldModel, same_spin: Float[Array, "B B K"], modes: Array) -> Float[Array, "D D"]:
    """In the order of the covariance: same_spin / w_k between components of a subset, 0 between subsets; the modes."""
    same_spin = same_spin / model.weights.astype(same_spin.dtype)[None, None, :]
    spins = jnp.einsum("abk,kl->akbl", same_spin, jnp.eye(model.num_subsets, dtype=same_spin.dtype))
    return jax.scipy.linalg.block_diag(spins.reshape(same_spin.shape[0] * model.num_subsets, -1), modes)


@checked
@eqx.filter_jit
def commutators(model: DickeModel | CollectiveModel, m: SpinVectors) -> Float[Array, "D D"]:
    """W with N_sp <[v_i, v_j]> = i W_ij: 2 eps_abc m_c / w_k for spins, 1/2 for Re and Im of a mode.

    Of sites with d levels the structure constants f_abc stand for eps_abc.
    covariance + (i / 2) W >= 0 is the uncertainty relation.

    - `model`: a `DickeModel` or a `CollectiveModel`; `m`: (3, K), Bloch vectors.

    **Returns** (D, D) with D = 3 K + 2 M, in the order of `Moments`. **Raises** ValueError for arguments that do not
    fit.

    **Example**

        >>> model = dj.examples.paper_model(num_patterns=1)
        >>> print(dj.commutators(model, jnp.array([[0.0], [0.0], [1.0]]))[0])  # [sigma_x, sigma_y] = 2 i sigma_z
        [0. 2. 0. 0. 0.]
    """
    modes = jnp.kron(jnp.array([[0.0, 0.5], [-0.5, 0.0]], m.dtype), jnp.eye(model.num_modes, dtype=m.dtype))
    return block_matrix(model, commutators_of(m), modes)


def frames(m: SpinVectors) -> tuple[Float[Array, "3 3 K"], Float[Array, " K"]]:
    """For every spin two directions across and the one along m_k, as columns; and |m_k|."""
    length = jnp.linalg.norm(m, axis=0)
    up = jnp.stack([jnp.zeros_like(length), jnp.zeros_like(length), jnp.ones_like(length)])
    n = jnp.where(length[None] > 0, m / jnp.where(length > 0, length, 1.0)[None], up)
    side = jnp.where(n[2] >= 0, 1.0, -1.0).astype(m.dtype)
    u = n.at[2].add(side)  # the reflection 1 - 2 u u^T / |u|^2 takes -side z to n
    across = jnp.eye(3, dtype=m.dtype)[:, :2, None] - 2 * u[:, None] * u[None, :2] / jnp.sum(u**2, axis=0)[None, None]
    return jnp.concatenate([across, n[:, None]], axis=1), length


def subset_sizes(model: DickeModel, subset_size: int | None) -> tuple[int, ...]:
    """N_k: `subset_size` spins in each of infinitely large equal subsets, or those that the model's spins have."""
    spins = model.spins
    if not known(spins.weights):
        refuse("model.spins.weights", "known, for they are sizes of subsets", "traced")
    if spins.num_spins is not None:
        if subset_size is not None:
            refuse("subset_size", "left out for a model whose spins have a number", repr(subset_size))
        sizes = tuple(int(n) for n in np.asarray(spins.subset_sizes))
        if min(sizes) < 1:
            refuse("model.spins", "without empty subsets", f"sizes {sizes}")
        return sizes
    if subset_size is None:
        refuse("subset_size", "given, how many spins a subset has: those of the model are infinitely many", None)
    check_count("subset_size", subset_size)
    weights = np.asarray(spins.weights)
    if np.ptp(weights) > 1e-6 * weights.max():
        refuse("model.spins", "of equal weights, or mapped from a finite number of spins", "infinitely many, unequal")
    return (int(subset_size),) * spins.num_subsets  # pyright: ignore[reportArgumentType]
