"""Results on disk, without pickle: their labelled arrays, and beside them in JSON what they are parts of."""

import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from .._checks import is_key, refuse, told
from .._door import checked
from .._labelled import OF_MODEL, is_flag, labelled, parts_of
from .results import NETCDF, check_path, save_results

# attributes that say how the arrays make a result, and its model
TREE, MODEL_TREE = "dicke_jax_result", "dicke_jax_model"
PACKAGES = ("dicke_jax", "diffrax", "optimistix", "lineax", "equinox")  # whose classes a file may name


@checked
def save(result: Any, path: str | os.PathLike[str], *, model: Any = None) -> Path:
    """Keep any result of this package in a netCDF file, whole or not at all, for `load`.

    The file is that of `result.to_xarray(model)`, which `xarray.open_dataset(path, engine="h5netcdf")` reads as well.

    - `result`: a result, a model, a state, a mapping; or an `xarray.Dataset`, which is kept as it is.
    - `path`: of the file, over an older one if there is one.
    - `model`: the model that the result is of, to be kept beside it: by itself a run does not tell its rates.

    **Returns** the path.

    **Raises** ValueError for what is made of other things than numbers, such as rates that are functions of time.

    **Example**

        >>> import tempfile
        >>> model = dj.examples.paper_model(g0=1.2)
        >>> path = dj.save(dj.retrieval_state(model, 0), tempfile.mkdtemp() + "/state.nc")
        >>> print(dj.load(path).m.shape)
        (3, 8)
    """
    check_path(path)
    if isinstance(result, xr.Dataset):
        if model is not None:
            refuse("model", "left out where the result is a dataset", told(model))
        return save_results(result, path)
    if not isinstance(result, eqx.Module):
        refuse("result", "a result of this package, or a dataset", told(result))
    found, trees = labelled(result, model), {TREE: json.dumps(_written(result, ()))}
    if model is not None:
        trees[MODEL_TREE] = json.dumps(_written(model, (OF_MODEL,)))
    return save_results(found.assign_attrs(trees), path)


@checked
def load(path: str | os.PathLike[str], *, with_model: bool = False) -> Any:
    """What `save` has kept: the same result, to the bit; a dataset where it was one.

    No code comes from the file: it names classes of this package and of those that it stands on, and nothing else.

    - `path`: of a file that `save` has written.
    - `with_model`: the result and the model that was kept beside it.

    **Raises** ValueError for another file, or one without a model that is asked for, FileNotFoundError for none.

    **Example**

        >>> import tempfile
        >>> path = dj.save(dj.examples.paper_model(g0=1.2), tempfile.mkdtemp() + "/model.nc")
        >>> print(float(dj.load(path).g0))
        1.2
    """
    check_path(path)
    try:
        with open(path, "rb"):  # the system's own words, where HDF5 has a paragraph
            pass
        found = xr.load_dataset(path, engine=NETCDF, decode_times=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        refuse("path", "a file that save has written", f"{path} ({reason})")
    tree, of_model = found.attrs.pop(TREE, None), found.attrs.pop(MODEL_TREE, None)
    result = found if tree is None else _made(json.loads(tree), found)
    if with_model and of_model is None:
        refuse("path", "a file with a model, as save(result, path, model=model) writes", f"{path}")
    return (result, _made(json.loads(of_model), found)) if with_model else result


def _written(value: Any, path: tuple[str, ...]) -> Any:
    """What makes this part again, with the names of its arrays in the dataset."""
    name = "_".join(path)
    if value is None or isinstance(value, bool | int | float | str):
        return {"is": value}
    if isinstance(value, np.dtype):
        return {"dtype": value.str}
    if is_flag(value):
        return {"flag": name, "class": _name_of(value._enumeration, name)}
    if is_key(value):
        return {"key": name, "impl": str(jax.random.key_impl(value))}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return {"array": name, "jax": isinstance(value, jax.Array)}
    if (parts := parts_of(value)) is not None:
        kind = "list" if type(value) is list else "tuple" if type(value) is tuple else "dict"
        own = {} if type(value) in (list, tuple, dict) else {"class": _name_of(type(value), name)}
        return {kind: {part: _written(x, (*path, part)) for part, _, x in parts}} | own
    if isinstance(value, type) or callable(value):
        return {"named": _name_of(value, name)}
    refuse(f"result.{'.'.join(path)}", "made of numbers, to be saved", told(value))


def _name_of(thing: Any, path: str) -> str:
    """Where a class or function is found again."""
    module, name = getattr(thing, "__module__", None) or "", getattr(thing, "__qualname__", "")
    if module.split(".")[0] not in PACKAGES or not name.isidentifier():
        refuse(f"result, {path},", "made of numbers and of this package's parts, to be saved", told(thing))
    return f"{module}:{name}"


def _found(name: str) -> Any:
    module, _, own = name.partition(":")
    try:
        if module.split(".")[0] not in PACKAGES:
            raise ImportError(f"{module} is another package")
        return getattr(importlib.import_module(module), own)
    except (ImportError, AttributeError) as error:
        refuse("path", "a file of this version of the package", f"one with {name} ({error})")


def _made(tree: Mapping[str, Any], found: xr.Dataset) -> Any:
    if "is" in tree:
        return tree["is"]
    if "dtype" in tree:
        return np.dtype(tree["dtype"])
    if "named" in tree:
        return _found(tree["named"])
    if "array" in tree:
        return _array(found[tree["array"]].values, tree["jax"])
    if "key" in tree:
        return jax.random.wrap_key_data(jnp.asarray(found[tree["key"]].values), impl=tree["impl"])
    if "flag" in tree:
        return _flag(_found(tree["class"]), found[tree["flag"]])
    (kind,) = set(tree) - {"class"}
    parts = {name: _made(part, found) for name, part in tree[kind].items()}
    if "class" not in tree:
        return parts if kind == "dict" else (list if kind == "list" else tuple)(parts.values())
    made = _found(tree["class"])
    if not issubclass(made, eqx.Module):
        return made(**parts)
    module = object.__new__(made)
    for name, part in parts.items():  # its checks were passed when it was first made
        object.__setattr__(module, name, part)
    return module


def _array(values: np.ndarray, is_jax: bool) -> Any:
    if not is_jax:
        return values
    array = jnp.asarray(values)
    if array.dtype != values.dtype:
        refuse("path", f"a file in {array.dtype} where jax_enable_x64 is off", values.dtype)
    return array


def _flag(enumeration: Any, codes: xr.DataArray) -> Any:
    """Read by the names: codes may change from version to version."""
    names = dict(zip(np.atleast_1d(codes.attrs["flag_values"]), codes.attrs["flag_meanings"].split(), strict=True))
    items = enumeration._name_to_item
    if unknown := set(names.values()) - set(items):
        refuse("path", "a file of this version of the package", f"one with {', '.join(sorted(unknown))}")
    now = {code: int(items[name]._value) for code, name in names.items()}
    values = np.vectorize(now.__getitem__, otypes=[np.int32])(codes.values)
    return eqx.tree_at(lambda item: item._value, next(iter(items.values())), jnp.asarray(values, jnp.int32))
