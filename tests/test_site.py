"""The pages of the site: every block of Python runs and prints what it says, every command and every study exists."""

import re
import shlex

import jax
import matplotlib
import numpy as np
import pytest
from pages import BLOCK, DOCS, SLOW, blocks, pages, run

import dicke_jax as dj
from dicke_jax.cli.main import build_parser

NUMBER = r"-?\d+\.?\d*(?:e[+-]?\d+)?"
PAGES = [pytest.param(p, marks=[pytest.mark.slow] if SLOW in p.read_text() else []) for p in pages("python")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_pages_run_and_print_what_they_say(page, tmp_path, monkeypatch):
    """With JAX's own promotion, as readers have it; one process, so that pages share what is compiled."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    text = page.read_text()
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        found = run(page)
    for block in found:
        said = text[slice(*block.said)] if block.said else block.printed
        assert re.sub(NUMBER, "#", block.printed).split() == re.sub(NUMBER, "#", said).split(), block.printed
        numbers = [np.array(re.findall(NUMBER, what), dtype=float) for what in (block.printed, said)]
        np.testing.assert_allclose(*numbers, rtol=1e-3, atol=2e-4)


def test_commands_on_pages_exist():
    found = [block for page in pages("sh") for block in BLOCK.findall(page.read_text())]
    lines = "".join(code for language, code in found if language == "sh").splitlines()
    commands = [line for line in lines if line.startswith("dicke-jax ")]
    assert len(commands) > 8
    for command in commands:
        build_parser().parse_args(shlex.split(command, comments=True)[1:])


def test_study_files_on_pages_are_studies():
    studies = [b[1] for page in pages("toml") for b in BLOCK.findall(page.read_text()) if b[0] == "toml"]
    assert studies and all(dj.Sweep.from_toml(study).axes.num_rows for study in studies)


def test_every_public_name_has_its_place_in_the_reference():
    shown = re.findall(r"^::: (\S+)", "".join(p.read_text() for p in sorted((DOCS / "api").glob("*.md"))), re.M)
    assert len(shown) == len(set(shown))
    rooms = {"examples", "gallery", "phases", "inference", "finite_size", "studies", "plotting", "__version__"}
    of_studies = set(vars(dj.studies))  # shown where they are from
    assert {f"dicke_jax.{name}" for name in dj.__all__ if name not in rooms | of_studies} <= set(shown)
    for room in ("studies", "plotting"):
        names = {name for name, it in vars(getattr(dj, room)).items() if callable(it) and not name.startswith("_")}
        assert {f"dicke_jax.{room}.{name}" for name in names} <= set(shown)
    for name in shown:
        _, *path, last = name.split(".")
        assert hasattr(getattr(dj, path[0]) if path else dj, last), name


def test_tests_and_commands_that_pages_name_exist():
    """Those that reproduce what is published, and those that contributors are told to run."""
    named = set()
    for page in [*sorted(DOCS.rglob("*.md")), DOCS.parent / "CONTRIBUTING.md"]:
        named |= set(re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", page.read_text()))
    assert len(named) > 30
    for path, test in named:
        text = (DOCS.parent / path).read_text()
        assert not test or f"def {test}(" in text, (path, test)


def test_pages_name_pictures_that_exist_and_have_code_that_is_told_apart():
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text()
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            assert (page.parent / picture).exists(), f"{page}: {picture}"
        assert len(blocks(text)) == text.count("```python"), f"{page}: a block that is not closed, or indented"
