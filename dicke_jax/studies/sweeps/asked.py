"""What a sweep computes, and what it takes: options, of all rows alike, and numbers of every row, which may be axes."""

import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import numpy as np

from ..._checks import check_all, check_choice, check_count, refuse, told
from ...mean_field import DickeModel
from .starts import DEFAULT_CUE

OPTIONS: Final[dict[str, dict[str, Any]]] = {  # of what is computed, with their defaults
    "steadystate": dict(tol=None, max_time=None, rtol=None, atol=None, max_steps=None),
    "final_overlap": dict(time=None, rtol=None, atol=None, max_steps=None),
    "retrieval": dict(tol=None, max_time=None),
    "critical_coupling": dict(kind="existence", method=None),
    "stability": dict(tol=None),
    "exactness": dict(time=None, method="gaussian", levels=None, num_samples=None),
    "ramp": dict(points=None, rtol=None, atol=None, max_steps=None),
}
GAUSSIAN, MASTER, WIGNER = ROUTES = "gaussian", "master equation", "wigner"  # ways to how exact mean field is
CHOICES = {
    ("critical_coupling", "kind"): ("existence", "stability", "normal"),
    ("critical_coupling", "method"): ("closed form", "root finding"),
    ("exactness", "method"): ROUTES,
}
COUNTS = {"max_steps": 1, "points": 2, "levels": 2, "num_samples": 2}  # with the least that each may be
OF_PATTERNS = ("retrieval", "critical_coupling", "stability", "ramp")  # whatever the cue
TURN = 1e-3  # radians, by which a ramp's spins are turned before it begins


def as_options(compute: Any, options: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """Options of what is computed, each of the right kind; `given` are names of axes and of what is fixed."""
    if callable(compute):
        if options:
            refuse("options", "left out where compute is a function", ", ".join(map(str, options)))
        return {}
    own, options = OPTIONS[compute], {name: value for name, value in options.items() if value is not None}
    if compute == "exactness" and "subset_size" in given:
        options = {"method": MASTER} | options
    for name, value in options.items():
        what = f"options, {name},"
        if name not in own:
            refuse("options", f"those of {compute}, {', '.join(own)}", told(name))
        if (compute, name) in CHOICES:
            check_choice(what, value, CHOICES[compute, name])
        elif name in COUNTS:
            check_count(what, value, COUNTS[name])
        elif isinstance(value, bool) or not isinstance(value, int | float | np.number):
            refuse(what, "a positive number", told(value))
        else:
            check_all(what, value, lambda x: (x > 0) & np.isfinite(x), "positive and finite")
    if compute in ("final_overlap", "exactness") and "time" not in options:
        refuse("options", f"given for {compute}, with the time at which runs end", "no time")
    for name, method in (("levels", MASTER), ("num_samples", WIGNER)):
        if name in options and options.get("method", GAUSSIAN) != method:
            refuse(f"options, {name},", f"left out but for method {method!r}", told(options[name]))
    return options


def taken_by(compute: Any, options: Mapping[str, Any]) -> dict[str, bool]:
    """Names of the numbers that a row's computation takes besides model and cue, and whether it has to have them."""
    if compute == "ramp":
        return {"duration": True, "g0_low": True, "g0_high": True, "turn": False}
    if compute == "exactness" and on_host(compute, options):
        return {"subset_size": False} | ({"seed": False} if options["method"] == WIGNER else {})
    if isinstance(compute, str):
        return {}
    try:
        parameters = list(inspect.signature(compute).parameters.values())[2:]
    except (TypeError, ValueError):  # a function that does not tell
        return {}
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return {p.name: p.default is p.empty for p in named}


def on_host(compute: Any, options: Mapping[str, Any]) -> bool:
    """Whether rows are computed one after the other by Python: each is of another size, or finds its own."""
    if compute == "exactness":
        return options.get("method", GAUSSIAN) != GAUSSIAN
    return getattr(compute, "on_host", False)


def check_taken(
    compute: Any, taken: Mapping[str, bool], given: Mapping[str, np.ndarray], models: Iterable[DickeModel]
) -> None:
    """Refuse numbers that are not there, or that no row can have; `given` are those of all rows, or one for all."""
    of = compute if isinstance(compute, str) else "the function"
    for name, needed in taken.items():
        if needed and name not in given and name not in DEFAULT_CUE:
            refuse("axes and fixed", f"with {name}, which {of} takes", ", ".join(given) or "none")
    if "subset_size" in taken and isinstance(compute, str):
        finite = [model.spins.num_spins for model in models if model.spins.num_spins is not None]
        if finite and "subset_size" in given:
            refuse("axes and fixed", f"without subset_size for a model of {finite[0]} spins", "it")
        if not finite and "subset_size" not in given:
            must_be = "with subset_size, the spins of each subset, for a model of infinitely many"
            refuse("axes and fixed", must_be, ", ".join(given) or "none")
    if compute == "ramp":
        check_all("duration", given["duration"], lambda t: t > 0, "positive")
        low, high = np.broadcast_arrays(given["g0_low"], given["g0_high"])
        if not (good := low < high).all():
            first = np.flatnonzero(~good)[0]
            refuse("g0_low and g0_high", "increasing", f"{low.flat[first]} and {high.flat[first]}")
