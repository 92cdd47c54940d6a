"""Studies of pictures, quenches and ramps, and their plots."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from problems import paper, rates_of, spin_by_spin

import dicke_jax as dj


def pictures(size=12):
    """A disc, quadrants, stripes: nearly orthogonal."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return np.stack([np.hypot(x, y) < 0.8, x * y > 0, np.floor(3 * (x + 1)) % 2 == 0]).astype(float)


def test_images_become_patterns_from_arrays_and_files(tmp_path):
    images = pictures()
    from_arrays = np.asarray(dj.image_patterns(images))
    np.testing.assert_array_equal(from_arrays, np.where(images > 0.5, 1, -1))
    paths = []
    for i, image in enumerate(images):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray((50 + 150 * image).astype(np.uint8)).save(paths[-1])
    np.testing.assert_array_equal(dj.image_patterns(paths), from_arrays)
    np.testing.assert_array_equal(dj.image_patterns([str(path) for path in paths]), from_arrays)


def test_flipped_spins_are_flipped_with_their_probability():
    z = jnp.ones(40_000)
    flipped = np.asarray(dj.flip_spins(jax.random.key(0), z, 0.3))
    assert set(np.unique(flipped)) == {-1.0, 1.0}
    assert np.mean(flipped < 0) == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / 40_000))


MODEL = paper(1.5, num_patterns=3)
FRAMES = jnp.array([0.0, 2.0, 60.0, 200.0])


@pytest.fixture(scope="module")
def mending():
    return dj.studies.picture_mending(jax.random.key(1), dj.image_patterns(pictures()), MODEL, FRAMES, flip=0.2)


def test_flipped_pixels_are_mended_with_weak_decay_and_only_then(mending):
    assert mending.sigma_z.shape == (2, 4, 12, 12)
    cue = float(mending.share_right[0, 0])
    assert 0.7 < cue < 0.9
    np.testing.assert_allclose(mending.share_right.sel(decay=0.0)[-1], cue, atol=1e-12)
    assert float(mending.share_right.sel(decay=0.1)[-1]) == 1.0
    assert (abs(mending.overlap.sel(decay=0.0, pattern=0)) <= 2 * cue - 1 + 1e-8).all()


def test_what_the_pixels_show_is_every_spin_integrated_on_its_own(mending):
    """All 144 spins one by one, without decay, in SciPy."""
    G = np.asarray(dj.image_patterns(pictures())).reshape(3, -1)
    cue = mending.sigma_z.values[0, 0].ravel()
    bloch = np.stack([0 * cue, 0 * cue, cue])
    exact, _ = spin_by_spin(G, rates_of(MODEL), bloch, np.zeros(3), np.array([0.0, 2.0]), tol=1e-11)
    np.testing.assert_allclose(mending.sigma_z.values[0, 1].ravel(), exact[-1, 2], atol=1e-7)


@pytest.fixture(scope="module")
def loop():
    return dj.studies.ramp_hysteresis(paper(num_patterns=2), 0.3, 1.2, 300.0, points=91)


def test_a_ramp_loses_the_overlap_at_threshold_and_finds_it_late(loop):
    g_crit, up, down = float(loop.g_crit), loop.overlap.sel(direction="up"), loop.overlap.sel(direction="down")
    assert g_crit == pytest.approx(np.sqrt(5 / 12))
    far = loop.g0 > 1.1
    np.testing.assert_allclose(down[far], loop.theory[far], atol=0.05)
    np.testing.assert_allclose(up[far], loop.theory[far], atol=0.05)
    onset_up, onset_down = (float(loop.g0[(branch > 0.3).values].min()) for branch in (up, down))
    assert onset_up > g_crit + 0.05 and abs(onset_down - g_crit) < 0.05
    assert float(up[loop.g0 < g_crit].max()) < 0.05


def test_a_quench_through_threshold_ends_in_the_retrieval_state():
    model = paper(num_patterns=2)
    run = dj.studies.quench(model, 0.4, 1.0, jnp.linspace(0.0, 300.0, 31), seed=1e-2)
    assert abs(float(run.overlap[0, 0])) < 0.02
    assert abs(float(run.overlap[-1, 0])) == pytest.approx(float(dj.retrieval_overlap(paper(1.0), 0)), abs=1e-3)
    back = dj.studies.quench(model, 1.0, 0.4, jnp.linspace(0.0, 300.0, 31))
    assert abs(float(back.overlap[0, 0])) > 0.9 and abs(float(back.overlap[-1, 0])) < 1e-3


def test_pictures_show_the_numbers(mending, loop):
    frames = dj.plotting.plot_mending(mending)
    assert "100 %" in frames[1][-1].get_title() and "100 %" not in frames[0][-1].get_title()
    np.testing.assert_array_equal(frames[0][0].images[0].get_array(), dj.image_patterns(pictures())[0])
    np.testing.assert_array_equal(frames[0][1].images[0].get_array(), mending.sigma_z[0, 0])
    assert frames[0][0].get_title() == "stored\npicture 1" and "% right pixels" in frames[1][1].get_title()
    white, black = (frames[0][1].images[0].to_rgba(np.array([value]))[0] for value in (1.0, -1.0))
    np.testing.assert_array_equal([white[:3], black[:3]], [[1, 1, 1], [0, 0, 0]])

    G = np.asarray(dj.random_patterns(jax.random.key(0), 3, 30))
    panels = dj.plotting.plot_mapping(G, dj.map_to_large_spins(G))
    assert len(panels) == 3 and (panels[1].images[0].get_array()[0] == 1).all()
    reordered = np.asarray(panels[2].images[0].get_array())
    assert (np.diff(reordered[1]) <= 0).all() and len(panels[2].lines) == 3
    assert len(dj.plotting.plot_mapping(G, dj.map_to_large_spins(G, gauge=False))) == 2

    axis = dj.plotting.plot_hysteresis(loop)
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), loop.overlap.sel(direction="up"))
    plt.close("all")


def test_pictures_of_a_run_that_ended_at_another_picture_say_which(mending):
    end = mending.overlap.copy()
    end[1, -1] = [0.05, -0.9, 0.2]
    end[0, -1] = [0.5, 0.1, 0.6]
    frames = dj.plotting.plot_mending(mending.assign(overlap=end), plt.subplots(2, 4)[1])
    assert frames[1][-1].get_title().endswith("ended at picture 2")
    assert frames[0][-1].get_title().endswith("nearest: picture 3")
    assert "picture" not in frames[1][0].get_title()  # a cue has not ended
    with pytest.raises(ValueError, match=r"ax must be 2 rows of 4 or 5 Axes; got shape \(2, 3\)"):
        dj.plotting.plot_mending(mending, plt.subplots(2, 3)[1])
    plt.close("all")


def test_bad_arguments_are_named():
    images, key = dj.image_patterns(pictures()), jax.random.key(0)
    sampled = MODEL.replace(spins=dj.map_to_large_spins(images.reshape(3, -1)).spins)
    for call, message in (
        (lambda: dj.image_patterns(np.ones(4)), "images must be of shape"),
        (lambda: dj.flip_spins(key, jnp.ones(3), 2.0), "flip must be a probability"),
        (
            lambda: dj.studies.picture_mending(jax.random.key(0), images[:2], MODEL, FRAMES),
            r"pictures must be of shape \(3",
        ),
        (lambda: dj.studies.picture_mending(jax.random.key(0), images, MODEL, FRAMES, pattern=3), "pattern must be"),
        (lambda: dj.studies.ramp_hysteresis(MODEL, 1.0, 0.5, 10.0), "g0_low and g0_high must be increasing"),
        (lambda: dj.studies.ramp_hysteresis(MODEL, 0.5, 1.0, -1.0), "duration must be positive"),
        (lambda: dj.studies.quench(sampled, 0.5, 1.0, FRAMES, pattern=2), r"model\.spins must be patterns"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
