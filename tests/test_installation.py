"""What is given out: a wheel and an archive of the source, built from the files of the repository, in new environments.

Packages come from the index that pip is set up for; two gigabytes are written, and removed.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def run(*command, cwd, **environment):
    """Without what this process or its environment has on the path."""
    own = {name: x for name, x in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(command, cwd=cwd, env=own | environment, capture_output=True, text=True, timeout=1500)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    return ended.stdout


def environment(folder):
    venv.create(folder, with_pip=True)
    return str(folder / "bin" / "python")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the archive, by hatchling as it comes, from a copy of what git knows."""
    folder = tmp_path_factory.mktemp("built")
    known = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, known):
        (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "copy" / name)
    python = environment(folder / "env")
    run(python, "-m", "pip", "install", "-q", "hatchling", cwd=folder)
    run(python, "-m", "hatchling", "build", "-d", str(folder / "dist"), cwd=folder / "copy")
    (wheel,), (archive,) = (list((folder / "dist").glob(kind)) for kind in ("*.whl", "*.tar.gz"))
    yield wheel, archive, [name for name in known if name]
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """An environment with the wheel and what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    python = environment(folder / "env")
    run(python, "-m", "pip", "install", "-q", str(built[0]), cwd=folder)
    yield python
    shutil.rmtree(folder)


def test_the_wheel_has_the_package_and_nothing_else(built):
    wheel, _, known = built
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        about = next(opened.read(name).decode() for name in names if name.endswith("METADATA"))
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"dicke_jax"}
    assert {name for name in names if ".dist-info/" not in name} == {n for n in known if n.startswith("dicke_jax/")}
    assert "dicke_jax/py.typed" in names and any(name.endswith("licenses/LICENSE") for name in names)
    assert "Requires-Python: >=3.11" in about and "Provides-Extra: notebooks" in about and "# dicke_jax" in about


def test_the_archive_has_all_that_the_repository_has(built):
    """Tests and documentation, too, so that they can be run from it."""
    _, archive, known = built
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {name for name in known if not name.startswith((".github", ".ci"))} - names == set()


def test_the_wheel_runs_without_extras(installed, tmp_path):
    code = "import dicke_jax as dj, sys; assert 'site-packages' in dj.__file__; print(sorted(sys.modules))"
    loaded = run(installed, "-c", code, cwd=tmp_path)
    assert not {"zarr", "distributed", "blackjax", "dynamiqs", "matplotlib", "scipy.integrate"} & set(
        re.findall(r"'([\w.]+)'", loaded)
    )
    example = re.search(r"```python\n(.*?)```", README, re.S)[1]
    shown = re.search(r"```text\n(.*?)```", README, re.S)[1]
    printed = run(installed, "-c", example, cwd=tmp_path)
    assert printed.splitlines()[0] == shown.splitlines()[0] and "successful" in printed
    for arguments in (["-m", "dicke_jax"], [str(Path(installed).parent / "dicke-jax")]):
        called = [installed, *arguments] if arguments[0] == "-m" else arguments
        told = run(*called, "critical", "--patterns", "2", "--json", cwd=tmp_path)
        assert json.loads(told)
    points = ("--points", "4", "--patterns", "2", "--out", "out")
    run(installed, "-m", "dicke_jax", "transition", *points, cwd=tmp_path)
    assert (tmp_path / "out" / "transition.png").stat().st_size > 10_000


def test_what_needs_an_extra_says_which(installed, tmp_path):
    code = """
import dicke_jax as dj
try:
    dj.Sweep(dj.examples.paper_model(), {"pattern": range(2)}, "critical_coupling").run(store="store")
except ImportError as error:
    print(error)
"""
    assert 'pip install "dicke-jax[studies]"' in run(installed, "-c", code, cwd=tmp_path)


def test_the_archive_installs_and_notebooks_open(built, tmp_path_factory):
    """From the source, with the extra that the first page of each notebook names."""
    folder = tmp_path_factory.mktemp("notebooks")
    python = environment(folder / "env")
    run(python, "-m", "pip", "install", "-q", f"{built[1]}[notebooks]", cwd=folder)
    notebook = shutil.copy(ROOT / "notebooks" / "01_first_retrieval.ipynb", folder)
    run(python, "-m", "jupyter", "execute", "--inplace", "--kernel_name=python3", str(notebook), cwd=folder)
    cells = json.loads(Path(notebook).read_text())["cells"]
    outputs = [out for cell in cells if cell["cell_type"] == "code" for out in cell["outputs"]]
    assert sum("image/png" in out.get("data", {}) for out in outputs) >= 3
    shutil.rmtree(folder)
