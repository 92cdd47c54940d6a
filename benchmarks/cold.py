"""A process from nothing: imports, and the command of the paper's Fig. 3."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from .sizes import Size
from .timing import spread

STARTS = {
    "import jax, diffrax": ["-c", "import jax, diffrax"],
    "import dicke_jax": ["-c", "import dicke_jax"],
    "dicke-jax transition": ["-m", "dicke_jax", "transition", "--quiet"],
}


def measure(size: Size) -> list[dict[str, Any]]:
    """No compilation is kept from one to the next: each has an empty folder as its cache and as its home."""
    seconds: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(min(size.rounds, 3)):
        for name, arguments in STARTS.items():
            if any(part in name for part in size.leave_out):
                continue
            with tempfile.TemporaryDirectory() as folder:
                homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"), folder)
                environment = as_installed(os.environ, **homes)
                begin = time.perf_counter()
                subprocess.run(
                    [sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True
                )
                seconds[name].append(time.perf_counter() - begin)
    return [
        dict(mode=name, ms=spread(taken)) if taken else dict(mode=name, skipped="left out by --quick")
        for name, taken in seconds.items()
    ]


def as_installed(environment: Mapping[str, str], **more: str) -> dict[str, str]:
    """With this package found from anywhere, and its bytecode kept, as that of every package that pip installs."""
    own = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join([os.getcwd(), environment.get("PYTHONPATH", "")])
    return own | dict(PYTHONPATH=path, MPLCONFIGDIR=matplotlib_fonts()) | more


def matplotlib_fonts() -> str:
    """Its list of fonts is made once for each machine, not once for each program."""
    import matplotlib

    return matplotlib.get_configdir()
