"""The two ends of what pyproject.toml allows, each in an environment of its own, which is removed at the end.

    python3.11 -m tests.versions oldest             the least version of every dependency
    python3.13 -m tests.versions newest             whatever is newest today
    python -m tests.versions oldest tests/phases    other tests than those below

Any Python will do that has venv; it is the one that is tested.
"""

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = [  # what hangs most on others' insides: the compiled loop, adjoints, recompilation; and something of each room
    "tests/dynamics/test_kernel.py",
    "tests/dynamics/test_replay_adjoint.py",
    "tests/dynamics/test_recompilation.py",
    "tests/dynamics/test_ensemble.py",
    "tests/dynamics/gpu",
    "tests/couplings",
    "tests/mean_field/test_rates.py",
    "tests/phases/test_critical_couplings.py",
    "tests/finite_size/test_theorem.py",
    "tests/inference/test_threshold_inversion.py",
    "tests/studies/test_sweep.py",
    "tests/studies/test_saved.py",
    "tests/test_documents.py::test_readme_s_python_runs_and_prints_what_it_says",
]


TOOLS = ("pytest", "pytest-xdist", "hypothesis", "beartype", "scipy", "qutip", "ipykernel", "nbclient")


def least() -> list[str]:
    """The lower bounds of what the package and its studies need, as pip's constraints. Other extras ask for more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["studies"]]
    return [need.replace(">=", "==") for need in needed]


def main(end: str, tests: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder, "env"), with_pip=True)
        python, constraints = str(Path(folder, "env", "bin", "python")), Path(folder, "constraints.txt")
        constraints.write_text("\n".join(least() if end == "oldest" else []))
        needed = "-c", constraints, "-e", f"{ROOT}[studies]", *TOOLS
        subprocess.run([python, "-m", "pip", "install", "-q", *needed], check=True)
        subprocess.run([python, "-c", "import dicke_jax; dicke_jax.show_versions()"], cwd=folder, check=True)
        warnings = ["-W", "default"] if end == "oldest" else []  # of old packages about newer ones
        asked = python, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *warnings, *(tests or TESTS)
        return subprocess.run(asked, cwd=ROOT).returncode


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in ("oldest", "newest"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
