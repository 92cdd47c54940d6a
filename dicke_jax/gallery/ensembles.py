"""Models of several ensembles of spins, or several modes; spins are quantised along z, as in `light`."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_float, check_all, check_count, check_shape
from .._typing import ArrayLike
from ..mean_field import CollectiveModel, Energy, IntensiveVariables, photon_loss


class EnsemblesInOneMode(Energy):
    """h = omega |alpha|^2 + sum_k w_k (omega0 z_k / 2 + 2 g_k Re(e^(-i angle_k) alpha) x_k)."""

    omega: Any
    omega0: Any
    g: Any
    angles: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        quadratures = jnp.cos(self.angles) * s.alpha[0].real + jnp.sin(self.angles) * s.alpha[0].imag
        spins = self.omega0 / 2 * s.z + 2 * self.g * quadratures * s.x
        return self.omega * s.photons[0] + jnp.sum(s.weights * spins)


class DickeRing(Energy):
    """Of M sites in a ring, beta = sqrt(M) alpha, the mean of

        omega |beta|^2 + kerr |beta|^4 / 2 + 2 drive Re(beta) + omega0 z / 2 + field x / 2 + 2 g Re(beta) x

    and of 2 hopping Re(e^(i phase) beta_n^* beta_(n+1)).
    """

    omega: Any
    omega0: Any
    g: Any
    hopping: Any
    phase: Any
    kerr: Any
    drive: Any
    field: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        M = s.photons.size
        photons, re, im = M * s.photons, jnp.real(s.alpha) * M**0.5, jnp.imag(s.alpha) * M**0.5
        next_re, next_im = jnp.roll(re, -1), jnp.roll(im, -1)
        along, across = re * next_re + im * next_im, re * next_im - im * next_re
        light = self.omega * photons + self.kerr / 2 * photons**2 + 2 * self.drive * re
        hops = 2 * self.hopping * (jnp.cos(self.phase) * along - jnp.sin(self.phase) * across)
        spins = self.omega0 / 2 * s.z + (self.field / 2 + 2 * self.g * re) * s.x
        return jnp.mean(light + hops + spins)


def two_ensemble_dicke(
    omega: ArrayLike, omega0: ArrayLike, g: ArrayLike, kappa: ArrayLike, share: ArrayLike = 0.5
) -> CollectiveModel:
    """Two ensembles of spins that couple to one lossy mode, each at its own strength.

        H = omega a^dag a + omega0 (S_z1 + S_z2) + (2 / sqrt(N)) (a + a^dag) (g_1 S_x1 + g_2 S_x2)

    For opposite couplings g and -g there are two kinds of states with photons, both stable: with x_1 = -x_2, all spins
    against their field, from 4 g^2 = omega0 (omega^2 + kappa^2 / 4) / omega on; and with x_1 = x_2, the smaller
    ensemble along its field, from that divided by |w_1 - w_2| on, where the state z = (-1, 1) is left.

    Mivehvar, Phys. Rev. Lett. 132, 073602 (2024), arXiv:2307.05686.

    - `g`: (g_1, g_2).
    - `share`: w_1, of all spins that are in the first ensemble.
    """
    # At rest z_k = -s_k omega0 / (2 b), x_k = -s_k u_k / b with u_k = 2 g_k Re alpha, b^2 = u^2 + omega0^2 / 4 and
    # s_k = 1 against the field. In Re alpha = -omega sum_k w_k g_k x_k / D, D = omega^2 + kappa^2 / 4, u drops out:
    # b = 2 g^2 (omega / D) sum_k w_k s_k, which has to be above omega0 / 2.
    couplings, first = as_float(g, "g"), as_float(share, "share")
    check_shape("g", couplings, (2,), "one for each ensemble")
    check_shape("share", first, (), "one number")
    check_all("share", first, lambda w: (w >= 0) & (w <= 1), "from 0 to 1")
    energy = EnsemblesInOneMode(omega, omega0, couplings, (0.0, 0.0))
    return CollectiveModel(energy, [photon_loss(kappa)], weights=jnp.stack([first, 1 - first]), num_modes=1)


def quadrature_dicke(omega: ArrayLike, omega0: ArrayLike, g: ArrayLike, kappa: ArrayLike) -> CollectiveModel:
    """Two ensembles of equal size, one at each quadrature of a lossy mode.

        H = omega a^dag a + omega0 (S_z1 + S_z2) + (2 g / sqrt(N)) ((a + a^dag) S_x1 + i (a^dag - a) S_x2)

    Losses make what one ensemble does to the other differ in sign from what it suffers: the normal state z = -1 is left
    at any g, at the largest real part of the roots of (s^2 + omega0^2) (s + kappa / 2 - i omega) + 2 i omega0 g^2 = 0;
    for kappa >= 2 omega no state at rest has both ensembles against their fields. What remains keeps moving.

    Buča and Jaksch, Phys. Rev. Lett. 123, 260401 (2019), the kind of model of Rodríguez Chiacchio and Nunnenkamp,
    arXiv:1901.06996.
    """
    # Around z = -1: x_k'' = -omega0^2 x_k - 4 omega0 g q_k, q = (Re, Im) alpha, and alpha' = -(kappa/2 + i omega) alpha
    # - i g (x_1 + i x_2) / 2. So x_1 + i x_2 and alpha are alone with each other, with exponents s^* of that
    # cubic, one of them i omega0 + g^2 / (kappa/2 + i (omega + omega0)) + O(g^4). At rest x_k = f(u_k),
    # f odd and growing, u = c (omega x_1 - (kappa/2) x_2, omega x_2 + (kappa/2) x_1): were 0 < x_1, x_2, then
    # x_1 < x_2, and u_1 > 0 asks for kappa < 2 omega; other signs are the same turned by pi/2.
    energy = EnsemblesInOneMode(omega, omega0, g, (0.0, np.pi / 2))
    return CollectiveModel(energy, [photon_loss(kappa)], weights=(0.5, 0.5), num_modes=1)


def dicke_ring(
    num_sites: int,
    omega: ArrayLike,
    omega0: ArrayLike,
    g: ArrayLike,
    kappa: ArrayLike,
    *,
    hopping: ArrayLike = 0.0,
    phase: ArrayLike = 0.0,
    kerr: ArrayLike = 0.0,
    drive: ArrayLike = 0.0,
    field: ArrayLike = 0.0,
) -> CollectiveModel:
    """M lossy modes with N/M = n spins each, between which photons hop in a ring and pick up a phase.

        H = sum_j [omega a_j^dag a_j + omega0 S_z,j + (2 g / sqrt(n)) (a_j + a_j^dag) S_x,j
                   + hopping (e^(i phase) a_j^dag a_(j+1) + h.c.)
                   + (kerr / 2 n) a_j^dag^2 a_j^2 + drive sqrt(n) (a_j + a_j^dag) + field S_x,j]

    Three sites are the Dicke trimer, one is a driven Dicke model with a Kerr mode. Amplitudes are alpha = a / sqrt(N),
    photons of a site per spin there M |alpha|^2.

    Undriven, the normal state z = -1 is left at the least 4 g^2 = (omega0^2 - d^2) (w^2 + kappa^2 / 4) / (omega0 w) of
    all waves k = 2 pi j / M, with w = omega + 2 hopping cos(phase) cos(k) > 0 and d = 2 hopping sin(phase) sin(k) below
    omega0; the Kerr term does not matter. It is a Hopf point, of frequency |d|, where d is not 0. A driven Kerr mode
    alone, M = 1 and g = 0, has q = |alpha|^2 photons with q ((omega + kerr q)^2 + kappa^2 / 4) = drive^2: three roots,
    the outer ones stable, only where omega and kerr differ in sign and omega^2 > 3 kappa^2 / 4.

    Zhang, Liang, Lambert and Cirio, arXiv:2303.11758, have the trimer.
    """
    # A wave x_k sees alpha_k, at omega_k = omega + 2 hopping cos(k + phase), and conj(alpha_-k): with p = s + kappa/2
    # (s^2 + omega0^2) (p + i omega_k) (p - i omega_-k) = 2 omega0 g^2 (omega_k + omega_-k). At s = i d,
    # d = (omega_-k - omega_k) / 2, the product of both is w^2 + kappa^2 / 4, w their mean: nowhere else is it real.
    sites = check_count("num_sites", num_sites, 1)
    energy = DickeRing(omega, omega0, g, hopping, phase, kerr, drive, field)
    return CollectiveModel(energy, [photon_loss(kappa)], weights=np.full(sites, 1 / sites), num_modes=sites)
