"""Pictures of sweeps: what they show is what the results hold, and thresholds stand where the closed form has them."""

import matplotlib
import numpy as np
import pytest
import scipy.stats
import xarray as xr

from dicke_jax.plotting import plot_sweep
from dicke_jax.studies.sweeps import quantity_of

matplotlib.use("agg")
import matplotlib.pyplot as plt

NAMES = ("retrieved", "retrieved_negative", "forgotten")
G0, KAPPA = np.linspace(0.4, 1.4, 6), np.array([0.5, 1.0, 2.0])


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def chances(**attrs):
    """Of pattern 1 (from 0), over g0, kappa and four seeds: codes as `Sweep` writes them."""
    codes = np.random.default_rng(0).integers(-1, 3, (6, 3, 4)).astype(np.int8)
    flags = {"flag_values": np.arange(3, dtype=np.int8), "flag_meanings": " ".join(NAMES)}
    coords = {"g0": ("g0", G0, {"units": "unit of the rates"}), "kappa": KAPPA, "seed": np.arange(4)}
    about = dict(omega_spin=0.5, omega_mode=np.array([1.5, 2.0]), kappa=np.ones(2), pattern=1, cue="flip") | attrs
    return xr.Dataset({"outcome": (("g0", "kappa", "seed"), codes, flags)}, coords, about)


def g_crit(kappa, omega_mode):
    return np.sqrt(0.5 * (omega_mode**2 + kappa**2 / 4) / (2 * omega_mode))


def test_the_chance_is_the_share_of_cues_that_came_back_with_either_sign():
    results = chances()
    codes = results.outcome.values
    there = np.where(codes >= 0, (codes == 0) | (codes == 1), np.nan)
    np.testing.assert_allclose(quantity_of(results, "outcome").values, np.nanmean(there, axis=2), rtol=1e-15)


def test_a_map_has_both_axes_a_colour_bar_and_the_threshold_of_its_pattern():
    results = chances(thresholds="closed form")
    figure, axis = plt.subplots()
    assert plot_sweep(results, ax=axis) is axis and len(figure.axes) == 2
    (mesh,) = axis.collections
    np.testing.assert_allclose(
        np.asarray(mesh.get_array()).reshape(3, 6), quantity_of(results, "outcome").values.T, rtol=1e-15
    )
    assert axis.get_xlabel() == "$g_0$ (unit of the rates)" and axis.get_ylabel() == r"$\kappa$ (unit of the rates)"
    assert figure.axes[1].get_ylabel() == "chance of retrieval, pattern 2"
    line = axis.lines[-1]  # up to the edges of the cells, which double as kappa does
    np.testing.assert_allclose(line.get_xdata(), g_crit(line.get_ydata(), 2.0), rtol=1e-14)
    np.testing.assert_allclose(line.get_ydata()[[0, -1]], KAPPA[[0, -1]] * [0.5**0.5, 2**0.5], rtol=1e-14)
    assert axis.get_ylim() == tuple(line.get_ydata()[[0, -1]]) and axis.get_yscale() == "log"
    assert not plot_sweep(chances()).lines  # without a closed form there is none
    far = plot_sweep(chances(thresholds="closed form", omega_mode=np.array([1.5, 9.0])))
    assert not far.lines and far.get_legend() is None  # nor one that is beyond the map
    varied = chances(thresholds="closed form", omega_mode=np.array([1.5, np.nan]))
    assert not plot_sweep(varied).lines
    assert not plot_sweep(varied.drop_attrs(deep=False).assign_attrs(thresholds="closed form")).lines


def memories():
    """The chance over coupling and number of patterns, of one pattern and of few cues in the worst row."""
    codes = (np.random.default_rng(1).uniform(size=(6, 2, 20)) > G0[:, None, None] / 1.4).astype(np.int8) * 2
    codes[0, 0, 5:] = -1
    about = chances()
    coords = {"g0": ("g0", G0, about.g0.attrs), "num_patterns": [2, 4], "seed": np.arange(20), "flip": 0.1}
    return xr.Dataset({"outcome": (("g0", "num_patterns", "seed"), codes, about.outcome.attrs)}, coords, about.attrs)


def test_panels_have_the_same_colours_and_say_what_was_chosen():
    axis = plot_sweep(memories())
    assert axis.collections[0].get_clim() == (0, 1)
    assert axis.get_ylabel() == "stored patterns $M$"
    assert [text.get_text() for text in axis.get_yticklabels()] == ["2", "4"]
    assert axis.get_title("left") == "flip = 0.1, mean of 20 seeds"
    assert plot_sweep(memories().sel(num_patterns=4)).get_title("left") == ("$M$ = 4, flip = 0.1, mean of 20 seeds")
    at_one = chances().sel(kappa=1.0, seed=3)
    assert plot_sweep(at_one).get_title("left") == r"$\kappa$ = 1, seed = 3"


def test_bars_are_the_intervals_that_so_many_cues_leave():
    results = memories().sel(num_patterns=2)
    axis = plot_sweep(results)
    (bars,) = axis.collections
    found = np.array([segment[:, 1] for segment in bars.get_segments()])
    there = results.outcome.values >= 0
    for ends, row, count in zip(found, results.outcome.values == 0, there.sum(axis=1), strict=True):
        expected = scipy.stats.binomtest(int(row.sum()), int(count)).proportion_ci(method="wilson")
        np.testing.assert_allclose(ends, expected, atol=1e-12)
    assert axis.get_ylim() == (-0.03, 1.03)
    assert [text.get_text() for text in axis.get_legend().texts] == ["95 % interval"]
    assert not plot_sweep(results.isel(seed=0)).collections  # of one cue there is none


def overlaps():
    xi = np.stack([np.tanh(G0 + nu) * (-1) ** nu for nu in range(2)])
    values = np.stack([xi, 0.1 * xi], axis=-1).transpose(1, 0, 2)  # g0, pattern, mode
    values[:, 1] = values[:, 1, ::-1]
    coords = {"g0": G0, "pattern": [0, 1], "mode": [0, 1]}
    attrs = dict(omega_spin=0.5, omega_mode=np.array([1.5, 2.0]), kappa=np.ones(2), thresholds="closed form")
    return xr.Dataset({"overlap": (("g0", "pattern", "mode"), values, {"long_name": "overlap"})}, coords, attrs)


def test_lines_are_the_overlaps_with_the_cues_own_patterns():
    results = overlaps()
    axis = plot_sweep(results)
    for nu in range(2):
        line = axis.lines[2 * nu]
        np.testing.assert_allclose(line.get_ydata(), np.tanh(G0 + nu), rtol=1e-15)
        assert line.get_label() == f"pattern {nu + 1}"
        np.testing.assert_allclose(axis.lines[2 * nu + 1].get_xdata(), g_crit(1.0, (1.5, 2.0)[nu]), rtol=1e-15)
    told = [text.get_text() for text in axis.get_legend().texts]
    assert told == ["pattern 1", "pattern 2", "critical coupling, closed form"]
    assert len({line.get_linestyle() for line in axis.lines[::2]}) == 2  # told apart without their colours


def test_rows_that_are_not_there_are_left_out():
    results = overlaps()
    results["complete"] = (("g0", "pattern"), np.arange(12).reshape(6, 2) % 2)
    axis = plot_sweep(results)
    assert np.isnan(axis.lines[0].get_ydata()).all() and np.isfinite(axis.lines[2].get_ydata()).all()


def test_what_cannot_be_shown_is_refused_in_one_line():
    wide = overlaps().expand_dims(kappa=[1.0, 2.0], angle=[0.1, 0.2])
    for results, options, told in (
        (wide, {}, "results must be over one or two axes besides pattern and seed"),
        (overlaps(), dict(variable="colour"), "variable must be one of overlap; got 'colour'"),
        (chances(), dict(pattern=-1), "pattern must be a whole number of at least 0; got -1"),
        (xr.Dataset(), {}, "variable must be one of a sweep that has some"),
    ):
        with pytest.raises(ValueError, match=told) as error:
            plot_sweep(results, **options)
        assert "\n" not in str(error.value)


def test_thresholds_that_are_at_no_coupling_are_counted_and_leave_their_axis():
    values = np.where(np.arange(6) < 2, 0.7, np.inf)
    axis = plot_sweep(xr.Dataset({"g_crit": ("kappa", values)}, {"kappa": G0}))
    assert axis.get_title("left") == "infinite in 4 of 6 rows"
    np.testing.assert_allclose(axis.get_xlim(), [0.3, 1.5])
