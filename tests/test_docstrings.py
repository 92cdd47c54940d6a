"""Docstrings say what can be checked without reading them: arguments, shapes, what comes back, what is refused.

That they are right is for examples (test_examples_in_docstrings.py) and readers.
"""

import dataclasses
import inspect
import re
import typing

import pytest

import dicke_jax as dj

OLD = {"side"}  # names of arguments that still work, with a warning
OTHERS = {"options"}  # "others go to mfsolve"
INSIDE = {"frozen_at", "sees_time", "dtype"}  # fields that are not for users
NOTHING_TO_REFUSE = {"mean_field_equations", "show_versions"}
OF_THE_PAPER = [
    "random_patterns", "map_to_large_spins", "HypercubeCouplings", "DickeModel", "LocalDissipation",
    "stored_pattern", "overlaps", "occupations", "mean_field_equations", "critical_coupling", "retrieval_overlap",
    "retrieval_state", "retrieval_probability", "mesolve", "mcsolve", "scaled_error", "theorem_constants",
    "check_theorem",
]  # fmt: skip
WITHOUT_EQUATION = {  # reading, writing, switches, drawing lots, and what only hands on
    "image_patterns", "flip_spins", "show_progress", "show_versions", "use_cpu_kernel", "use_gpu_kernel", "save",
    "load", "solve_ensemble", "free_rates", "save_results", "open_results", "open_store",
}  # fmt: skip
STUDIES = {name: it for name, it in vars(dj.studies).items() if callable(it)}
PUBLIC = {name: getattr(dj, name) for name in dj.__all__} | STUDIES
FUNCTIONS = {name: it for name, it in PUBLIC.items() if inspect.isfunction(it)}
CLASSES = {name: it for name, it in PUBLIC.items() if inspect.isclass(it)}
RECORDS = {name: it for name, it in CLASSES.items() if dataclasses.is_dataclass(it) or hasattr(it, "_fields")}


def said(thing):
    """The docstring without its examples."""
    return (inspect.getdoc(thing) or "").split("**Example**")[0]


def names_in(text):
    return {name.removeprefix("*") for name in re.findall(r"`\*{0,2}([\w.]+)`", text)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_are_described(name):
    parameters = set(inspect.signature(FUNCTIONS[name]).parameters) - OLD - OTHERS
    assert parameters <= names_in(said(FUNCTIONS[name]))


def test_arguments_of_constructors_are_described():
    for name, it in CLASSES.items():
        own = vars(it).get("__init__")
        if own is None or not inspect.isfunction(own) or name in ("Status", "StateKind", "AttractorKind"):
            continue
        missing = set(inspect.signature(own).parameters) - {"self"} - names_in(said(it)) - INSIDE
        assert not missing, (name, missing)


def test_functions_say_what_they_refuse():
    silent = {name for name, it in FUNCTIONS.items() if "**Raises**" not in said(it)}
    assert silent == NOTHING_TO_REFUSE


def test_functions_say_which_result_comes_back():
    for name, it in FUNCTIONS.items():
        back = typing.get_type_hints(it).get("return")
        if inspect.isclass(back) and back in CLASSES.values():
            assert back.__name__ in said(it), name


def test_what_a_result_holds_is_described_with_its_shape():
    for name, it in RECORDS.items():
        items = re.split(r"\n- ", said(it))
        fields = it._fields if hasattr(it, "_fields") else [field.name for field in dataclasses.fields(it)]
        hints = {} if hasattr(it, "_fields") else {field.name: field.type for field in dataclasses.fields(it)}
        for field in fields:
            if field.startswith("_") or field in INSIDE:
                continue
            of_it = [item for item in items if re.search(rf"`(s\.)?{field}`", item)]
            assert of_it, (name, field)
            axes = [axis for axis in getattr(hints.get(field), "dim_str", "").split() if not axis.startswith("*")]
            assert not axes or any("(" in item for item in of_it), (name, field, "has a shape")


def test_members_are_described():
    """By themselves, or where they are declared, or in the list of the class."""
    for name, it in CLASSES.items():
        for member, value in vars(it).items():
            thing = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if member.startswith("_") or not (inspect.isfunction(thing) or isinstance(value, property)):
                continue
            declared = any(inspect.getdoc(getattr(base, member, None)) for base in it.__mro__[1:])
            assert inspect.getdoc(thing) or declared or member in names_in(said(it)), (name, member)


def test_equations_are_written_down():
    equation = r"[=<>^+|]|d/dt|(max|min)_\w+ "
    without = {name for name, it in FUNCTIONS.items() if not re.search(equation, re.sub(r"`[^`]*`", "", said(it)))}
    assert without <= WITHOUT_EQUATION, without - WITHOUT_EQUATION


def test_formulas_of_the_paper_name_their_place():
    for name in OF_THE_PAPER:
        assert re.search(r"paper|Eqs?\. \d|\bS\d\d?\b|Fig\. \d", said(PUBLIC[name])), name


def test_help_shows_arguments_by_names_alone():
    """Neither the modules that kinds are from nor the ten that `ArrayLike` is made of."""
    shown = {name: str(inspect.signature(it)) for name, it in FUNCTIONS.items()}
    shown |= {it.__name__: str(inspect.signature(it)) for it in (dj.DickeModel, dj.CollectiveModel, dj.TimeTrace)}
    long = {name for name, text in shown.items() if re.search(r"[a-z]\.[A-Za-z_]|Union|Optional|ForwardRef", text)}
    assert long == set()
    short = "(key: PRNGKeyArray, model: DickeModel, pattern: ArrayLike = 0, angle: ArrayLike = 0.3) -> MeanFieldState"
    assert shown["tilted_pattern"] == short
    every = {"LargeSpins", "ArrayLike | Callable[[Any], Any] | AbstractPath", "LocalDissipation | None"}
    assert all(f": {kind}" in shown["DickeModel"] for kind in every)
