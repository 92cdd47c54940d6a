"""The arrows of the house: a file imports only from rooms above its own in this list."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dicke_jax"
ROOMS = [
    ["_typing", "_checks"],
    ["couplings.patterns", "couplings.operators"],
    ["couplings.large_spins"],
    ["couplings.mapping"],
    ["couplings"],
    ["schedules"],
    ["dissipation"],
    ["model"],
    ["state"],
    ["symmetry"],
    ["equations", "observables"],
    ["self_consistency"],
    ["dynamics.kernels"],
    ["dynamics.whole_run"],
    ["dynamics.taylor"],
    ["dynamics.replay"],
    ["dynamics.solve"],
    ["dynamics.steady"],
    ["dynamics.chaos", "dynamics.ensemble"],
    ["dynamics.attractors"],
    ["dynamics"],
    ["phases.retrieval", "phases.spectrum", "phases.retrieval_branch", "phases.linearised", "phases.search"],
    ["phases.krylov", "phases.normal"],
    ["phases.stability"],
    ["phases.critical", "phases.stationary", "phases.arclength"],
    ["phases.continuation"],
    ["phases.ends"],
    ["phases.basins"],
    ["phases"],
    ["finite_size.moments", "finite_size.large_spin_space"],
    ["finite_size.single_spins", "finite_size.cut_off", "finite_size.displaced_frame"],
    ["finite_size.theorem", "finite_size.lindblad", "finite_size.fluctuations", "finite_size.wigner"],
    ["finite_size.stationary_fluctuations", "finite_size.trajectories"],
    ["finite_size"],
    ["inference.parameters"],
    ["inference.descent"],
    ["inference.invert", "inference.held", "inference.runs", "inference.design"],
    ["inference.locate", "inference.objectives", "inference.measurements", "inference.information"],
    ["inference.losses", "inference.unknowns"],
    ["inference.result"],
    ["inference.fit", "inference.posterior"],
    ["inference"],
    ["studies.results"],
    [
        "studies.transition",
        "studies.ramp",
        "studies.mending",
        "studies.basins",
        "studies.diagrams",
        "studies.exactness",
    ],
    ["studies"],
    ["plotting.style"],
    ["plotting.memory", "plotting.phases", "plotting.exactness", "plotting.fits"],
    ["plotting"],
    [""],
    ["commands"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: level for level, room in enumerate(ROOMS) for name in room}
INSIDE_THE_FIRST_ROOM = {("_checks", "_typing")}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, inside functions and type-checking blocks included."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "dicke_jax" for alias in node.names), f"{path}: absolute import"
        if not isinstance(node, ast.ImportFrom):
            continue
        assert node.level or (node.module or "").split(".")[0] != "dicke_jax", f"{path}: absolute import"
        if node.level:
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if package else []
            target = ".".join([*base, node.module] if node.module else base)
            for alias in node.names:
                submodule = f"{target}.{alias.name}".lstrip(".")
                found.add(submodule if submodule in LEVEL else target)
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_arrows_point_one_way(path):
    name = module_name(path)
    assert name in LEVEL, f"{name or '__init__'} has no room yet: give it one in ROOMS"
    for target in imports(path):
        upward = LEVEL[target] < LEVEL[name] or (name, target) in INSIDE_THE_FIRST_ROOM
        assert upward, f"{name} imports {target}, which is not above it"


def test_the_check_sees_imports_inside_functions(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "dynamics").mkdir()
    (tmp_path / "dynamics" / "solve.py").write_text(
        "def f():\n    from ..studies import results\n    from .. import cli\n"
    )
    assert imports(tmp_path / "dynamics" / "solve.py") == {"studies.results", "cli"}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= (80 if path.name == "equations.py" else 310)


def test_import_is_light_and_flips_no_global_flag():
    code = (
        "import sys, jax; before = dict(jax.config.values); import dicke_jax; "
        "assert dict(jax.config.values) == before; "
        "heavy = ('matplotlib', 'xarray', 'rich', 'pandas', 'scipy.integrate', 'dynamiqs', 'blackjax'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
