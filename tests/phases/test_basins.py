"""Where cues end: chances of retrieval, their intervals, and the studies made of them."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from problems import paper, rates_of
from scipy.integrate import solve_ivp
from scipy.stats import binomtest

import dicke_jax as dj
from dicke_jax._status import Status
from dicke_jax.phases.cue_outcome import OUTCOMES, name_outcome, wilson_interval

KEY = jax.random.key(11)
WEAK_DECAY = dj.LocalDissipation([("decay_x", 0.1)])
QUICK = dict(num_samples=16, chunk=16, max_time=200.0)


def found(ends):
    return {name: count for name, count in ends.counts().items() if count}


def threshold(rates, nu):
    """g_nu of the paper, in NumPy."""
    return np.sqrt(0.5 * (rates[nu] ** 2 + 0.25) / (2 * rates[nu]))


def averages(model, cue, max_time, decay=0.0):
    """Overlaps averaged over the last half of a run, in SciPy, with single-spin decay towards -x."""
    G, (omega, modes, kappa, g0) = np.asarray(model.spins.couplings, float), map(np.asarray, rates_of(model))
    K = G.shape[1]

    def rates(t, flat):
        (x, y, z), a = flat[: 3 * K].reshape(3, K), flat[3 * K :].view(complex)
        h = 4 * g0 * (a.real @ G)
        spins = [-h * y - decay * (x + 1), h * x - 2 * omega * z - decay * y / 2, 2 * omega * y - decay * z / 2]
        da = -(1j * modes + kappa / 2) * a - 1j * g0 * (G @ z) / K
        return np.concatenate([*spins, da.view(float)])

    start = np.concatenate([np.asarray(cue.m).ravel(), np.asarray(cue.alpha).view(float)])
    times = max_time * np.linspace(0.5, 1.0, 256)
    sol = solve_ivp(rates, (0, max_time), start, method="DOP853", t_eval=times, rtol=1e-11, atol=1e-11)
    return np.mean(G @ sol.y[2 * K : 3 * K] / K, axis=1)


@pytest.fixture(scope="module")
def competing():
    """Pattern 4 of the paper's rates between g_nu, where it exists, and g_nu sqrt(g_nu / min g), where it attracts."""
    g = [threshold(0.5 * (np.arange(4) + 3), nu) for nu in range(4)]
    g0 = 0.5 * (g[3] + g[3] * np.sqrt(g[3] / g[0]))
    assert g[3] < g0 < g[3] * np.sqrt(g[3] / g[0])
    told = []
    ends = dj.retrieval_probability(
        KEY, paper(g0), 3, strength=0.1, num_samples=40, max_time=400.0, chunk=16, progress=lambda *n: told.append(n)
    )
    assert told[0] == (0, 40) and told[-1] == (40, 40) and len(told) > 2
    assert told[1] == (32, 40) or jax.default_backend() != "cpu"  # those that run together are not parted
    return g0, ends


def test_a_pattern_that_exists_but_does_not_attract_loses_its_cues_to_others(competing):
    _, ends = competing
    assert found(ends) == {"other_pattern": 40} and ends.probability == 0.0
    assert set(np.unique(ends.leading)) <= {0, 1, 2} and set(np.unique(ends.sign)) == {-1, 1}
    each = np.arange(40)
    np.testing.assert_array_equal(ends.involved, np.arange(4) == np.asarray(ends.leading)[:, None])
    assert (np.asarray(ends.overlaps)[each, ends.leading] * np.asarray(ends.sign) > 0.7).all()
    assert "other_pattern" in repr(ends) and " to -1" in repr(ends) and "pattern 4 of 4, 40 cues" in repr(ends)


def test_no_bit_depends_on_the_chunk_and_a_longer_study_begins_with_a_shorter_one(competing):
    g0, ends = competing
    again = dj.retrieval_probability(KEY, paper(g0), 3, strength=0.1, num_samples=35, max_time=400.0, chunk=32)
    for name in ("overlaps", "fluctuations", "leading", "time", "codes"):
        np.testing.assert_array_equal(getattr(again, name), np.asarray(getattr(ends, name))[:35], strict=True)
    other = dj.retrieval_probability(jax.random.key(12), paper(g0), 3, strength=0.1, **(QUICK | {"max_time": 400.0}))
    assert not np.array_equal(other.overlaps, ends.overlaps[:16])


def test_a_sample_run_again_by_hand_ends_the_same(competing):
    g0, ends = competing
    for i in (0, 37):
        cue = dj.tilted_pattern(jax.random.fold_in(KEY, i), paper(g0), 3, angle=0.1)
        end = dj.steadystate(paper(g0), cue, max_time=400.0, tol=1e-6)
        np.testing.assert_allclose(end.overlaps, ends.overlaps[i], atol=1e-6)
        np.testing.assert_allclose(averages(paper(g0), cue, 400.0), ends.overlaps[i], atol=1e-4)


def test_far_above_the_stability_threshold_small_tilts_are_all_retrieved():
    ends = dj.retrieval_probability(KEY, paper(3.0), 0, strength=0.2, **QUICK)
    assert found(ends) == {"retrieved": 16} and ends.probability == 1.0
    assert (np.asarray(ends.fluctuations) > 1e-3).any()  # waves that no mode sees, which do not hide the pattern


def test_below_all_thresholds_everything_is_forgotten():
    model = dataclasses.replace(paper(0.5, num_patterns=2), dissipation=WEAK_DECAY)
    assert float(model.g0) < min(threshold(0.5 * (np.arange(2) + 3), nu) for nu in range(2))
    ends = dj.retrieval_probability(KEY, model, 1, **(QUICK | {"max_time": 1000.0}))
    assert found(ends) == {"forgotten": 16} and not np.asarray(ends.involved).any()
    assert (np.asarray(ends.status == Status.successful)).all()


def test_mixed_signs_of_the_mode_frequencies_oscillate():
    ends = dj.retrieval_probability(KEY, paper(0.5, omega_mode=np.array([1.5, -2.0, 2.5, -3.0])), **QUICK)
    assert found(ends) == {"oscillating": 16}


def test_a_cue_of_one_s_own_and_one_that_is_not_finite():
    def negative(key, model, pattern):
        state = dj.tilted_pattern(key, model, pattern, angle=0.2)
        number = jax.random.uniform(key)
        m = jnp.where(number < 0.5, jnp.nan, -state.m * jnp.array([[-1.0], [1.0], [1.0]]))
        return dj.MeanFieldState(m, state.alpha)

    ends = dj.retrieval_probability(KEY, paper(3.0, num_patterns=2), 1, cue=negative, **QUICK)
    broken = jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(KEY, i)))(jnp.arange(16)) < 0.5
    assert 0 < broken.sum() < 16
    np.testing.assert_array_equal(ends.outcome == dj.CueOutcome.failed, broken)
    np.testing.assert_array_equal(ends.outcome == dj.CueOutcome.retrieved_negative, ~broken)
    assert ends.probability == float(np.mean(~np.asarray(broken)))


@pytest.mark.parametrize("flip", [0.0, 0.4])
def test_flips_are_measured_against_what_they_leave_possible(flip):
    """With 40 % flips |xi| cannot exceed 0.2, and that is a whole retrieval."""
    ends = dj.retrieval_probability(KEY, paper(3.0, num_patterns=2), 1, cue="flip", strength=flip, **QUICK)
    np.testing.assert_allclose(ends.reach, 1 - 2 * flip, atol=1e-9)
    assert ends.probability == 1.0 and float(np.abs(ends.overlaps[:, 1]).max()) <= 1 - 2 * flip + 1e-9


STATUS = Status
TABLE = {  # averages of three overlaps, fluctuation of the second, last value of the second, status, end, involved
    "pattern": ([0.02, 0.9, -0.1], 0.05, 0.9, STATUS.oscillating, "retrieved", [1]),
    "its negative": ([0.02, -0.9, -0.1], 0.05, -0.9, STATUS.not_converged, "retrieved_negative", [1]),
    "close to threshold": ([0.0, 0.12, 0.0], 0.0, 0.12, STATUS.successful, "retrieved", [1]),
    "another": ([0.8, 0.2, 0.0], 0.05, 0.2, STATUS.oscillating, "other_pattern", [0]),
    "two": ([-0.5, 0.5, 0.1], 0.01, 0.5, STATUS.successful, "mixture", [0, 1]),
    "three": ([0.4, -0.5, 0.3], 0.01, -0.5, STATUS.oscillating, "mixture", [0, 1, 2]),
    "a small one is no part": ([0.0, 0.15, 0.09], 0.0, 0.15, STATUS.successful, "retrieved", [1]),
    "none": ([0.09, 0.0, -0.05], 0.0, 0.0, STATUS.oscillating, "forgotten", []),
    "around zero": ([0.0, 0.0, 0.0], 0.3, 0.4, STATUS.oscillating, "oscillating", []),
    "around a pattern": ([0.0, 0.8, 0.0], 0.3, 0.4, STATUS.oscillating, "oscillating", []),
    "on its way": ([0.0, 0.8, 0.0], 0.3, 0.4, STATUS.not_converged, "not_converged", []),
    "a deviation grows": ([0.0, 0.9, 0.0], 1e-3, 0.89, STATUS.oscillating, "not_converged", []),
    "failed": ([np.nan] * 3, np.nan, np.nan, STATUS.failed, "failed", []),
}


@pytest.mark.parametrize("scale", [1.0, 0.2])
@pytest.mark.parametrize("case", TABLE)
def test_ends_are_named_by_shares_of_what_is_possible(case, scale):
    average, fluctuation, last, status, name, involved = TABLE[case]
    average = np.array(average)
    end, leading, _, mask = name_outcome(
        jnp.asarray(1),
        status,
        jnp.asarray(scale * average),
        jnp.asarray(scale * fluctuation * np.eye(3)[1]),
        jnp.asarray(scale * np.where(np.arange(3) == 1, last, average)),
        jnp.full(3, scale),
    )
    assert end == getattr(dj.CueOutcome, name)
    np.testing.assert_array_equal(np.flatnonzero(mask), involved)
    if involved:
        assert int(leading) == np.argmax(np.abs(average))


def test_spins_without_any_length_are_forgotten():
    zero = jnp.zeros(2)
    assert name_outcome(jnp.asarray(0), STATUS.successful, zero, zero, zero, zero)[0] == dj.CueOutcome.forgotten


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_interval_is_wilson_s(confidence):
    for successes in (0, 1, 7, 19, 20):
        expected = binomtest(successes, 20).proportion_ci(confidence, method="wilson")
        np.testing.assert_allclose(
            wilson_interval(successes, 20, confidence), (expected.low, expected.high), atol=1e-12
        )


@pytest.fixture(scope="module")
def study():
    told = []
    model = dataclasses.replace(paper(num_patterns=2), dissipation=WEAK_DECAY)
    data = dj.studies.retrieval_basins(
        KEY, model, g0=[0.5, 1.5], strength=[0.1, 0.3], progress=lambda *n: told.append(n), **QUICK
    )
    assert told[0] == (0, 64) and told[-1] == (64, 64) and all(a <= b for a, b in itertools.pairwise(told))
    return data


def test_study_holds_the_single_probabilities(study, tmp_path):
    assert study.counts.dims == ("g0", "strength", "end") and list(study.end.values) == list(OUTCOMES)
    assert (study.counts.sum("end") == 16).all()
    assert float(study.counts.sel(g0=0.5, end="forgotten").min()) == 16
    model = dataclasses.replace(paper(1.5, num_patterns=2), dissipation=WEAK_DECAY)
    ends = dj.retrieval_probability(KEY, model, strength=0.3, **QUICK)
    point = study.sel(g0=1.5, strength=0.3)
    np.testing.assert_array_equal(point.overlap, ends.overlaps)
    np.testing.assert_array_equal(point.end_code, ends.codes)
    assert float(point.probability) == ends.probability > 0.5
    assert (float(point.lower), float(point.upper)) == ends.interval()
    assert dj.studies.open_results(dj.studies.save_results(study, tmp_path / "basins.nc")).identical(study)
    for name in ("kappa", "key", "cue", "cued_pattern", "max_time", "rates_of_jumps", "jax"):
        assert name in study.attrs


def test_study_takes_a_function_that_makes_the_model(study):
    def make(g0):
        return dataclasses.replace(paper(g0, num_patterns=2), dissipation=WEAK_DECAY)

    data = dj.studies.retrieval_basins(KEY, make, g0=[1.5], strength=[0.3], **QUICK)
    np.testing.assert_array_equal(data.overlap[0, 0], study.overlap.sel(g0=1.5, strength=0.3))


@pytest.mark.slow
def test_load_study_draws_patterns_for_every_sample(tmp_path):
    rates = dict(omega_spin=0.5, omega_mode=1.5, kappa=1.0, g0=1.5)
    data = dj.studies.retrieval_load(KEY, 16, [4], **rates, dissipation=WEAK_DECAY, strength=0.05, **QUICK)
    np.testing.assert_allclose(data["load"], [1 / 4])
    assert (data.counts.sum("end") == 16).all() and 0 < float(data.probability[0]) < 1

    patterns_key, cue_key = jax.random.split(jax.random.fold_in(jax.random.fold_in(KEY, 4), 9))
    spins = dj.LargeSpins.individual(dj.random_patterns(patterns_key, 4, 16))
    model = dj.DickeModel(spins, **rates, dissipation=WEAK_DECAY)
    cue = dj.corrupted_pattern(cue_key, model, 0, flip=0.05)
    assert set(np.unique(cue.m[2])) == {-1.0, 1.0}  # single spins, each flipped or not
    assert float(data.overlap[0, 9]) == pytest.approx(averages(model, cue, 400.0, decay=0.1)[0], abs=1e-4)

    assert dj.studies.open_results(dj.studies.save_results(data, tmp_path / "load.nc")).identical(data)
    axis = dj.plotting.plot_basins(data)
    np.testing.assert_allclose(axis.lines[0].get_ydata(), data.probability)
    assert "load" in axis.get_xlabel()
    plt.close("all")


@pytest.mark.slow
def test_a_memory_fails_with_its_load():
    rates = dict(omega_spin=0.5, omega_mode=1.5, kappa=1.0, g0=1.2, dissipation=WEAK_DECAY, max_time=300.0)
    data = dj.studies.retrieval_load(KEY, 60, [1, 4, 9, 15], num_samples=96, **rates)
    assert float(data.probability[0]) == 1.0
    assert (np.asarray(data.upper[1:]) < np.asarray(data.lower[:-1])).any() and float(data.upper[-1]) < 0.5
    assert (np.diff(data.probability) < 0).all()


def test_picture_shows_every_cue_s_curve_and_interval(study):
    axis = dj.plotting.plot_basins(study)
    assert len(axis.lines) == 2 and len(axis.collections) == 2
    for i, (line, band) in enumerate(zip(axis.lines, axis.collections, strict=True)):
        np.testing.assert_allclose(line.get_ydata(), study.probability[:, i])
        edges = band.get_paths()[0].vertices[:, 1]
        assert edges.min() == pytest.approx(float(study.lower[:, i].min()))
        assert edges.max() == pytest.approx(float(study.upper[:, i].max()))
    legend = axis.get_legend()
    assert "tilt" in legend.get_title().get_text()
    axis.figure.draw_without_rendering()
    assert legend.get_window_extent().x0 >= axis.get_window_extent().x1  # beside the curves
    assert axis.get_title("left") == f"pattern 1, {int(study.counts[0, 0].sum())} cues at each point"
    plt.close("all")


def test_studies_can_be_joined_and_a_stack_of_them_is_refused(study):
    """In any order: the picture is that of one study, and codes keep the meanings that the second one has."""
    parts = study.isel(g0=[1]), study.isel(g0=[0])
    joined = xr.concat(parts, "g0")
    assert joined.end_code.attrs["flag_meanings"].split() == list(OUTCOMES)
    for whole in (joined, xr.concat([study.isel(strength=[i]) for i in range(2)], "strength")):
        axis = dj.plotting.plot_basins(whole)
        for i, line in enumerate(axis.lines):
            np.testing.assert_array_equal(line.get_xdata(), study.g0)
            np.testing.assert_array_equal(line.get_ydata(), study.probability[:, i])
    plt.close("all")
    for several in (xr.concat([study, study], "run"), study.isel(g0=0)):
        with pytest.raises(ValueError, match="results must be one study over g0 and strength .*; got"):
            dj.plotting.plot_basins(several)
