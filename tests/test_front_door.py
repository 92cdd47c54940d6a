"""The names of the package: what there is, what loads late, what is called differently now."""

import subprocess
import sys

import pytest

import dicke_jax as dj
from dicke_jax import _renamed

LATE = ("phases", "inference", "finite_size", "studies", "plotting", "gallery")
# names that notebooks, benchmarks and pages of others rely on
# fmt: off
PROMISED = {
    "random_patterns", "map_to_large_spins", "SpinMapping", "LargeSpins", "DickeModel", "LocalDissipation",
    "stored_pattern", "corrupted_pattern", "tilted_pattern", "random_state", "MeanFieldState", "mfsolve",
    "solve_ensemble", "steadystate", "retrieval_overlap", "retrieval_state", "critical_coupling", "stability",
    "stationary_states", "fit", "invert_critical_coupling", "Status", "examples", "show_versions", "studies",
    "plotting",
}
# fmt: on


def in_a_new_process(code):
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_every_name_of_the_contents_resolves_and_no_name_stands_twice():
    assert len(dj.__all__) == len(set(dj.__all__))
    for name in dj.__all__:
        assert getattr(dj, name) is not None
    assert set(dj.__all__) >= PROMISED
    assert dir(dj) == sorted(dj.__all__)


def test_public_things_say_what_they_are():
    for name in set(dj.__all__) - {"__version__"}:
        assert getattr(dj, name).__doc__, name


def test_what_loads_late_is_in_the_table_and_in_its_room():
    for room, names in dj._LATE.items():
        assert {room, *names} <= set(dj.__all__)
        for name in names:
            assert getattr(dj, name) is getattr(getattr(dj, room), name)
    assert tuple(dj._LATE) == LATE
    in_rooms = {name for room in LATE[:3] for name in dj._LATE[room]}
    assert in_rooms.isdisjoint(vars(dj))  # or the table would hide the room


def test_late_rooms_load_within_a_trace():
    """As where the first use of one is inside jax.jit: what a room computes when it is read must not be traced."""
    rooms = [f"dicke_jax.{room}" for room in LATE]
    code = (
        f"import importlib, jax, dicke_jax; jax.jit(lambda x: [importlib.import_module(r) for r in {rooms}] and x)(0.0)"
    )
    in_a_new_process(code)


def test_a_misspelt_name_imports_nothing_and_is_refused_at_once():
    names = ["mfsolv", "fitt", "nothing_like_it", "fitting", "arclength", "Tracer", "np", "_x"]
    code = (
        f"import sys, dicke_jax as dj; before = set(sys.modules)\n"
        f"for name in {names}:\n"
        f"    try: getattr(dj, name)\n"
        f"    except AttributeError as error: print(error)\n"
        f"    else: raise SystemExit(f'{{name}} resolved')\n"
        f"print({{m.split('.')[0] for m in set(sys.modules) - before}} <= {{'difflib'}})"
    )
    *told, nothing = in_a_new_process(code).splitlines()
    assert nothing == "True"
    for name, line in zip(names, told, strict=True):
        assert line.startswith(f"module 'dicke_jax' has no attribute {name!r}")
    assert told[0].endswith("did you mean 'mfsolve'?") and told[1].endswith("did you mean 'fit'?")
    assert "did you mean" not in told[2]


def test_looking_at_the_contents_loads_no_late_room():
    found = in_a_new_process(
        "import sys, dicke_jax as dj; dir(dj)\nprint([r for r in dj._LATE if f'dicke_jax.{r}' in sys.modules])"
    )
    assert found == "[]"
    in_a_new_process("from dicke_jax import fit, mesolve\nfrom dicke_jax import *\nassert fit and studies and mfsolve")


@pytest.mark.parametrize("old", _renamed.RENAMED)
def test_an_old_name_works_and_warns_with_the_new_one(old):
    new = _renamed.RENAMED[old]
    assert new in dj.__all__ and old not in dj.__all__
    with pytest.warns(DeprecationWarning, match=rf"dicke_jax\.{old} is now dicke_jax\.{new}") as told:
        found = getattr(dj, old)
    members = _renamed.RENAMED_MEMBERS.get(old, {})
    for was, now in members.items():
        assert bool(getattr(found, was) == getattr(getattr(dj, new), now)) and f"{old}.{was}" in str(told[0].message)
    assert members or found is getattr(dj, new)


def test_an_old_enumeration_still_tells_its_texts():
    with pytest.warns(DeprecationWarning):
        old = dj.SteadyStatus
    assert bool(dj.Status.oscillating == old.oscillating)
    assert "oscillating" in old[dj.Status.oscillating]
    with pytest.raises(AttributeError):
        _ = old.never_was


def test_the_warning_points_at_the_line_that_asks():
    code = "import warnings, dicke_jax as dj\nwith warnings.catch_warnings(record=True) as told:\n    "
    code += "warnings.simplefilter('always'); dj.SteadyStatus\nprint(told[0].filename)"
    assert in_a_new_process(code) == "<string>"


def test_versions_are_shown(capsys):
    dj.show_versions()
    shown = capsys.readouterr().out
    for word in ("dicke-jax", "jaxlib", "diffrax", "equinox", "numpy", "python", "devices", "float64", "CPU kernel"):
        assert word in shown
    assert dj.__version__ in shown
