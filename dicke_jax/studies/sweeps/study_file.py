"""Study files: a sweep as TOML, read and written."""

import importlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..._checks import check_choice, refuse, told
from ...mean_field import DickeModel
from .identity import named
from .model_table import ModelTable
from .starts import CUES

KEYS = ("title", "compute", "precision", "cue", "zipped", "model", "axes", "fixed", "options")
RANGES = ("from", "to", "points", "scale")
MOST_POINTS = 10**8


def study_of(study: str | os.PathLike[str]) -> str:
    """The text of a study file, given by its path; or its text, if that has more than one line."""
    if "\n" in str(study):
        return str(study)
    try:
        return Path(study).read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise ValueError(f"study must be a file that can be read; got {study} ({reason}).") from None


def parsed(text: str) -> dict[str, Any]:
    """The tables of a study file."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"study must be a file in TOML; got {' '.join(str(error).split())}.") from None
    for name in table:
        if name not in KEYS:
            refuse("study", f"a file with {', '.join(KEYS)}", name)
    for name in ("model", "axes", "fixed", "options"):
        if not isinstance(table.get(name, {}), Mapping):
            refuse(f"[{name}]", "a table", told(table[name]))
    for name in ("model", "axes"):
        if not table.get(name):
            refuse("study", f"a file with a table [{name}]", "none")
    check_choice("precision", table.get("precision", "float64"), ("float64", "float32"))
    return table


def read_study(text: str) -> dict[str, Any]:
    """The arguments of the `Sweep` that a study file describes."""
    table = parsed(text)
    precision = table.get("precision", "float64")
    if precision == "float64" and not jax.config.read("jax_enable_x64"):
        refuse("precision", "float32 where jax_enable_x64 is off", precision)
    given = {name: table[name] for name in ("title", "cue", "zipped", "fixed", "options") if name in table}
    compute = table.get("compute", "steadystate")
    return given | {
        "model": ModelTable(table["model"], precision),
        "axes": {name: _values(f"[axes], {name},", x) for name, x in table["axes"].items()},
        "compute": _found(compute) if isinstance(compute, str) and ":" in compute else compute,
    }


def _values(what: str, given: Any) -> Any:
    """A list as it is; { from, to, points } evenly spaced, or with scale = "log"; { count } from 0 on."""
    if not isinstance(given, Mapping):
        return given
    if set(given) == {"count"}:
        count = given["count"]
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= MOST_POINTS:
            refuse(what, "a count of at least 1", told(count))
        return np.arange(count)
    if not {"from", "to", "points"} <= set(given) <= set(RANGES):
        refuse(what, "a list, { from, to, points } or { count }", ", ".join(given) or "nothing")
    low, high, points, scale = (given.get(name, "linear") for name in RANGES)
    for number in (low, high):
        if isinstance(number, bool) or not isinstance(number, int | float) or not np.isfinite(number):
            refuse(what, "a range of finite numbers", told(number))
    if isinstance(points, bool) or not isinstance(points, int) or not 1 <= points <= MOST_POINTS:
        refuse(what, "a range of at least one point", told(points))
    check_choice(f"{what} scale", scale, ("linear", "log"))
    if scale == "log" and not min(low, high) > 0:
        refuse(what, "a range of positive numbers, to be spaced as logarithms", f"{low} to {high}")
    return np.geomspace(low, high, points) if scale == "log" else np.linspace(low, high, points)


def _found(name: str) -> Any:
    """The function "module:name"."""
    module, _, called = name.partition(":")
    try:
        return getattr(importlib.import_module(module), called)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"compute must be a function that can be imported; got {name} ({reason}).") from None


def study_text(sweep: Any) -> str:
    """The study file of a sweep."""
    model, compute = sweep.model, sweep.compute
    if isinstance(model, DickeModel):
        model = ModelTable.of(model)
    if not isinstance(model, ModelTable):
        refuse("model", "a DickeModel, to be written to a study file", "a function")
    if callable(sweep.cue):
        refuse("cue", f"one of {', '.join(CUES)}, to be written to a study file", named(sweep.cue))
    if callable(compute):
        name = f"{getattr(compute, '__module__', None)}:{getattr(compute, '__qualname__', '')}"
        if getattr(compute, "__module__", "__main__") == "__main__" or not name.split(":")[1].isidentifier():
            refuse("compute", "a function that can be imported, to be written to a study file", name)
        compute = name
    lines = [f"title = {_text(sweep.title)}", f"compute = {_text(compute)}", f"precision = {_text(model.precision)}"]
    lines.append(f"cue = {_text(sweep.cue)}")
    if sweep.axes.zipped:
        lines.append(f"zipped = {_text([list(names) for names in sweep.axes.zipped])}")
    tables = {
        "model": model.table,
        "axes": {name: x.tolist() for name, x in sweep.axes.values.items()},
        "fixed": {name: x.item() for name, x in sweep.fixed.items()},
        "options": sweep.options,
    }
    for name, table in tables.items():
        if table:
            lines += ["", f"[{name}]", *(f"{_key(key)} = {_text(x)}" for key, x in table.items())]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() and name.isascii() else _text(name)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        shown = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in shown) + '"'
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_text(x)}" for name, x in value.items()) + " }"
    if isinstance(value, list | tuple | np.ndarray):
        return "[" + ", ".join(map(_text, np.asarray(value).tolist() if isinstance(value, np.ndarray) else value)) + "]"
    return repr(value.item() if isinstance(value, np.generic) else value)
