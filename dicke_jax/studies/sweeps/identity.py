"""What decides the numbers of a sweep, in words and digests that two runs of it can compare."""

import hashlib
import inspect
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ...dynamics._loop import kernel_state
from ...mean_field import DickeModel

PACKAGE = Path(__file__).parents[2]
LONGEST = 32  # values of an axis that are told one by one


def digest(*parts: bytes) -> str:
    """Sixteen hexadecimal digits that change with every bit."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little") + part)
    return whole.hexdigest()[:16]


def of_function(function: Any) -> str:
    """A function's name, with a digest of its text where there is one."""
    called = f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', type(function).__name__)}"
    try:
        return f"{called} ({digest(inspect.getsource(function).encode())})"
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return called if code is None else f"{called} ({digest(code.co_code, repr(code.co_names).encode())})"


def of_model(model: DickeModel) -> str:
    """A digest of all numbers of a model."""
    parts = [f"{model.spins.num_spins} {model.spins.gauged} {model.dtype} {type(model.spins.operator)}".encode()]
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        parts.append(jax.tree_util.keystr(path).encode())
        if isinstance(leaf, jax.Array | np.ndarray):
            numbers = np.asarray(leaf)
            parts += [f"{numbers.dtype} {numbers.shape}".encode(), numbers.tobytes()]
        else:
            parts.append((of_function(leaf) if callable(leaf) else repr(leaf)).encode())
    return digest(*parts)


def of_values(values: np.ndarray) -> str:
    """The values of an axis: all, or how many, the ends and a digest."""
    if values.size <= LONGEST:
        return ", ".join(repr(x) for x in values.tolist())
    ends = f"{values.size} values from {values.flat[0].item()!r} to {values.flat[-1].item()!r}"
    return f"{ends} ({digest(values.tobytes())})"


@cache
def of_package() -> str:
    """A digest of the package's own code."""
    files = sorted(path for path in PACKAGE.rglob("*.py") if path.parts[-2] not in ("cli", "plotting"))
    return digest(*(part for path in files for part in (str(path.relative_to(PACKAGE)).encode(), path.read_bytes())))


def of_software() -> dict[str, str]:
    """Versions and switches that can change a last bit."""
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ.get("XLA_FLAGS", ""))
    names = ("jax", "jaxlib", "diffrax", "equinox", "optimistix", "lineax", "numpy")
    return {
        "dicke-jax": f"{version('dicke-jax')} ({of_package()})",
        **{name: version(name) for name in names},
        "device": jax.devices()[0].device_kind,
        "XLA_FLAGS": " ".join(flags.split()),
        "CPU kernel": str(kernel_state()),
    }


@cache
def git_revision() -> str | None:
    """The commit of the package's own checkout, where it is one; with a sign where files differ from it."""
    try:
        told = [
            subprocess.run(["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, timeout=5, check=True)
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no", "."))
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return told[0].stdout.strip() + (" with changes" if told[1].stdout.strip() else "")


def differences(stored: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """What two descriptions say differently, one text for each."""
    for name in dict.fromkeys([*stored, *here]):
        a, b = stored.get(name, "nothing"), here.get(name, "nothing")
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from differences(a, b, f"{prefix}{name} ")
        elif a != b:
            yield f"{prefix}{name} is {_short(a)} there and {_short(b)} here"


def _short(value: Any) -> str:
    text = " ".join(str(value).split()) or "nothing"
    return text if len(text) <= 80 else f"{text[:70]} ..."
