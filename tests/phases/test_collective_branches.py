"""Branches of models that are given by their energy: folds, crossings and Hopf points in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

import dicke_jax as dj

CRYSTAL, P_SPIN = dj.gallery.boundary_time_crystal, dj.gallery.p_spin
FIELD, DECAY = 0.35, 0.2
B = 2 * FIELD
A = B + DECAY**2 / (4 * B)


def special(branch, kind):
    return [p for p in branch.special if p.kind == kind]


def test_p_spins_leave_their_ordered_state_at_a_fold():
    """First order for p = 3: strength^(2/3) = (2/9) A (12 / B)^(1/3), below which no ordered state is."""
    exact = ((2 / 9) * A * (12 / B) ** (1 / 3)) ** 1.5
    model = P_SPIN(3, 2 * exact, FIELD, DECAY)
    start, good = dj.stationary_state(model, dj.MeanFieldState([[-0.1], [0.0], [0.95]], []))
    assert good
    branch = dj.continuation(model, start, "strength", limits=(0.5 * exact, 3 * exact), direction=-1)
    (fold,) = special(branch, "fold")
    assert fold.parameter == pytest.approx(exact, rel=1e-9)
    assert branch.ended == "limit" and branch.is_stable[0] and not branch.is_stable[-1]
    assert np.all(np.diff(np.asarray(branch.is_stable, int)) <= 0)  # lost at the fold, for ever
    i = len(branch.parameter) // 2
    at, state = model.replace(strength=branch.parameter[i]), branch.state(i)
    assert float(dj.stability(at, state).residual) < 1e-9
    np.testing.assert_allclose(branch.overlaps[i], state.m[2])


def test_for_two_spins_at_a_time_a_branch_crosses_and_is_followed():
    """Second order for p = 2, at strength A / 4; on the other branch z^2 grows from zero."""
    model = P_SPIN(2, 0.1 * A, FIELD, DECAY)
    polarised = dj.MeanFieldState([[-1.0], [0.0], [0.0]], [])
    branch = dj.continuation(model, polarised, "strength", limits=(0.05 * A, 0.5 * A))
    (crossing,) = special(branch, "branch point")
    assert crossing.parameter == pytest.approx(A / 4, rel=1e-9)
    ordered = dj.continuation(model, crossing, "strength", limits=(0.05 * A, 0.5 * A))
    assert ordered.ended == "limit" and np.all(ordered.is_stable[2:]) and abs(ordered.overlaps[-1, 0]) > 0.5
    assert not special(ordered, "branch point")


@pytest.mark.slow
def test_a_crystal_s_states_meet_where_it_begins_to_turn():
    """Spins that keep their length s: z = -+sqrt(s^2 - (omega0 / kappa)^2), a fold at omega0 = kappa s."""
    s, kappa = 0.9, 0.5
    start = dj.MeanFieldState([[0.0], [0.2 / kappa], [-np.sqrt(s**2 - (0.2 / kappa) ** 2)]], [])
    branch = dj.continuation(CRYSTAL(0.2, kappa), start, "omega0", limits=(0.0, 0.6))
    (fold,) = special(branch, "fold")
    assert fold.parameter == pytest.approx(kappa * s, rel=1e-9) and branch.ended == "limit"
    lengths = np.linalg.norm(branch.components, axis=1)
    np.testing.assert_allclose(lengths, s, atol=1e-10)
    np.testing.assert_allclose(branch.components[:, 1], branch.parameter / kappa, atol=1e-10)
    by_function = dj.continuation(
        CRYSTAL(0.2, kappa), start, lambda w: CRYSTAL(w, jnp.asarray(kappa)), limits=(0.0, 0.6), value=0.2
    )
    np.testing.assert_allclose(by_function.parameter, branch.parameter, atol=1e-10)


def test_what_cannot_be_followed_is_refused():
    orbit = dj.gallery.unbalanced_dicke(1.1, 0.6, 1.3, 0.0, 0.0)
    z = -1.1 * 0.6 / 1.3**2
    x = np.sqrt(1 - z**2)
    on_orbit = dj.MeanFieldState([[x], [0.0], [z]], [-1.3 * x / 2.2])
    up = dj.MeanFieldState([[0.0], [0.0], [1.0]], [])
    crystal, xyz = CRYSTAL(0.2, 0.5), dj.gallery.dissipative_xyz([1.0, 2.0, 3.0], 1.0)
    of_another = dj.SpecialPoint("branch point", 0.2, np.zeros(1), 0, np.zeros(2))
    for model, start, parameter, line in (
        (orbit, on_orbit, "omega", "start must be a state that is isolated"),
        (crystal, up, "g0", "parameter must be .*: omega0; got 'g0'"),
        (crystal, [1.0], "omega0", "start must be a state or a branch point, for a CollectiveModel"),
        (crystal, of_another, "omega0", "start must be a branch point of a branch of this model"),
        (xyz, up, ("J", 3), "parameter must be .*: J; got"),
    ):
        with pytest.raises(ValueError, match=line):
            dj.continuation(model, start, parameter, limits=(0.0, 2.0))
