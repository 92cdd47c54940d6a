"""The study of the 1/N law, and its picture."""

import jax
import matplotlib
import numpy as np
import pytest
from problems import paper

import dicke_jax as dj

matplotlib.use("agg")


def test_the_power_of_n_is_fitted_to_e_n():
    sizes = (3, 10, 50, 400)
    scaled = np.stack([np.array([2.0, 5.0]) * n**0.25 for n in sizes])  # E_N falls like N^-0.75
    power, error = dj.studies.power_of_n(sizes, scaled)
    np.testing.assert_allclose(power, -0.75, atol=1e-12)
    np.testing.assert_allclose(error, 0.0, atol=1e-12)
    scaled[1] *= 1.1
    assert (dj.studies.power_of_n(sizes, scaled)[1] > 1e-3).all()
    assert np.isnan(dj.studies.power_of_n(sizes[:2], scaled[:2])[1]).all()
    sem = 0.02 * scaled[:2]  # of two sizes: error of the difference of logarithms over their distance
    expected = 0.02 * np.sqrt(2) / np.log(10 / 3)
    np.testing.assert_allclose(dj.studies.power_of_n(sizes[:2], scaled[:2], sem)[1], expected)


@pytest.fixture(scope="module")
def results():
    model = paper(0.4, num_patterns=1)
    state = dj.tilted_pattern(jax.random.key(0), model, angle=0.4)
    calls = []
    made = dj.studies.mean_field_exactness(
        model,
        state,
        [0.0, 1.5, 3.0],
        exact_sizes=(4, 16),
        sampled_sizes=(10, 30, 100),
        levels=14,
        num_samples=2000,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls[0] == (0, 5) and calls[-1] == (5, 5)
    return made


def test_the_error_falls_like_one_over_n(results):
    """Three routes: the exact power is still a little off for few spins, the sampled one is -1."""
    assert (results.status == 0).all() and results.status.attrs["flag_meanings"] == "successful"
    np.testing.assert_allclose(results.exponent_exact, -1.0, atol=0.04)
    assert abs(float(results.exponent_exact[-1]) + 1) > 1e-3
    share = (results.scaled_error_sem / results.scaled_error_sampled).max()  # sampling error of one size
    assert (abs(results.exponent_sampled + 1) < 4.5 * share * np.sqrt(2) / np.log(10)).all() and share < 0.025
    assert (abs(results.scaled_error_sampled - results.scaled_error_gaussian) < 4.5 * results.scaled_error_sem).all()
    assert (results.largest_deviation**2 <= results.scaled_error_exact / results.N_exact + 1e-12).all()
    assert (results.log_scaled_bound >= np.log(results.scaled_error_exact) - 1e-12).all()
    assert float(results.log_scaled_bound[-1]) > 200


def test_results_are_drawn_and_stored(results, tmp_path):
    left, right = dj.plotting.plot_exactness(results)
    np.testing.assert_array_equal(left.lines[0].get_ydata(), results.scaled_error_gaussian)
    drawn = {line.get_label(): line for line in right.lines}
    exact = next(line for label, line in drawn.items() if label.startswith("exact"))
    np.testing.assert_allclose(exact.get_ydata(), results.scaled_error_exact[:, -1] / results.N_exact)
    spoilt = results.assign(status=results.status + np.array([0, 1], np.int8))
    spoilt.status.attrs = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "successful cut_off"}
    labels = [line.get_label() for line in dj.plotting.plot_exactness(spoilt)[0].lines]
    assert labels[1:3] == ["exact, $N$ = 4", "exact, $N$ = 16 (cut off)"]
    matplotlib.pyplot.close("all")
    path = dj.studies.save_results(results, tmp_path / "exactness.nc")
    assert dj.studies.open_results(path).equals(results)
