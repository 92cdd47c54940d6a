"""The mean-field equations: the right-hand side, nothing else."""

from .._door import in_short
from .._typing import ArrayLike, RealState
from .abstract_model import AbstractMeanFieldModel


@in_short
def mean_field_equations(t: ArrayLike, y: RealState, model: AbstractMeanFieldModel) -> RealState:
    """Eq. 7 of the paper (S27), with alpha_mu = <a_mu> / sqrt(N_sp) and the quadratures real.

        x'_k = -2 g0 h_k y_k                        h_k   = sum_mu G[mu, k] 2 Re alpha_mu
        y'_k = -2 Omega z_k + 2 g0 h_k x_k          xi_mu = sum_k w_k G[mu, k] z_k
        z'_k =  2 Omega y_k
        alpha'_mu = -(i Omega_mu + kappa_mu / 2) alpha_mu - i g0 xi_mu

    Single-spin dissipation adds T m_k + c. Exact in the thermodynamic limit for states without long-range
    correlations (the paper's theorem). So they are for a `DickeModel`; a `CollectiveModel` has those of its energy.

    - `t`: the time, in the inverse unit of the rates; `model`: with rates in that unit, which may depend on t.
    - `y`: (m, quadratures), real: Bloch vectors (3, K), and Re and Im of alpha (2, M), as `MeanFieldState.to_real` has
      them.

    **Returns** dy/dt, of the shapes of `y`.

    **Example**

        >>> model = dj.examples.paper_model(g0=1.5, num_patterns=1)
        >>> m, quadratures = dj.mean_field_equations(0.0, dj.stored_pattern(model).to_real(model), model)
        >>> print(m[:, 0], quadratures[:, 0])  # of spins along z without photons
        [-0. -1.  0.] [ 0.  -1.5]
    """
    return model.rate_of_change(t, y)
