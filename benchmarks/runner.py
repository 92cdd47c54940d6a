"""One section in a process of its own: `python -m benchmarks.runner MODULE FUNCTION ARGUMENTS`, arguments in JSON.

Prints what the function returns, as JSON, on its last line.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dicke_jax.dynamics._loop import compiler_flags

from .sizes import Size


def run(module: str, function: str, size: Size, *, cores: Sequence[int] = (), **arguments: Any) -> Any:
    """Call it there. `cores` pins the process before any library starts threads; `flags` are those of the commands."""
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    arguments["size"] = asdict(size)
    environment = dict(os.environ, **{} if arguments.pop("anywhere", False) else {"JAX_PLATFORMS": "cpu"})
    if arguments.pop("flags", False):
        environment["XLA_FLAGS"] = " ".join([environment.get("XLA_FLAGS", ""), *compiler_flags()]).strip()
    if not arguments.pop("keep_programs", True):
        environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    command = [sys.executable, "-m", "benchmarks.runner", module, function, json.dumps(arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=pin, env=environment)
    if done.returncode:
        return dict(failed=f"{module}.{function} ended with code {done.returncode}; what it said stands above")
    return json.loads(done.stdout.splitlines()[-1])


def all_cores() -> list[int]:
    """Cores that this process may use; none where the platform cannot pin a process."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []


def main() -> None:
    module, function, arguments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    size = Size(**{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.pop("size").items()})
    if path := arguments.pop("path", None):  # of another copy of the package
        sys.path.insert(0, path)
    import jax

    jax.config.update("jax_enable_x64", True)
    call = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    print(json.dumps(call(size, **arguments)))


if __name__ == "__main__":
    main()
