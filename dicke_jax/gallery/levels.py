"""Models of atoms with more than two levels."""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from .._checks import as_float, check_shape, refuse
from .._typing import ArrayLike
from ..mean_field import CollectiveModel, Energy, IntensiveVariables, LocalDissipation, photon_loss


class LevelsInOneMode(Energy):
    """h = omega |alpha|^2 + sum_n E_n <|n><n|> + sum_(n < m) G_nm 2 Re(alpha) <|n><m| + |m><n|>."""

    omega: Any
    energies: Any
    couplings: Any

    def __call__(self, s: IntensiveVariables) -> Float[Array, ""]:
        d = self.energies.size
        total = self.omega * s.photons[0]
        for n in range(d):
            total += self.energies[n] * s.expect(np.diag(np.arange(d) == n))[0]
            for m in range(n + 1, d):
                hop = np.zeros((d, d))
                hop[n, m] = hop[m, n] = 1
                total += 2 * self.couplings[n, m] * s.alpha[0].real * s.expect(hop)[0]
        return total


def multilevel_dicke(
    omega: ArrayLike,
    energies: ArrayLike,
    couplings: ArrayLike,
    kappa: ArrayLike,
    dissipation: LocalDissipation | None = None,
) -> CollectiveModel:
    """Atoms with d levels in one lossy mode.

        H = omega a^dag a + sum_i [sum_n E_n |n><n|_i + (1 / sqrt(N)) (a + a^dag) sum_(n < m) G_nm (|n><m| + |m><n|)_i]

    and photon loss at kappa. With d = 2 it is the Dicke model. With G_01 and G_02 alone and E_0 below the others atoms
    are of the V-type, with E_2 - E_1 their asymmetry; with G_01 and G_12 of the ladder type. A spin 1 with omega0 S_z +
    q S_z^2, coupled by S_x, has the energies q + omega0, 0, q - omega0.

    All atoms in level n, without photons, are at rest. Where E_n is the lowest this is stable up to

        sum_m 4 G_nm^2 / (E_m - E_n) = (omega^2 + kappa^2 / 4) / omega

    Nonlinear dynamics of the V-type: arXiv:2503.09857; in a spin-1 gas: Zhiqiang et al., Optica 4, 424 (2017).

    - `energies`: (d,), E_n. `couplings`: (d, d), of which the part above the diagonal counts.
    - `dissipation`: jumps of single atoms, dxd matrices.
    """
    # Around level n, with c_m = <|n><m|>: c_m' = -i (E_m - E_n) c_m - i G_nm 2 Re alpha, and alpha' = -(i omega +
    # kappa / 2) alpha - i sum_m G_nm 2 Re c_m. At rest Re c_m = -2 G_nm Re alpha / (E_m - E_n), and
    # Re alpha = -omega sum_m 2 G_nm Re c_m / (omega^2 + kappa^2 / 4).
    levels = as_float(energies, "energies")
    if levels.ndim != 1 or levels.size < 2:
        refuse("energies", "of shape (d,), at least two", f"shape {levels.shape}")
    between = as_float(couplings, "couplings")
    check_shape("couplings", between, (levels.size, levels.size), "between all levels")
    energy = LevelsInOneMode(omega, levels, between)
    return CollectiveModel(energy, [photon_loss(kappa)], dissipation, num_modes=1, levels=levels.size)
