"""The arrows of the house: a room imports only from rooms above it, and nothing goes round in a circle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dicke_jax"
ROOMS = [  # in the order of the paper: a room imports only from rooms before it
    ("_typing", "_checks", "_door", "_implicit", "_interrupts", "_labelled", "_progress", "_status", "_summary"),
    ("couplings",),
    ("mean_field",),
    ("examples", "gallery"),
    ("dynamics",),
    ("phases",),
    ("finite_size",),
    ("inference",),
    ("studies",),
    ("plotting",),
    ("_renamed", "_versions"),
    ("",),
    ("cli",),
    ("__main__",),
]
LEVEL = {name: level for level, names in enumerate(ROOMS) for name in names}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[0]


def imports(path: Path, modules: set[str]) -> set[str]:
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
                found.add(submodule if submodule in modules else target)
    return found


FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {module_name(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_rooms_are_in_the_order_of_the_paper(path):
    name = module_name(path)
    assert room_of(name) in LEVEL, f"{name} is in no room: give it one in ROOMS"
    for target in imports(path, MODULES):
        same = room_of(target) == room_of(name)
        assert same or LEVEL[room_of(target)] <= LEVEL[room_of(name)], f"{name} imports {target}, of a later room"


def test_no_module_imports_itself_by_way_of_others():
    remaining = {module_name(path): imports(path, MODULES) - {module_name(path)} for path in FILES}
    while remaining:
        free = {name for name, targets in remaining.items() if not targets & remaining.keys()}
        assert free, f"a circle among {sorted(remaining)}"
        remaining = {name: targets for name, targets in remaining.items() if name not in free}


def test_the_check_sees_imports_inside_functions(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "dynamics").mkdir()
    (tmp_path / "dynamics" / "solve.py").write_text(
        "def f():\n    from ..studies import results\n    from .. import cli\n"
    )
    assert imports(tmp_path / "dynamics" / "solve.py", {"studies.results", "cli"}) == {"studies.results", "cli"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=module_name)
def test_no_module_is_hidden_by_a_name_of_its_package(path):
    """`room.fit` is a function or a module, not whichever was imported last."""
    modules = {module_name(file).rpartition(".")[2] for file in path.parent.iterdir() if file.suffix == ".py"}
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom) and node.module]
    hidden = modules & {alias.asname or alias.name for node in nodes for alias in node.names}
    assert not hidden, f"{sorted(hidden)} are modules of {path.parent.name} and names in it"


def test_one_door_integrates_the_mean_field_equations():
    rooms = ("dynamics", "phases", "inference", "studies")
    callers = {
        module_name(path) for path in FILES if room_of(module_name(path)) in rooms and names(path) & {"diffeqsolve"}
    }
    assert callers == {"dynamics.integrate"}


def test_one_folder_knows_of_xla_and_public_classes_carry_no_flag_for_it():
    knowing = {module_name(path) for path in FILES if names(path) & {"xla_metadata", "set_xla_metadata", "elementwise"}}
    assert knowing and all(name.startswith("dynamics._loop") for name in knowing)


def test_one_folder_knows_of_cuda():
    knowing = {module_name(path) for path in FILES if names(path) & {"ctypes", "unsafe_buffer_pointer", "nvrtc"}}
    assert knowing and all(name.startswith("dynamics._gpu") for name in knowing)


def names(path: Path) -> set[str]:
    """Every identifier in a file: names, attributes, imports, parts of modules' names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name | ast.Attribute):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {part for alias in node.names for part in alias.name.split(".")}
            found |= set((getattr(node, "module", None) or "").split("."))
    return found


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
