"""`checked`: a public function looks at the kind of its arguments before anything else, by their annotations.

Here a public call begins, so here waiting for it begins to be shown (_progress.py).

What an annotation says is what a refusal says: "solver must be a diffrax AbstractSolver or None; got float." Values,
shapes and what hangs on other arguments are for the function itself to look at. `help` shows annotations in short.
"""

import inspect
import re
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar, Union, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import AbstractArray, PRNGKeyArray

from ._checks import as_whole, check_key, check_real, is_key, known, refuse, told
from ._progress import begin, end
from ._typing import ArrayLike

P = ParamSpec("P")
R = TypeVar("R")
Check: TypeAlias = Callable[[str, Any], Any]  # of a name and a value: the value, unless it is refused
NUMBERS = {ArrayLike}
KEY = set(get_args(PRNGKeyArray))
RENAMED = {"axis": "ax", "axes": "ax"}  # arguments of the version before, which work for one version more and warn


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which refuses arguments of the wrong kind. Whole numbers may be those of NumPy and JAX."""
    parameters = inspect.signature(function).parameters
    checks = {name: check for name, p in parameters.items() if (check := _check_of(p.annotation)) is not None}
    order, key_first = list(parameters), next(iter(parameters)) == "key"
    called = f"dicke_jax: {function.__qualname__.removesuffix('.__init__')}"

    @wraps(function)
    def door(*args: Any, **named: Any) -> Any:
        if key_first and len(args) > 1 and is_key(args[1]) and not is_key(args[0]):
            text = f"{function.__name__}(key, ...) takes the key first"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            args = args[1], args[0], *args[2:]
        if not named.keys() <= parameters.keys():
            named = _under_new_names(parameters, named)
        given = [*_looked_at(checks, zip(order, args, strict=False)).values(), *args[len(order) :]]
        named = _looked_at(checks, named.items())
        wait = begin(called, silent=named.get("progress") is not None)
        try:
            return function(*given, **named)  # pyright: ignore
        finally:
            if wait is not None:
                end(wait)

    door.checks = checks  # pyright: ignore[reportAttributeAccessIssue]
    return in_short(door)


def in_short(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, whose annotations `help` shows by their names, without the modules that they are from."""
    signature = inspect.signature(function)
    named = [p.replace(annotation=_shown(p.annotation)) for p in signature.parameters.values()]
    shown = signature.replace(parameters=named, return_annotation=_shown(signature.return_annotation))
    function.__signature__ = shown  # pyright: ignore[reportFunctionMemberAccess]
    return function


def _shown(hint: Any) -> Any:
    return hint if hint is inspect.Parameter.empty else _InShort(hint)


class _InShort:
    """An annotation that is written in short."""

    def __init__(self, hint: Any) -> None:
        self.hint = hint

    def __repr__(self) -> str:
        return _name_of(self.hint)


def _name_of(hint: Any) -> str:
    if isinstance(hint, list):  # the arguments of a Callable
        return f"[{', '.join(map(_name_of, hint))}]"
    if hint in (..., types.NoneType, None):
        return "..." if hint is ... else "None"
    parts = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        is_key = set(parts) >= KEY
        names = [_name_of(part) for part in parts if not (is_key and part in KEY)]
        return " | ".join(["PRNGKeyArray"] * is_key + names)
    name = re.sub(r"(?:\w+\.)+", "", getattr(hint, "__name__", str(hint)))  # of Float[jax.Array, "T"]
    return f"{name}[{', '.join(map(_name_of, parts))}]" if parts else name


def check_options(function: Any, options: dict[str, Any], given: tuple[str, ...]) -> dict[str, Any]:
    """What goes on to a `checked` function besides what is `given`, looked at before that function is traced."""
    names = [name for name in inspect.signature(function).parameters if name not in given]
    for name in options:
        if name not in names:
            refuse("options", f"those of {function.__name__}, {', '.join(names)}", repr(name))
    return _looked_at(function.checks, options.items())


def _under_new_names(parameters: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments, of which some are called as they were in the version before."""
    for old, new in RENAMED.items():
        if old in given and old not in parameters and new in parameters and new not in given:
            text = f"the argument {old} is now {new}; the old name goes with the next version."
            warnings.warn(text, DeprecationWarning, stacklevel=3)
            given = {new if name == old else name: value for name, value in given.items()}
    return given


def _looked_at(checks: dict[str, Check], arguments: Any) -> dict[str, Any]:
    return {name: checks[name](name, value) if name in checks else value for name, value in arguments}


def _check_of(hint: Any) -> Check | None:
    """What is asked of an argument with this annotation; None where only the function itself knows."""
    if hint in (Any, inspect.Parameter.empty):
        return None
    parts = set(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else {hint}
    optional = types.NoneType in parts
    check = _check_of_kind(parts - {types.NoneType}, " or None" if optional else "")
    if check is None or not optional:
        return check
    return lambda name, value: None if value is None else check(name, value)


def _check_of_kind(parts: set[Any], or_none: str) -> Check | None:
    if parts == KEY:
        return check_key
    if parts == {bool}:
        return partial(_flag, or_none)
    if parts == {int}:
        return lambda name, value: as_whole(name, value, f"a whole number{or_none}")
    classes = [part for part in parts if isinstance(part, type) and part.__module__ != "builtins"]
    arrays = [part for part in classes if issubclass(part, AbstractArray)]
    if float in parts and parts == {float, *arrays}:
        return partial(_number, or_none)
    if parts >= NUMBERS and parts - NUMBERS <= {str, *classes}:
        return partial(_real, tuple(parts - NUMBERS), or_none)
    if len(arrays) == len(parts) == 1:
        return partial(_array, arrays[0], or_none)
    if len(classes) == len(parts) and not arrays:
        return partial(_instance, tuple(sorted(classes, key=lambda part: part.__name__)), or_none)
    origins = {get_origin(part) or part for part in parts}
    if origins <= {Callable, str} and origins != {str}:
        return partial(_function, str in parts, or_none)
    if origins == {Mapping}:
        return partial(_mapping, or_none)
    if origins == {Sequence, Mapping}:
        names = _check_of_kind({part for part in parts if get_origin(part) is Sequence}, or_none)
        return lambda name, value: value if isinstance(value, Mapping) or names is None else names(name, value)
    if origins in ({Sequence}, {tuple}, {int, Sequence}):
        (sequence,) = parts - {int}
        of = set(get_args(sequence))
        return partial(_sequence, of, int in parts, or_none) if len(of) == 1 else None
    return None


def _flag(or_none: str, name: str, value: Any) -> Any:
    return value if isinstance(value, bool | np.bool_) else refuse(name, f"True or False{or_none}", told(value))


def _number(or_none: str, name: str, value: Any) -> Any:
    must_be = f"one finite number{or_none}"
    check_real(name, value, must_be)
    if np.shape(value) or isinstance(value, bool) or (known(value) and not np.isfinite(np.asarray(value))):
        refuse(name, must_be, told(value))
    return value


def _real(classes: tuple[type, ...], or_none: str, name: str, value: Any) -> Any:
    kinds = "".join(", a name" if kind is str else f", {_called(kind)}" for kind in classes)
    if not isinstance(value, classes):
        check_real(name, value, f"real numbers{kinds}{or_none}")
    return value


def _array(hint: Any, or_none: str, name: str, value: Any) -> Any:
    """An array of as many axes, and of the sizes that are given as numbers."""
    axes = hint.dim_str.split()
    sizes = [axis for axis in axes if not axis.startswith("*")]
    is_complex = hint.dtypes[0].startswith("complex")
    must_be = f"an array of {'complex' if is_complex else 'real'} numbers, of shape ({', '.join(axes)}){or_none}"
    if not isinstance(value, jax.Array | np.ndarray):
        refuse(name, must_be, told(value))
    if not (is_complex and jnp.issubdtype(value.dtype, jnp.complexfloating)):
        check_real(name, value, must_be)
    last = value.shape[value.ndim - len(sizes) :] if value.ndim >= len(sizes) else ()
    fits = len(last) == len(sizes) and (value.ndim == len(sizes) or len(axes) > len(sizes))
    if not fits or any(axis.isdigit() and int(axis) != size for axis, size in zip(sizes, last, strict=True)):
        refuse(name, must_be, f"shape {value.shape}")
    return value


def _instance(classes: tuple[type, ...], or_none: str, name: str, value: Any) -> Any:
    if not isinstance(value, classes):
        refuse(name, " or ".join(map(_called, classes)) + or_none, type(value).__name__)
    return value


def _function(or_name: bool, or_none: str, name: str, value: Any) -> Any:
    if not callable(value) and not (or_name and isinstance(value, str)):
        refuse(name, f"{'a name or ' if or_name else ''}a function{or_none}", type(value).__name__)
    return value


def _mapping(or_none: str, name: str, value: Any) -> Any:
    return value if isinstance(value, Mapping) else refuse(name, f"a mapping from names{or_none}", told(value))


def _sequence(of: set[Any], or_one: bool, or_none: str, name: str, value: Any) -> Any:
    """Whole numbers, real ones, or names, some with a number: ("kappa", 1)."""
    if or_one and np.ndim(value if isinstance(value, int | np.ndarray | jax.Array) else ()) == 0:
        return as_whole(name, value, f"a whole number or several{or_none}")
    what = "whole numbers" if of == {int} else "real numbers" if of == {float} else "names"
    must_be = f"{'a whole number or several' if or_one else f'a sequence of {what}'}{or_none}"
    is_text = isinstance(value, str)  # one name, where names are meant, is refused by who knows them
    if not isinstance(value, Sequence | np.ndarray | jax.Array) or (is_text and what != "names"):
        refuse(name, must_be, told(value))
    if of == {int}:
        return tuple(as_whole(name, number, must_be) for number in value)
    if of == {float}:
        check_real(name, value, must_be)
    elif not all(isinstance(part, str | tuple) for part in value):
        refuse(name, must_be, told(value))
    return value


def _called(kind: type) -> str:
    owner = kind.__module__.split(".")[0]
    called = kind.__name__ if owner == __package__ else f"{owner} {kind.__name__}"
    return f"{'an' if called[0] in 'AEIOaeiou' else 'a'} {called}"
