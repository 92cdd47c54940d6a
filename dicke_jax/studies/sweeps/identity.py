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

import equinox as eqx
import jax
import numpy as np

from ..._checks import is_key
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


def named(what: Any) -> str:
    """A text as it is; a function's name, with a digest of its text where there is one, and of its numbers."""
    if isinstance(what, str):
        return what
    of_class = type(what) if isinstance(what, eqx.Module) else what
    called = f"{getattr(of_class, '__module__', '?')}:{getattr(of_class, '__qualname__', type(what).__name__)}"
    own = [repr(what).encode(), *_numbers(what)] if isinstance(what, eqx.Module) else []
    try:
        own.append(inspect.getsource(of_class).encode())
    except (OSError, TypeError):
        code = getattr(what, "__code__", None)
        own += [] if code is None else [code.co_code, repr(code.co_names).encode()]
    return f"{called} ({digest(*own)})" if own else called


def of_model(model: DickeModel) -> str:
    """A digest of all numbers of a model."""
    about = f"{model.spins.num_spins} {model.spins.gauged} {model.dtype} {type(model.spins.operator)}"
    return digest(about.encode(), *_numbers(model))


def _numbers(tree: Any) -> Iterator[bytes]:
    """All numbers and functions of a tree, and where they stand."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield jax.tree_util.keystr(path).encode()
        if isinstance(leaf, jax.Array | np.ndarray):
            numbers = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
            yield f"{numbers.dtype} {numbers.shape}".encode()
            yield numbers.tobytes()
        else:
            yield (named(leaf) if callable(leaf) else repr(leaf)).encode()


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
