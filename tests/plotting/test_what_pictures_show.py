"""Pictures show the numbers of results: positions, colours and frames against closed forms, QuTiP and Pillow."""

import inspect
import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
import qutip
import xarray as xr
from matplotlib.animation import FFMpegWriter
from matplotlib.colors import to_rgb
from PIL import Image
from results_of_every_kind import MODEL, made, moments

import dicke_jax as dj
from dicke_jax.plotting.style import COLOURS
from dicke_jax.plotting.wigner import wigner_of

matplotlib.use("agg")
import matplotlib.pyplot as plt

PLANE = np.linspace(-2, 2, 9)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def picture_of_w(result, **options):
    """Where W was drawn, and W."""
    axis = dj.plotting.plot_wigner(result, **options)
    (mesh,) = axis.collections
    corners = np.asarray(mesh.get_coordinates())
    return axis, (corners[:-1, :-1] + corners[1:, 1:]) / 2, np.asarray(mesh.get_array()).reshape(161, 161)


def test_the_wigner_function_of_any_density_matrix_is_that_of_qutip():
    rho = qutip.rand_dm(12, density=0.9, seed=3)
    expected = qutip.wigner(rho, PLANE, PLANE, g=2)
    np.testing.assert_allclose(wigner_of(rho.full(), PLANE[None] + 1j * PLANE[:, None]), expected, atol=1e-12)


def test_what_is_drawn_of_a_density_matrix_integrates_to_one_and_is_negative_for_a_photon():
    one = np.diag([0.0, 1.0, 0.0])
    _, at, w = picture_of_w(one, reach=4.0)
    assert np.sum(w) * (8 / 160) ** 2 == pytest.approx(1, abs=1e-6)
    size = np.sum(at**2, axis=-1)
    np.testing.assert_allclose(w, 2 / np.pi * (4 * size - 1) * np.exp(-2 * size), atol=1e-12)


def test_a_coherent_state_is_the_same_from_its_moments_and_from_its_density_matrix():
    """And the mean stands at sqrt(N_sp) alpha."""
    at_rest = moments(1)
    covariance = np.array(at_rest.covariance)
    covariance[:, 6:, 6:] = np.eye(4) / 4
    vacuum = dj.Moments(at_rest.t, at_rest.m, at_rest.alpha, jnp.asarray(covariance), 9)
    mean = 3 * complex(at_rest.alpha[0, 1])
    axis, at, w = picture_of_w(vacuum, mode=1, reach=1.5)
    rho = qutip.coherent_dm(40, mean, method="analytic").full()
    np.testing.assert_allclose(w, wigner_of(rho, at[..., 0] + 1j * at[..., 1]), atol=1e-10)
    assert axis.patches[0].center == pytest.approx((mean.real, mean.imag))
    limit = dj.Moments(at_rest.t, at_rest.m, at_rest.alpha, jnp.asarray(covariance), None)
    axis, at, _ = picture_of_w(limit, mode=1)
    np.testing.assert_allclose(at[80, 80], 0, atol=1e-12)
    assert "langle a" in axis.get_xlabel()


def test_multipliers_stand_where_they_are_and_outside_of_the_circle_they_grow():
    orbit = made(dj.PeriodicOrbit)
    axis = dj.plotting.plot_multipliers(orbit)
    growing, decaying, trivial = axis.lines[2:]
    np.testing.assert_allclose(growing.get_xdata() + 1j * growing.get_ydata(), [1.2])
    np.testing.assert_allclose(decaying.get_xdata() + 1j * decaying.get_ydata(), orbit.multipliers[1:])
    assert trivial.get_xdata() == [1.0] and axis.patches[0].radius == 1
    assert [text.get_text() for text in axis.get_legend().texts] == ["1 growing", "3 decaying", "along the orbit"]


def test_a_spectrum_counts_what_it_does_not_show():
    axis = made(dj.Stability).plot()
    shown = {line.get_label(): line.get_xdata() + 1j * line.get_ydata() for line in axis.lines[1:]}
    np.testing.assert_allclose(shown["1 growing"], [0.2])
    np.testing.assert_allclose(shown["2 neutral"], [1j, -1j])
    assert shown["3 decaying"].size == 3


def test_spins_go_where_they_went_and_orbits_close():
    orbit = made(dj.PeriodicOrbit)
    axis = dj.plotting.plot_bloch(orbit, subsets=[1])
    ways = [np.stack(line.get_data_3d()) for line in axis.lines[6:]]  # after circles and axes of the ball
    np.testing.assert_array_equal(ways[0][:, :-1], np.asarray(orbit.m)[:, :, 1].T)
    np.testing.assert_array_equal(ways[0][:, 0], ways[0][:, -1])
    run = dj.mfsolve(MODEL, dj.stored_pattern(MODEL), [0.0, 1.0])
    axis = dj.plotting.plot_bloch(run)
    begin, end = (np.stack(line.get_data_3d())[:, 0] for line in axis.lines[7:9])
    np.testing.assert_array_equal(begin, run.m[0, :, 0])
    np.testing.assert_array_equal(end, run.m[-1, :, 0])


def test_portraits_choose_what_is_worth_a_look_and_close_orbits():
    orbit = made(dj.PeriodicOrbit)
    axis = dj.plotting.plot_phase_portrait(orbit, label="a")
    assert (axis.get_xlabel(), axis.get_ylabel()) == (r"overlap $\xi_{1}$", r"overlap $\xi_{2}$")
    dj.plotting.plot_phase_portrait(orbit, axis, x=("x", 1), y=("im", 0), label="b")
    first, second = axis.lines
    np.testing.assert_array_equal(first.get_xdata()[:-1], orbit.overlaps[:, 0])
    np.testing.assert_array_equal(second.get_ydata()[:-1], np.imag(orbit.alpha)[:, 0])
    assert first.get_xdata()[0] == first.get_xdata()[-1] and first.get_color() != second.get_color()


def test_orbits_stand_beside_states_with_their_edges_and_what_happens():
    states, orbits = made(dj.Branch), made(dj.OrbitBranch)
    axis = orbits.plot(states.plot(pattern=1), pattern=1)
    drawn = [line.get_ydata() for line in axis.lines]
    for edge in (orbits.lowest, orbits.highest):
        y = edge[:, 1]  # solid up to the period doubling, dashed from there on
        doubling = np.interp(1.1, orbits.parameter, y)
        for expected in ([y[0], *y[:4], doubling, np.nan, np.nan], [*5 * [np.nan], doubling, *y[4:]]):
            assert any(len(seen) == 8 and np.allclose(seen, expected, equal_nan=True) for seen in drawn)
    labels = [text.get_text() for text in axis.get_legend().texts]
    assert labels == ["states", "hopf", "orbits, least and largest", "period doubling"]
    hopf = [line for line in axis.lines if line.get_marker() == "^"]
    assert len(hopf) == 2 and hopf[1].get_xdata() == [0.9]  # of states and of orbits, where these have shrunk to one


def plane_of_cues(ends, points=5):
    z = jnp.stack(jnp.meshgrid(*2 * [jnp.linspace(-0.9, 0.9, points)]), axis=-1)
    m = jnp.stack([-jnp.sqrt(1 - z**2), jnp.zeros_like(z), z], axis=-2)
    cues = dj.MeanFieldState(m, jnp.zeros(z.shape))
    starts, found = np.asarray(dj.overlaps(MODEL, cues.m)), made(dj.EnsembleSolution)
    status = jax.tree.map(lambda x: x[: points**2].reshape(points, points), found.status)
    found = replace(found, overlaps=ends(starts), status=status)
    return dj.plotting.plot_cue_plane(found, cues, MODEL), starts


def test_a_plane_of_cues_has_the_colour_of_the_end_at_every_cue():
    """Ends that are told: the nearer pattern, mixtures on one side, nothing in the middle, and a row that failed."""

    def ends(xi):
        found = np.where(np.abs(xi) == np.max(np.abs(xi), axis=-1, keepdims=True), np.sign(xi) * 0.8, 0.0)
        found[0], found[2, 2], found[4, 4] = 0.5, 0.01, np.nan
        return found

    axis, starts = plane_of_cues(ends)
    (mesh,) = axis.collections
    colours = np.asarray(mesh.get_array()).reshape(5, 5, 3)
    one = np.array(to_rgb(COLOURS[1]))
    assert starts[3, 3, 0] > abs(starts[3, 3, 1])
    np.testing.assert_allclose(colours[3, 3], one)
    np.testing.assert_allclose(colours[1, 1], one + 0.55 * (1 - one))  # its negative
    np.testing.assert_allclose(colours[0], 0.55)
    np.testing.assert_allclose(colours[2, 2], 0.93)
    np.testing.assert_allclose(colours[4, 4], 1)
    labels = {text.get_text() for text in axis.get_legend().texts}
    assert labels == {"pattern 1", "$-$ pattern 1", "pattern 2", "$-$ pattern 2", "a mixture", "none: forgotten",
                      "failed"}  # fmt: skip
    corners = np.asarray(mesh.get_coordinates())
    np.testing.assert_allclose((corners[:-1, :-1] + corners[1:, 1:])[2, 2] / 2, starts[2, 2], atol=1e-12)


def mending(frames=4):
    rng = np.random.default_rng(0)
    shown = rng.uniform(-1, 1, (2, frames, 6, 6))
    dims = ("decay", "time", "row", "column")
    share = np.linspace(0.5, 1.0, 2 * frames).reshape(2, frames)
    coords = {"decay": [0.0, 0.1], "time": np.arange(frames) * 1.5}
    return xr.Dataset({"sigma_z": (dims, shown), "share_right": (dims[:2], share)}, coords)


def test_a_film_has_a_frame_for_each_time_which_shows_the_spins(tmp_path):
    results, path = mending(), tmp_path / "film.gif"
    film = dj.plotting.animate_mending(results, path, dpi=40)
    with Image.open(path) as gif:
        assert gif.n_frames == 4 and gif.size == (200, 124)
        frames = [np.asarray(gif.convert("L"), float) for i in range(4) if gif.seek(i) is None]
    # the middles of the pixels of the left panel, which spans 2 % to 48.5 % of the width
    for shown, frame in zip(results.sigma_z.values[0], frames, strict=True):
        left, top, size = 4, 27, 95
        at = ((np.arange(6) + 0.5) / 6 * size).astype(int)
        assert np.corrcoef(frame[np.ix_(top + at, left + at)].ravel(), shown.ravel())[0, 1] > 0.95
    assert [axis.get_title() for axis in film._fig.axes] == ["no decay: 71 % right", "decay 0.1: 100 % right"]


def test_films_of_other_kinds_are_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"path must be a file that ends in \.gif or \.mp4; got .*film\.avi"):
        dj.plotting.animate_mending(mending(), tmp_path / "film.avi")
    monkeypatch.setattr(FFMpegWriter, "isAvailable", lambda: False)
    with pytest.raises(ValueError, match=r"path must be a file that ends in \.gif, as ffmpeg is not installed; got"):
        dj.plotting.animate_mending(mending(), tmp_path / "film.mp4")
    with pytest.raises(ValueError, match=r"results must be those of studies\.picture_mending; got dimensions decay"):
        dj.plotting.animate_mending(mending().drop_vars("sigma_z"))
    assert not plt.get_fignums() and not list(tmp_path.iterdir())


def test_photons_in_time_are_the_squares_of_amplitudes():
    run = dj.mfsolve(MODEL, dj.stored_pattern(MODEL), [0.0, 1.0])
    axis = dj.plotting.plot_photons(run)
    drawn = np.stack([line.get_ydata() for line in axis.lines], axis=1)
    np.testing.assert_allclose(drawn, np.real(run.alpha) ** 2 + np.imag(run.alpha) ** 2, rtol=1e-14)
    assert axis.get_ylim()[0] == 0 and [text.get_text() for text in axis.get_legend().texts] == ["mode 1", "mode 2"]
    two = jax.tree.map(lambda x: jnp.stack([x, x]), run)
    with pytest.raises(ValueError, match=r"solution must be one run with modes.*; got shape \(2, 2, 2\)"):
        dj.plotting.plot_photons(two)


def test_what_help_prints_names_every_function():
    functions = {name for name, it in vars(dj.plotting).items() if inspect.isfunction(it)}
    listed = re.findall(r"^    (\w+)  ", dj.plotting.__doc__, re.MULTILINE)
    assert functions - {"picture_of"} == set(listed) and len(listed) == len(set(listed))


def test_what_cannot_be_drawn_is_refused_in_one_line():
    run = dj.mfsolve(MODEL, dj.stored_pattern(MODEL), [0.0, 1.0])
    P = dj.plotting
    for draw, told in (
        (lambda: P.plot_bloch(run, subsets=[2]), "subsets must be numbers from 0 to 1; got"),
        (lambda: P.plot_bloch(run, plt.subplots()[1]), 'ax must be an Axes with projection="3d"; got Axes'),
        (lambda: P.plot_bloch(dj.MeanFieldState(np.zeros((8, 1)), [])), "result must be of spins, whose mean vectors"),
        (lambda: P.plot_phase_portrait(run, x="overlap"), "x must be a name and a number"),
        (lambda: P.plot_phase_portrait(run, y=("z", 2)), "y must be z with a number from 0 to 1; got 2"),
        (lambda: P.plot_wigner(np.ones((2, 3))), "result must be a Hermitian matrix over photon numbers"),
        (lambda: P.plot_wigner(run), "result must be a result with moments or the density matrix of a mode; got MFSol"),
        (lambda: P.plot_wigner(moments(), time=9), "time must be the index of a saved time, from 0 to 8; got 9"),
        (lambda: P.plot_cue_plane(run, run.final_state, MODEL), "ends must be of a plane of cues"),
        (lambda: made(dj.Branch).plot(pattern=2), "pattern must be a pattern number from 0 to 1; got 2"),
    ):
        with pytest.raises(ValueError, match=told) as error:
            draw()
        assert "\n" not in str(error.value)
