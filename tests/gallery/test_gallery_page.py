"""docs/gallery.md names all models, its code runs, and its pictures are those that its script draws."""

import re
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import dicke_jax as dj

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "gallery.md").read_text()


def test_the_page_has_all_models_and_files_that_exist():
    assert set(re.findall(r"^\| `(\w+)\(", PAGE, re.M)) == set(dj.gallery.__all__)
    pictures = re.findall(r"\]\((?!http)([^)#]+\.png)\)", PAGE)
    assert {Path(picture).stem for picture in pictures} == set(dj.gallery.__all__)
    assert all((DOCS / picture).exists() for picture in pictures)


def test_the_page_s_python_runs():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict = {}
    exec(code, names)
    assert names["growth"] > 0 and names["slope"] > 0


@pytest.mark.slow
def test_all_pictures_are_drawn(tmp_path):
    plt.switch_backend("agg")
    runpy.run_path(str(DOCS / "gallery_pictures.py"))["draw"](tmp_path)
    assert {path.stem for path in tmp_path.glob("*.png")} == set(dj.gallery.__all__)
