"""Branches, their special points, and diagrams, against closed forms and independent folds."""

import dataclasses

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from problems import paper, sampled

import dicke_jax as dj

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def normal():
    return dj.continuation(paper(0.3, 3), np.zeros(3), limits=(0.2, 1.5))


def test_the_normal_state_meets_every_pattern_at_its_critical_coupling(normal):
    thresholds = [float(dj.critical_coupling(paper(1.0, 3), nu)) for nu in range(3)]
    assert [point.kind for point in normal.special] == ["branch point"] * 3
    np.testing.assert_allclose([point.parameter for point in normal.special], thresholds, rtol=1e-12)
    np.testing.assert_allclose([point.direction for point in normal.special], np.eye(3, 4), atol=1e-8)
    np.testing.assert_array_equal(normal.is_stable, normal.parameter < thresholds[0])
    assert normal.parameter[0] == pytest.approx(0.3) and normal.parameter[-1] == pytest.approx(1.5, abs=1e-9)
    assert "branch point  g0 = 0.6454972244" in repr(normal)


def test_a_pattern_s_branch_is_eq_12_and_mixtures_leave_where_it_becomes_stable(normal):
    branch = dj.continuation(paper(0.3, 3), normal.special[2], limits=(0.2, 1.5))
    expected = [float(dj.retrieval_overlap(paper(g, 3), 2)) for g in branch.parameter]
    np.testing.assert_allclose(np.abs(branch.overlaps[1:, 2]), expected[1:], atol=1e-10)
    threshold = float(dj.critical_coupling(paper(1.0, 3), 2, kind="stability"))
    last = branch.special[-1]
    assert last.kind == "branch point" and last.parameter == pytest.approx(threshold, rel=1e-10)
    np.testing.assert_array_equal(branch.is_stable, branch.parameter > threshold)

    mixture = dj.continuation(paper(0.3, 3), last, limits=(0.2, 1.5), direction=-1)
    assert not mixture.is_stable[1:].any() and mixture.ended == "limit"
    end = mixture.overlaps[-1]
    assert (np.abs(end[[0, 2]]) > 0.1).all() and abs(end[1]) < 1e-9
    at_end = dataclasses.replace(paper(1.0, 3), g0=jnp.asarray(mixture.parameter[-1]))
    assert dj.stability(at_end, dj.stationary_state(at_end, end)[0]).num_growing > 0


def test_around_a_fold_where_patterns_are_not_quite_orthogonal():
    model = sampled(3)
    branch = dj.continuation(model, [0.0, 0.0, 0.9], limits=(0.5, 1.4), direction=-1)
    (fold,) = (point for point in branch.special if point.kind == "fold")
    assert fold.parameter == pytest.approx(float(dj.critical_coupling(model, 2)), rel=1e-10)
    before, after = branch.parameter[: fold.after + 1], branch.parameter[fold.after + 1 :]
    assert (np.diff(before) < 0).all() and (np.diff(after[1:]) > 0).all()
    assert branch.is_stable[: fold.after].all() and not branch.is_stable[fold.after + 2 :].any()


def test_any_rate_can_be_followed_and_a_function_too():
    """The pattern dies where its own mode's frequency takes g_crit above g0: a quadratic equation for Omega_nu."""
    model = paper(0.9, 2)
    state = dj.retrieval_state(model, 0)
    branch = dj.continuation(model, state, ("omega_mode", 0), limits=(1.0, 6.0))
    expected = max(np.roots([0.5, -2 * 0.9**2, 0.5 * 0.25]).real)  # Omega (W^2 + kappa^2/4) = 2 W g0^2
    dead = [point for point in branch.special if np.max(np.abs(point.overlaps)) < 1e-6]
    assert dead and dead[0].parameter == pytest.approx(expected, rel=1e-8)  # where both branches meet at a right angle

    def scaled(share):
        return dj.DickeModel(model.spins, 0.5, model.omega_mode * share, 1.0, 0.9)

    by_function = dj.continuation(model, state, scaled, limits=(0.5, 2.0), value=1.0)
    overlap = [float(dj.retrieval_overlap(scaled(share), 0)) for share in by_function.parameter]
    np.testing.assert_allclose(np.abs(by_function.overlaps[:, 0]), overlap, atol=1e-6)


def test_an_oscillation_that_grows_is_a_hopf_point():
    """Spins pumped to +x: the normal state starts to swing at the threshold that the spectrum gives."""
    up = (np.array([[0, -1j], [1j, 0]]) + 1j * np.diag([1.0, -1.0])) / 2
    model = paper(0.05, 2, dissipation=dj.LocalDissipation([(up, 0.3)]))
    branch = dj.continuation(model, np.zeros(2), limits=(0.01, 0.6))
    assert branch.special[0].kind == "hopf"
    assert branch.special[0].parameter == pytest.approx(float(dj.critical_coupling(model, kind="normal")), rel=1e-9)


@pytest.fixture(scope="module")
def diagram():
    told = []
    data = dj.studies.bifurcation_diagram(paper(0.3, 2), limits=(0.4, 1.4), depth=2, progress=lambda *n: told.append(n))
    assert told[-1][0] == told[-1][1] == data.sizes["branch"]
    return data


def test_diagram_of_two_patterns(diagram, tmp_path):
    """Normal, two patterns, one mixture: four branches, each state of the search on one of them."""
    assert diagram.sizes["branch"] == 4 and diagram.attrs["complete"] == 1
    states = dj.stationary_states(KEY, paper(1.4, 2))
    ends = [diagram.overlap[i].dropna("point").values[-1] for i in range(4)]
    for xi in np.asarray(states.overlaps):
        assert min(np.max(np.abs(np.abs(xi) - np.abs(end))) for end in ends) < 1e-7
    assert dj.studies.open_results(dj.studies.save_results(diagram, tmp_path / "branches.nc")).identical(diagram)


@pytest.mark.slow
def test_diagram_finds_branches_without_connection():
    """Unequal subsets: the second pattern ends in a fold, and hangs together with nothing that begins at zero."""
    model = sampled(2, 300)
    data = dj.studies.bifurcation_diagram(model, limits=(0.4, 1.6), depth=1)
    folds = data.special_value.values[data.special_kind.values == 0]
    expected = float(dj.critical_coupling(model, 1))
    assert np.min(np.abs(folds - expected)) < 1e-9
    told = [text.get_text() for text in dj.plotting.plot_branches(data).get_legend().get_texts()]
    assert told == ["normal", "pattern 1", "pattern 2", "mixture", "branch point", "fold"]  # though patterns overlap
    plt.close("all")


def test_pictures_of_diagrams(diagram):
    axis = dj.plotting.plot_branches(diagram)
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert {"normal", "pattern 1", "pattern 2", "mixture", "branch point"} <= set(labels)
    stable = [line for line in axis.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 2]
    drawn = max(np.nanmax(line.get_ydata()) for line in stable)
    assert drawn == pytest.approx(float(dj.retrieval_overlap(paper(1.4, 2), 0)), abs=1e-6)
    plt.close("all")


def test_lines_change_their_style_where_stability_changes(diagram):
    """The normal state at its threshold, the second pattern at its own: closed forms. Mixtures can be left out."""
    axis, model = dj.plotting.plot_branches(diagram, mixtures=False), paper(1.0, 2)
    lines = [line for line in axis.lines if len(line.get_xdata()) > 2]
    assert len(lines) == 6 and "mixture" not in [text.get_text() for text in axis.get_legend().texts]
    drawn = [line.get_xdata()[np.isfinite(line.get_ydata())] for line in lines]
    for branch, kind, nu in ((0, "normal", 0), (2, "stability", 1)):
        expected = float(dj.critical_coupling(model, nu, kind=kind))
        solid, dashed = drawn[2 * branch : 2 * branch + 2]
        found = (solid[-1], dashed[0]) if kind == "normal" else (dashed[-1], solid[0])
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert drawn[3].size == 0  # the first pattern is stable from where it begins
    plt.close("all")


def test_phases_over_two_parameters(tmp_path):
    g0, omega = np.array([0.6, 0.72, 0.9]), np.array([1.0, 3.0])
    told = []
    data = dj.studies.phase_diagram(
        KEY, paper(1.0, 2), ("g0", g0), (("omega_mode", 0), omega), progress=lambda *n: told.append(n)
    )
    assert told[-1] == (6, 6) and data.complete.all()
    for i, frequency in enumerate(omega):
        model = paper(1.0, 2, omega_mode=np.array([frequency, 2.0]))
        for nu in range(2):
            existence, stability = (float(dj.critical_coupling(model, nu, kind=k)) for k in ("existence", "stability"))
            np.testing.assert_array_equal(data.exists[i, :, nu], g0 > existence)
            np.testing.assert_array_equal(data.stable[i, :, nu], g0 > stability)
        np.testing.assert_array_equal(data.normal_stable[i], g0 < float(dj.critical_coupling(model, kind="normal")))
    assert dj.studies.open_results(dj.studies.save_results(data, tmp_path / "phases.nc")).identical(data)
    axis = dj.plotting.plot_phases(data)
    assert axis.get_ylabel().startswith(r"$\Omega_1$")
    plt.close("all")
