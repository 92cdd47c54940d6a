"""Ctrl-C as the command `dicke-jax` wants it. The package imports this first, before what takes a second to load.

Python raises KeyboardInterrupt wherever it is. In the imports that is within compiled modules, some of which abort the
process; in the work it may be within a callback of JAX's garbage collection, which reports it and goes on.
"""

import os
import signal
import sys
import threading
from typing import Any

AGAIN = 0.05  # seconds after which an interrupt that a callback swallowed is raised once more


def is_command() -> bool:
    """Whether this process is `dicke-jax` or `python -m dicke_jax`."""
    started = sys.orig_argv[1:3] == ["-m", "dicke_jax"] or os.path.basename(sys.argv[0]) == "dicke-jax"
    return started and threading.current_thread() is threading.main_thread()


def end_quietly(*_: Any) -> None:
    """What Ctrl-C does as long as there is nothing to clear away."""
    os.write(2, b"dicke-jax: interrupted; nothing was written\n")
    os._exit(130)


def raise_always() -> None:
    """What it does from then on: KeyboardInterrupt, also where a callback has swallowed the first."""

    def again(report: Any) -> None:
        if not issubclass(report.exc_type, KeyboardInterrupt):
            return sys.__unraisablehook__(report)
        timer = threading.Timer(AGAIN, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
        timer.daemon = True
        timer.start()

    sys.unraisablehook = again
    signal.signal(signal.SIGINT, signal.default_int_handler)


if is_command():
    signal.signal(signal.SIGINT, end_quietly)
