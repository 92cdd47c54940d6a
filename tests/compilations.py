"""How many programs are compiled, and which."""

import contextlib
from collections.abc import Iterator

import jax
import jax.monitoring

EVENT = "/jax/core/compile/backend_compile_duration"
_listening: list[list[str]] = []


def _listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event == EVENT:
        for names in _listening:
            names.append(str(kwargs.get("fun_name", "")))


jax.monitoring.register_event_duration_secs_listener(_listen)


@contextlib.contextmanager
def compilations(*, fresh: bool = False) -> Iterator[list[str]]:
    """The names of the programs that were compiled within, with `fresh` as if nothing had been compiled before."""
    if fresh:
        jax.clear_caches()
    names: list[str] = []
    _listening.append(names)
    try:
        yield names
    finally:
        _listening.remove(names)
