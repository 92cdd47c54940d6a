"""Any result as labelled arrays: dimensions from the shapes in its annotations, units, flags with their meaning."""

import dataclasses
import platform
import typing
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import numpy as np

from ._checks import is_key, refuse, told

if TYPE_CHECKING:
    import xarray as xr

DIMS = {  # of the letters in annotations
    "T": "time", "M": "mode", "P": "pattern", "K": "subset", "N": "spin", "S": "sample", "C": "chain", "F": "rate",
    "W": "frequency", "R": "restart", "D": "component", "3": "xyz", "B": "xyz", "2": "part",
}  # fmt: skip
SHAPES = {  # of fields whose annotation says nothing
    "overlaps": "P", "occupations": "M", "alpha": "M", "m": "3 K", "omega_mode": "M", "kappa": "M",
}  # fmt: skip
COORDINATES = {"t": "time", "omega": "frequency"}  # fields that are the values along a dimension
OF_MODEL = "model"  # begins the names of what a result's model has
RATES, TIMES = "unit of the rates", "inverse unit of the rates"
ATTRS: dict[str, dict[str, str]] = {
    "t": {"long_name": "time", "units": TIMES},
    "time": {"long_name": "when the run ended", "units": TIMES},
    "m": {"long_name": "mean spins m_a,k", "units": "1"},
    "alpha": {"long_name": "amplitudes alpha_mu, a / sqrt(N_sp)", "units": "1"},
    "overlaps": {"long_name": "overlap xi_mu", "units": "1"},
    "occupations": {"long_name": "occupation |alpha_mu|^2 of the mode", "units": "photons per spin"},
    "fluctuations": {"long_name": "standard deviation of the overlap in time, 0 where converged", "units": "1"},
    "residual": {"long_name": "max |dy/dt|", "units": "min kappa"},
    "num_steps": {"long_name": "steps of the integration", "units": "1"},
    "growth_rate": {"long_name": "largest growth rate", "units": RATES},
    "eigenvalues": {"long_name": "spectrum of small deviations", "units": RATES},
    "covariance": {"long_name": "N_sp times the covariance of spins and quadratures", "units": "1"},
    "omega": {"long_name": "frequency", "units": RATES},
    "status": {"long_name": "how the computation ended"},
    **{name: {"units": RATES} for name in ("omega_spin", "omega_mode", "kappa", "g0")},
}


class Labelled(eqx.Module):
    """A result that names its numbers, and can be looked at."""

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """The picture of this kind of result in given matplotlib Axes, or in new ones; returns the Axes.

        `ax` is as many as the picture has panels. `options` are those of its function in `plotting`, which
        `plotting.picture_of(result)` names.
        """
        plotting = import_module(".plotting", __package__)  # by name: pictures know results, and not the other way
        return plotting.picture_of(self)(self, ax, **options)

    def to_xarray(self, model: Any = None) -> "xr.Dataset":
        """All numbers of the result as an `xarray.Dataset`: named dimensions, units, statuses with their meanings.

        Parts of parts have both names, `state_m`. Axes of `jax.vmap` are `batch`; what is no number is an attribute.
        A result does not hold its model: with `model` its rates and couplings are there too, as `model_g0` and so on.
        """
        return labelled(self, model)


def software() -> dict[str, str]:
    """Versions that a result was made with, and the device."""
    packages = {package: version(package) for package in ("dicke-jax", "jax", "diffrax", "equinox", "numpy")}
    return {"device": jax.devices()[0].device_kind, "python": platform.python_version(), **packages}


def labelled(result: Any, model: Any = None) -> "xr.Dataset":
    """The dataset of any module of the package, and of the model that it is of, where that is told."""
    import xarray as xr

    if model is not None and not (isinstance(model, eqx.Module) and hasattr(model, "rates")):
        refuse("model", "a model", told(model))

    attrs: dict[str, Any] = {"title": type(result).__name__, **software()}
    coords, variables, sizes = {}, {}, dict[str, int]()
    batch = np.ndim(getattr(getattr(result, "status", None), "_value", 0))
    for path, hint, value in (*leaves(result), *leaves(model, (OF_MODEL,))):
        name, about = "_".join(path), dict(ATTRS.get(path[-1], {}))
        if is_flag(value):
            value, flags = with_flags(value)
            about |= flags
        elif is_key(value):
            value = jax.random.key_data(value)
        elif not isinstance(value, np.ndarray | np.generic | jax.Array):
            attrs |= _as_attribute(name, value)
            continue
        numbers = np.asarray(value)
        dims = _dims(hint, path[-1], name, numbers.shape, batch, sizes)
        variables[name] = (dims, numbers, about)
        if dims and dims == (COORDINATES.get(path[-1]),):
            coords[dims[0]] = variables[name]
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def leaves(part: Any, path: tuple[str, ...] = (), hint: Any = None) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Where a number or a word stands in a result, its annotation, and itself."""
    for name, own, value in parts_of(part) or ():
        if parts_of(value) is None:
            yield (*path, name), own, value
        else:
            yield from leaves(value, (*path, name), own)


def parts_of(value: Any) -> list[tuple[str, Any, Any]] | None:
    """Names, annotations and values of what something is made of; None for what has no parts."""
    if isinstance(value, eqx.Module) and not is_flag(value):
        try:
            hints = typing.get_type_hints(type(value), include_extras=True)
        except (NameError, TypeError):  # names that only a type checker has
            hints = {}
        return [(f.name, hints.get(f.name), getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return [(str(name), None, part) for name, part in value.items()]
    if isinstance(value, tuple | list):
        names = getattr(value, "_fields", range(len(value)))
        return [(str(name), None, part) for name, part in zip(names, value, strict=True)]
    return None


def is_flag(value: Any) -> bool:
    """Whether it is an item of an `equinox.Enumeration`, or an array of such."""
    return hasattr(value, "_enumeration") and hasattr(value, "_value")


def with_flags(status: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """A status of any batch shape as small whole numbers, and in the CF conventions' words what those that occur mean.

    The numbers are those of this version's vocabulary: a stored result is read by its meanings.
    """
    codes, names = np.asarray(status._value).astype(np.int8), list(status._enumeration._name_to_item)
    occurring = np.unique(codes)
    return codes, {"flag_values": occurring, "flag_meanings": " ".join(names[code] for code in occurring)}


def batch_axes(result: Any) -> int:
    """How many axes of `jax.vmap` the arrays of a result have, from its annotations."""
    found = [0]
    for _, hint, value in parts_of(result) or ():
        if (said := getattr(hint, "dim_str", None)) is not None and value is not None:
            found.append(np.ndim(value) - len([word for word in said.split() if not word.startswith(("*", "..."))]))
    return max(found)


def _dims(
    hint: Any, field: str, name: str, shape: tuple[int, ...], batch: int, sizes: dict[str, int]
) -> tuple[str, ...]:
    """Names of the axes, those of a batch first; one of another size than it has elsewhere is called by its field."""
    said = getattr(hint, "dim_str", None)
    words = [w for w in (SHAPES.get(field, "") if said is None else said).split() if not w.startswith(("*", "..."))]
    own = [DIMS.get(word, word) for word in words]
    leading = len(shape) - len(own)
    if said is None and leading == batch + 1 and field in SHAPES:
        own, leading = ["time", *own], batch
    if leading < 0 or not all(dim.isidentifier() for dim in own):
        own, leading = [], 0
    own = [f"batch_{i}" if leading > 1 else "batch" for i in range(leading)] + own
    own += [f"{name}_{i}" for i in range(len(own), len(shape))]
    dims = list[str]()
    for i, (dim, size) in enumerate(zip(own, shape, strict=True)):
        dim = f"{dim}_2" if dim in dims else dim
        dims.append(dim if sizes.setdefault(dim, size) == size else f"{name}_{i}")
    return tuple(dims)


def _as_attribute(name: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, bool):
        return {name: int(value)}
    return {name: value if isinstance(value, int | float | str) else " ".join(repr(value).split())[:200]}
