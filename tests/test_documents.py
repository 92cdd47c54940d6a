"""What README, notebooks and benchmarks show is executed."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from dicke_jax.dynamics._loop.kernel import TESTED

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RUNS = [NOTEBOOKS[0], *(pytest.param(path, marks=pytest.mark.slow) for path in NOTEBOOKS[1:])]
NUMBER = r"-?\d+\.\d+"


def test_readme_s_python_runs_and_prints_what_it_says(tmp_path):
    """In a process of its own, with JAX as a newcomer has it."""
    code = "".join(re.findall(r"```python\n(.*?)```", README, re.S))
    code += "assert end.successful and jnp.isfinite(slopes).all() and own_slope < 0\n"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert run.returncode == 0, run.stderr
    shown = re.search(r"```text\n(.*?)```", README, re.S)[1]
    assert re.sub(NUMBER, "", run.stdout).split("steps")[0] == re.sub(NUMBER, "", shown).split("steps")[0]
    numbers = [np.array(re.findall(NUMBER, text), dtype=float) for text in (run.stdout, shown)]
    np.testing.assert_allclose(*numbers, atol=2e-4)


def test_readme_s_first_example_is_ten_lines_and_retrieves():
    block = re.search(r"```python\n(.*?)```", README, re.S)[1]
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    before, after = (
        re.findall(NUMBER, part) for part in re.search(r"overlaps +(\[.*?\]) -> (\[.*?\])", README).groups()
    )
    assert float(after[2]) > float(before[2]) + 0.1


def test_readme_names_files_that_exist_and_has_the_two_commands():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    commands = re.findall(r"^python3 -m venv .*$", README, re.M)
    assert len(commands) == 2 and "dicke-jax transition" in commands[0] and "pytest" in commands[1]
    rooms = re.findall(r"`(\w+(?:\.py|/))`", README.split("## Find your way")[1].split("The unit")[0])
    assert len(rooms) > 8 and all((ROOT / "dicke_jax" / room).exists() for room in rooms)


def test_readme_and_the_site_state_the_versions_that_are_tested():
    """JAX: what the compiled loop knows, from what pyproject.toml allows on. Python: the classifiers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = [kind.split(" :: ")[-1] for kind in project["classifiers"] if "Python :: 3." in kind]
    assert project["requires-python"] == f">={pythons[0]}" and f"jax>={TESTED[0]}" in project["dependencies"]
    stated = f"Python {pythons[0]} to {pythons[-1]} and JAX {TESTED[0]} to {TESTED[-1]} are supported"
    assert stated in README and stated in (ROOT / "docs" / "index.md").read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    pictures = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs if "data" in out]
    assert sum("image/png" in picture["data"] for picture in pictures) >= 3
    assert path.stat().st_size < 600_000
