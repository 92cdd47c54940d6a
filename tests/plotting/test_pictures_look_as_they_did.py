"""A handful of pictures, pixel by pixel, without their text, which fonts would change.

python tests/plotting/test_pictures_look_as_they_did.py      draws them anew: look at each before it is kept
"""

import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.testing.compare import compare_images
from matplotlib.text import Text
from results_of_every_kind import made

import dicke_jax as dj

matplotlib.use("agg")
import matplotlib.pyplot as plt

KEPT = Path(__file__).parent / "pictures"
TOLERANCE = 2.0  # root mean square over the pixels, of 255


def spectrum(sign):
    found = made(dj.Stability)
    return replace(found, eigenvalues=sign * found.eigenvalues).plot()


def multipliers(size):
    found = made(dj.PeriodicOrbit)
    return dj.plotting.plot_multipliers(replace(found, multipliers=size * found.multipliers))


def bloch(size):
    found = made(dj.PeriodicOrbit)
    return dj.plotting.plot_bloch(replace(found, m=size * found.m))


def branches(size):
    orbits = made(dj.OrbitBranch)
    return replace(orbits, highest=size * orbits.highest).plot(made(dj.Branch).plot())


def wigner(size):
    n = np.arange(16)
    cat = np.where(n % 2 == 0, (1.4 * size) ** n / np.sqrt(np.cumprod(np.maximum(n, 1.0))), 0.0)
    return dj.plotting.plot_wigner(np.outer(cat, cat) / np.sum(cat**2), reach=3.0)


def states(sign):
    found = made(dj.StationaryStates)
    return replace(found, overlaps=sign * found.overlaps).plot()


PICTURES = {  # how each is drawn, of a number that is 1, and another of these by which it looks different
    "spectrum": (spectrum, -1.0),
    "multipliers": (multipliers, 0.9),
    "bloch": (bloch, 0.9),
    "branches": (branches, 0.8),
    "wigner": (wigner, 0.5),
    "states": (states, -1.0),
}


def drawn(name, number, path):
    with plt.style.context("default"), matplotlib.rc_context({"savefig.dpi": 50, "path.simplify": False}):
        figure = PICTURES[name][0](number).figure
        for axis in figure.axes:
            if axis.get_legend() is not None:
                axis.get_legend().remove()
        for text in figure.findobj(Text):
            text.set_visible(False)
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)
    return str(path)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_looks_as_it_did_and_another_would_be_told(name, tmp_path):
    kept = tmp_path / "kept.png"  # differences are written beside it
    kept.write_bytes((KEPT / f"{name}.png").read_bytes())
    assert compare_images(str(kept), drawn(name, 1.0, tmp_path / "now.png"), TOLERANCE) is None
    other = compare_images(str(kept), drawn(name, PICTURES[name][1], tmp_path / "other.png"), TOLERANCE)
    assert other is not None and "Error" in other


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    for picture in sys.argv[1:] or PICTURES:
        print(drawn(picture, 1.0, KEPT / f"{picture}.png"))
