"""The study of Fig. 3, its files and its picture."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from problems import paper

import dicke_jax as dj

GRID = np.linspace(0.35, 1.25, 8)


@pytest.fixture(scope="module")
def results():
    counts = []
    data = dj.studies.retrieval_transition(paper(num_patterns=3), GRID, progress=lambda *n: counts.append(n))
    assert counts[0] == (0, 24) and counts[-1] == (24, 24)
    return data


def test_simulation_meets_eq_12(results):
    assert results.overlap.dims == ("pattern", "g0") and results.overlap.shape == (3, 8)
    assert (results.status == 0).all()
    assert float(results.other_overlap.max()) == 0.0  # no run left the subspace of its pattern
    model = paper(num_patterns=3)
    for nu in range(3):
        squared = 1 - (float(dj.critical_coupling(model, nu)) / GRID) ** 4
        theory = np.sqrt(np.maximum(squared, 0))
        np.testing.assert_allclose(results.overlap_theory[nu], theory, atol=1e-12)
        np.testing.assert_allclose(results.overlap[nu], theory, atol=1e-6)
        photons = GRID**2 * theory**2 / ((0.5 * (nu + 3)) ** 2 + 0.25)
        np.testing.assert_allclose(results.occupation[nu], photons, atol=1e-6)
        np.testing.assert_allclose(results.occupation_theory[nu], photons, atol=1e-12)
        assert float(results.g_lower[nu]) < float(results.g_crit[nu]) < float(results.g_upper[nu])
        assert abs(float(results.g_estimate[nu] - results.g_crit[nu])) < 0.2 * (GRID[1] - GRID[0])


def test_results_say_where_they_come_from_and_survive_a_file(results, tmp_path):
    for name in ("omega_spin", "omega_mode", "kappa", "units", "num_spins", "precision", "jax", "dicke-jax", "source"):
        assert name in results.attrs
    path = dj.studies.save_results(results, tmp_path / "transition.nc")
    again = dj.studies.open_results(path)
    assert again.equals(results)
    np.testing.assert_array_equal(again.attrs["omega_mode"], [1.5, 2.0, 2.5])
    assert list(tmp_path.iterdir()) == [path]


def test_threshold_estimate_from_points_alone():
    g0 = np.linspace(0.3, 2.0, 40)
    for true in (0.5, 0.731, 1.2):
        overlap = np.sqrt(np.maximum(0, 1 - (true / g0) ** 4))
        estimate, lower, upper = dj.studies.threshold_from_overlaps(g0, overlap)
        assert estimate == pytest.approx(true, rel=3e-3) and lower <= true <= upper + 1e-3
    assert np.isnan(dj.studies.threshold_from_overlaps(g0, np.zeros(40))).all()
    assert np.isnan(dj.studies.threshold_from_overlaps(g0, np.ones(40))).all()
    jump = np.where(g0 > 1, 0.9, 0.0)  # not the onset of a continuous transition
    estimate, lower, upper = dj.studies.threshold_from_overlaps(g0, jump)
    assert np.isnan(estimate) and lower < 1 < upper


def test_a_finite_sample_of_patterns_follows_the_theory_where_patterns_do_not_compete():
    """Below and far above threshold of the easiest pattern; an order 1/sqrt(N_sp) away, and not converged exactly."""
    spins = dj.map_to_large_spins(dj.random_patterns(jax.random.key(0), 2, 100_000)).spins
    model = dj.DickeModel(spins, 0.5, jnp.array([1.5, 2.0]), 1.0, 1.0)
    data = dj.studies.retrieval_transition(model, jnp.array([0.4, 1.1]), max_time=2000.0)
    np.testing.assert_allclose(data.overlap[0], data.overlap_theory[0], atol=0.02)
    assert data.attrs["num_spins"] == 100_000


def test_picture_shows_both_panels(results):
    top, bottom = dj.plotting.plot_transition(results)
    lines = [line for line in top.lines if line.get_linestyle() != "None"]
    assert len(lines) == 3 and len({line.get_color() for line in lines}) == 3
    circles = np.concatenate(
        [line.get_ydata() for line in top.lines if line.get_marker() == "o" and line.get_label()[0] == "_"]
    )
    np.testing.assert_allclose(np.sort(circles), np.sort(results.overlap.values.ravel()))
    photons = np.concatenate([line.get_ydata() for line in bottom.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(np.sort(photons), np.sort(4 * results.occupation.values.ravel()))  # per subset: 2^(M-1)
    assert all("g_0" in axis.get_xlabel() and "kappa" in axis.get_xlabel() for axis in (top, bottom))
    plt.close("all")


@pytest.mark.slow
def test_the_paper_s_figure_at_full_size():
    """4 patterns x 40 couplings in [0.3, 2.0]: every row classified, converged rows agree with Eq. 12 to 1e-6."""
    data = dj.studies.retrieval_transition(paper(), np.linspace(0.3, 2.0, 40))
    meanings = set(data.status.attrs["flag_meanings"].split())
    assert meanings <= {"successful", "oscillating", "not_converged", "failed"}
    converged = data.status == 0
    assert converged.all()
    assert float(abs(data.overlap - data.overlap_theory).where(converged).max()) < 1e-6


def test_smaller_models_on_request_give_the_same_points_and_are_told(results):
    reduced = dj.studies.retrieval_transition(paper(num_patterns=3), GRID, reduce=True)
    told = reduced.attrs["symmetry_reduction"]
    assert "pattern 3: 3 modes and 4 subsets become 1 and 1" in told and "out of sight" in told
    assert "symmetry_reduction" not in results.attrs
    for name in ("overlap", "occupation"):
        np.testing.assert_allclose(reduced[name], results[name], atol=1e-7)
    assert float(reduced.other_overlap.max()) == 0 and (reduced.status == 0).all()


def test_files_are_whole_or_not_there(results, tmp_path, monkeypatch):
    """Whoever writes in between, and whatever lies where an unfinished file might have stood."""
    target, other = tmp_path / "transition.nc", tmp_path / "other"
    other.write_text("untouched")
    (tmp_path / "transition.nc.part").symlink_to(other)
    dj.studies.save_results(results, target)
    before = target.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
        dj.studies.save_results(results.isel(pattern=0), target)
    assert other.read_text() == "untouched" and target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "transition.nc", "transition.nc.part"]
