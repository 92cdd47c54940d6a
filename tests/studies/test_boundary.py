"""The boundary of retrieval, by points that are put where it is: against the closed form of the paper."""

import jax.numpy as jnp
import numpy as np
import pytest
from problems import paper

import dicke_jax as dj

pytest.importorskip("adaptive")
MODEL = paper(1.2, 2)
GRID = {"g0": np.linspace(0.3, 1.6, 5), "kappa": np.linspace(0.5, 3.0, 5)}


def retrieves(model, state):
    """1 where the overlap of Eq. 12 with the cue's pattern is finite."""
    return jnp.where(dj.retrieval_overlap(model, 0) > 0, 1.0, 0.0)


def threshold(kappa):
    omega_mode = float(MODEL.omega_mode[0])
    return np.sqrt(float(MODEL.omega_spin) * (omega_mode**2 + kappa**2 / 4) / (2 * omega_mode))


@pytest.fixture(scope="module")
def found():
    return dj.find_boundary(dj.Sweep(MODEL, GRID, retrieves), points=200)


def test_every_crossing_lies_where_it_says_and_points_gather_there(found):
    g0, kappa, width = (found[name].values for name in ("g0_crossing", "kappa_crossing", "half_width"))
    away = np.abs(g0 - threshold(kappa)) / np.ptp(GRID["g0"])
    slope = np.ptp(threshold(GRID["kappa"])) / np.ptp(GRID["g0"])  # the line is not upright: it passes no farther than
    assert (away <= width * (1 + slope)).all() and np.median(width) < 0.03 and width.size > 30
    near = np.abs(found.g0.values - threshold(found.kappa.values)) < 0.1
    assert near.mean() > 0.5 > (0.2 / np.ptp(GRID["g0"]))  # an even grid has a sixth of its points there
    np.testing.assert_array_equal(found["value"].values, found.g0.values > threshold(found.kappa.values))


def test_a_smooth_quantity_is_interpolated():
    """g0 kappa = 1 is a hyperbola."""
    sweep = dj.Sweep(MODEL, GRID, lambda model, state: model.g0 * model.kappa[0])
    found, told = None, []
    found = dj.find_boundary(sweep, level=1.0, points=120, progress=lambda *done: told.append(done))
    away = np.abs(found.g0_crossing.values * found.kappa_crossing.values - 1)
    assert away.max() < 0.02 and told[0] == (0, 120) and told[-1][0] >= 120


def test_what_has_no_plane_is_refused():
    for axes, told in (
        ({"g0": [1.0, 2.0]}, "g0"),
        ({"g0": [1.0, 2.0], "pattern": [0, 1]}, "pattern"),
        ({"g0": [1.0, 2.0], "kappa": [1.0]}, "g0, kappa"),
        ({"g0": [1.0, 2.0], "kappa": [1.0, 2.0], "omega_spin": [1.0, 2.0]}, "g0, kappa, omega_spin"),
    ):
        with pytest.raises(ValueError, match=f"sweep must be over two axes .*; got {told}"):
            dj.find_boundary(dj.Sweep(MODEL, axes, retrieves))
