"""Models of spins in one lossy mode, spins being quantised along z: the splitting of their levels is omega0."""

from typing import Any

from jaxtyping import Array, Float

from .._typing import ArrayLike
from ..mean_field import CollectiveModel, Energy, IntensiveVariables, LocalDissipation, photon_loss


class UnbalancedDicke(Energy):
    """h = omega |alpha|^2 + omega0 z / 2 + (rotating + counter) Re(alpha) x + (counter - rotating) Im(alpha) y."""

    omega: Any
    omega0: Any
    rotating: Any
    counter: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        alpha = s.alpha[0]
        co, anti = (self.rotating + self.counter) * alpha.real, (self.counter - self.rotating) * alpha.imag
        return self.omega * s.photons[0] + self.omega0 * s.z[0] / 2 + co * s.x[0] + anti * s.y[0]


class TwoPhotonDicke(Energy):
    """h = omega |alpha|^2 + omega0 z / 2 + g Re(alpha^2) x."""

    omega: Any
    omega0: Any
    g: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        squared = s.alpha[0].real ** 2 - s.alpha[0].imag ** 2
        return self.omega * s.photons[0] + self.omega0 * s.z[0] / 2 + self.g * squared * s.x[0]


class NonlinearDicke(Energy):
    """h = omega |alpha|^2 + omega0 z / 2 + 2 g Re(alpha) x + U |alpha|^2 z / 2."""

    omega: Any
    omega0: Any
    g: Any
    U: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        light = (self.omega + self.U * s.z[0] / 2) * s.photons[0]
        return light + self.omega0 * s.z[0] / 2 + 2 * self.g * s.alpha[0].real * s.x[0]


def unbalanced_dicke(
    omega: ArrayLike, omega0: ArrayLike, rotating: ArrayLike, counter: ArrayLike, kappa: ArrayLike
) -> CollectiveModel:
    """The Dicke model with two couplings.

        H = omega a^dag a + omega0 S_z + (rotating / sqrt(N)) (a S_+ + h.c.) + (counter / sqrt(N)) (a S_- + h.c.)

    and photon loss at kappa. With counter = 0 it is the Tavis-Cummings model, whose normal state z = -1 stays stable at
    any coupling. With both alike, 4 rotating^2 = omega0 (omega^2 + kappa^2 / 4) / omega is where it is left. With weak
    couplings it is left in a Hopf point, of the frequency sqrt(omega0^2 + rotating^2 - counter^2), at

        counter^2 (kappa^2 / 4 + (omega - omega0)^2) = rotating^2 (kappa^2 / 4 + (omega + omega0)^2)

    Stitely et al. (2020); arXiv:2503.03396.
    """
    # Around z = -1, with p = s + kappa/2 and d = rotating^2 - counter^2, exponents s are the roots of
    # (s^2 + omega0^2) (p^2 + omega^2) + 2 d s p - 2 omega omega0 (rotating^2 + counter^2) + d^2. At s = i nu the
    # imaginary part is kappa nu (omega0^2 - nu^2 + d), so that nu^2 = omega0^2 + d; the real part is then
    # -d (kappa^2/4 + omega^2 + omega0^2) - 2 omega omega0 (rotating^2 + counter^2).
    return CollectiveModel(UnbalancedDicke(omega, omega0, rotating, counter), [photon_loss(kappa)], num_modes=1)


def two_photon_dicke(
    omega: ArrayLike, omega0: ArrayLike, g: ArrayLike, kappa: ArrayLike, decay: ArrayLike | None = None
) -> CollectiveModel:
    """Spins that take photons in pairs: H = omega a^dag a + omega0 S_z + (g / N) (a^2 + a^dag^2) S_x.

    The mode loses photons at kappa. With the jump "sigma_minus" of every spin at the rate `decay` there are two states
    with photons where g^2 >= 2 (omega^2 + kappa^2 / 4) (1 + decay^2 / (4 omega0^2)), up to signs, beside the normal one
    z = -1, which is always stable. In both |x| = sqrt(omega^2 + kappa^2 / 4) / g. The one with fewer photons is never
    stable, the other where decay and losses are fast: then the model is bistable. Without decay there is one, from
    |x| = 1 on, and it is never stable.

    Garbe, Wade, Minganti, Shammah, Felicetti and Nori, Sci. Rep. 10, 13408 (2020).
    """
    # Photons are won at g |x| and lost at sqrt(omega^2 + kappa^2 / 4), whatever their number. Without decay the |x| of
    # a spin at rest in the field B = 2 g Re(alpha^2) grows with B: the more photons, the more are won. With decay it
    # falls for large B.
    dissipation = None if decay is None else LocalDissipation([("sigma_minus", decay)])
    return CollectiveModel(TwoPhotonDicke(omega, omega0, g), [photon_loss(kappa)], dissipation, num_modes=1)


def nonlinear_dicke(
    omega: ArrayLike, omega0: ArrayLike, g: ArrayLike, U: ArrayLike, kappa: ArrayLike
) -> CollectiveModel:
    """The Dicke model whose spins shift the mode: the term (U / N) a^dag a S_z, and photon loss at kappa.

        H = omega a^dag a + omega0 S_z + (2 g / sqrt(N)) (a + a^dag) S_x + (U / N) a^dag a S_z

    The normal state z = -1 sees a mode at omega - U / 2 = w, and is left at 4 g^2 = omega0 (w^2 + kappa^2 / 4) / w.

    Grimsmo and Parkins, J. Phys. B 46, 224012 (2013); Bhaseen, Mayoh, Simons and Keeling, arXiv:1110.1348.
    """
    return CollectiveModel(NonlinearDicke(omega, omega0, g, U), [photon_loss(kappa)], num_modes=1)
