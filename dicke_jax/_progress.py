"""Waiting is shown: what takes longer than two seconds says on one line what it does, and how far it is.

The door (_door.py) begins a `Wait` with every public call that is not within another one; loops in Python say how far
they are by a `Loop`. A thread looks at that twice a second and draws, in a terminal or in a notebook. All this is
Python beside JAX: no program is changed by it, and under a trace there is no `Wait`.
"""

import atexit
import contextvars
import multiprocessing
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeAlias

import jax

from ._checks import refuse, told

AFTER, EVERY, IDLE = 2.0, 0.5, 20  # seconds before a line appears and between two looks; looks before the thread rests
COMPILING = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration", "backend_compile_duration")  # of jax.monitoring
BAR = 20  # cells
Report: TypeAlias = Callable[[int, int], Any] | None


class _Here(threading.local):
    def __init__(self) -> None:
        self.depth = [0]  # how many of JAX's traces and compilations this thread is in


def _nobody() -> None:
    return None


_here, _lock, _wake = _Here(), threading.RLock(), threading.Event()
_on = os.environ.get("DICKE_JAX_PROGRESS", "1").lower() not in ("0", "off", "no", "false")
_current: "Callable[[], Wait | None]" = _nobody  # one at a time: calls within it, or in other threads, are not shown
_thread: threading.Thread | None = None
_place: tuple[Any, Any] = (None, None)  # a stream, and what draws where it goes


def show_progress(on: bool) -> None:
    """Whether what takes longer than two seconds says so on standard error; it does unless this is turned off.

    It is shown in a terminal and in a notebook, on one line that goes away at the end: what is called, whether it is
    compiled or runs, how far it is and the time left where that is known. In a file, a pipe, a test or a process of a
    pool nothing is shown, and nothing of a call to which `progress` is given. The environment variable
    DICKE_JAX_PROGRESS=0 turns it off from the start.

    **Arguments**

    - `on`: False to be silent from now on, True to be shown again.

    **Raises** ValueError for what is neither True nor False.

    **Example**

        >>> dj.show_progress(False)
    """
    global _on, _place
    if not isinstance(on, bool):
        refuse("on", "True or False", told(on))
    _on, _place = on, (None, None)


class Wait:
    """One public call: since when it is on its way, and how far it is."""

    done, total, unit, at_most, is_over, detail = 0, None, "", False, False, ""  # here: a call may take a millisecond
    marks: Sequence[tuple[float, int]] = ()  # when the loop began, when its first part was there, and the last
    loop: "Callable[[], Loop | None]" = staticmethod(_nobody)  # the outermost that is on its way
    display: Any = None

    def __init__(self, name: str, after: float | None = None, silent: bool = False) -> None:
        self.name, self.silent, self.depth = name, silent, _here.depth
        self.after = AFTER if after is None else after
        self.thread, self.began, self.context = threading.get_ident(), time.monotonic(), contextvars.copy_context()

    def tell(self, done: int, total: int | None, unit: str = "runs", at_most: bool = False) -> None:
        """So many are done, of all where that is known; with `at_most` there may be fewer."""
        if unit != self.unit or total != self.total:
            self.marks = ()
        self.done, self.total, self.unit, self.at_most = done, total, unit, at_most
        if not self.marks or done > self.marks[-1][1]:
            self.marks = [*self.marks[:2], (time.monotonic(), done)]

    def line(self, columns: int = 200) -> str:
        """What is shown now, without the rate and the bar where there is no room."""
        now, does = time.monotonic(), "compiling" if self.depth[0] else "running"
        name, clock = f"{self.name}{self.detail}, {does}", _clock(now - self.began)
        if not self.total:
            return f"{name}, {self.done} {self.unit}, {clock}" if self.done > 1 else f"{name}, {clock}"
        full, cells = min(BAR * self.done // self.total, BAR), "█░" if _can_print("█░") else "#."
        count, (left, rate) = f"{self.done}/{self.total} {self.unit}, {clock}", self._left(now)
        long = f"{name} {cells[0] * full}{cells[1] * (BAR - full)} {count}{left}"
        return next((text for text in (long + rate, long) if len(text) < columns), f"{name}, {count}{left}")

    def _left(self, now: float) -> tuple[str, str]:
        """The time left, and the rate. The first part is compiled as well: what follows is at most as slow."""
        if len(self.marks) < 2 or not self.total or self.done >= self.total or self.is_over:
            return "", ""
        (start, first), (then, last) = self.marks[1 if len(self.marks) > 2 else 0], self.marks[-1]
        rate = (last - first) / max(then - start, 1e-9)
        at_most = "at most " if self.at_most or len(self.marks) == 2 else ""
        left = max((self.total - last) / rate - (now - then), 0.0)
        return f", left {at_most}{_clock(left)}", f", {rate:,.3g} a second"


class Loop:
    """A loop that takes long, with what it reports to; it ends when nothing refers to it any more."""

    def __init__(self, total: int | None, unit: str = "runs", progress: Report = None, at_most: bool = False) -> None:
        self.total, self.unit, self.progress, self.at_most = total, unit, progress, at_most
        wait = _current()
        self.wait = wait if wait is not None and wait.thread == threading.get_ident() else None

    def __call__(self, done: int, total: int | None = None) -> None:
        total = self.total if total is None else total
        if self.progress is not None:  # which may be a loop around this one
            self.progress(done, done if total is None else total)
        if self.wait is not None:
            if self.wait.loop() is None:
                self.wait.loop = weakref.ref(self)
            if self.wait.loop() is self:
                self.wait.tell(done, total, self.unit, self.at_most)


def begin(name: str, silent: bool = False) -> Wait | None:
    """The wait for a public call; None within another one or a trace, and where nobody sees it. To be ended."""
    global _current
    if _current() is not None or _here.depth[0] or _display() is None:
        return None
    wait = Wait(name, silent=silent)
    _current = weakref.ref(wait)  # an interrupt before `end` can be promised leaves nothing behind
    if not _wake.is_set():
        _wake.set()
    return wait


def say(detail: str) -> None:
    """Something that who waits for the call that is on its way should know, until it says something else."""
    if (wait := _current()) is not None and wait.thread == threading.get_ident():
        wait.detail = f" ({detail})"


def end(wait: Wait) -> None:
    global _current
    with _lock:
        _current = _nobody
        if wait.display is not None:
            wait.display.erase()


@contextmanager
def watched(name: str, quiet: bool = False) -> Iterator[None]:
    """The wait for a command, shown as soon as it tells how far it is; its last line stays, in a file as well.

    With `quiet` nothing is shown, nor of the calls within.
    """
    global _current
    before, wait = _current, Wait(name, 0.0, quiet)
    _current = weakref.ref(wait)
    if not quiet and _display() is not None:
        _wake.set()
    try:
        yield
    finally:
        with _lock:
            _current = before
            if wait.display is not None:
                wait.display.erase()
            wait.is_over = True
            if wait.marks and not quiet:
                with suppress(OSError, ValueError):
                    print(wait.line(), file=sys.stderr, flush=True)


def _display() -> Any:
    """What draws on standard error as it is now; None where nobody sees it."""
    global _place
    stream = sys.stderr
    if _place[0] is not stream:
        _place = stream, _display_on(stream)
        if _place[1] is not None:
            _start()
    return _place[1]


def _display_on(stream: Any) -> Any:
    if not _on or stream is None or "PYTEST_VERSION" in os.environ or multiprocessing.parent_process() is not None:
        return None
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is not None:
        return _Notebook
    with suppress(ValueError):
        return _Terminal if stream.isatty() and os.environ.get("TERM") != "dumb" else None
    return None


def _start() -> None:
    """The thread that draws, and what tells it of compilations; in a process where nobody sees it there is neither."""
    global _thread
    if _thread is not None and _thread.is_alive():
        return
    if _thread is None:
        jax.monitoring.register_scalar_listener(lambda event, *_, **__: _count(event, 1))
        jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: _count(event, -1))
        atexit.register(show_progress, False)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_begin_anew)
    _thread = threading.Thread(target=_watch, name="dicke_jax progress", daemon=True)
    _thread.start()


def _begin_anew() -> None:
    """In a process that was forked there is no thread, and the lock may be held for ever."""
    global _lock, _place, _current
    _lock, _place, _current = threading.RLock(), (None, None), _nobody


def _count(event: str, change: int) -> None:
    if event.endswith(COMPILING):
        _here.depth[0] = max(_here.depth[0] + change, 0)


def _watch() -> None:
    idle = 0
    while True:
        _wake.wait()
        time.sleep(EVERY)
        idle = idle + 1 if _current() is None else 0
        if idle > IDLE:
            _wake.clear()
            if _current() is not None:  # begun since
                _wake.set()
        with _lock:
            wait = _current()
            if wait is not None and not wait.silent and _on:
                _draw(wait)


def _draw(wait: Wait) -> None:
    is_command = not wait.after
    if time.monotonic() - wait.began < wait.after or (is_command and not wait.marks):
        return
    try:
        if wait.display is None:
            wait.display = _place[1]()
        wait.context.run(wait.display.show, wait.line(wait.display.columns()))
    except Exception:  # whatever is wrong with where it is drawn, the call goes on
        wait.silent = True


class _Terminal:
    """A line that is overwritten; the cursor waits at its beginning, for what others print."""

    def __init__(self) -> None:
        self.stream, self.width = sys.stderr, 0

    def columns(self) -> int:
        with suppress(OSError, ValueError):
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        return 80

    def show(self, text: str) -> None:
        text = text[: self.columns() - 1]
        self.stream.write(f"\r{text:<{self.width}}\r")
        self.stream.flush()
        self.width = len(text)

    def erase(self) -> None:
        with suppress(OSError, ValueError):
            self.show("")


class _Notebook:
    """An output of the cell that is replaced; in the end there is nothing in it."""

    def __init__(self) -> None:
        self.handle: Any = None

    def columns(self) -> int:
        return 100

    def show(self, text: str) -> None:
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        if self.handle is None:
            self.handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self.handle.update({"text/plain": text}, raw=True)

    def erase(self) -> None:
        with suppress(Exception):
            self.show("")


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _can_print(text: str) -> bool:
    with suppress(LookupError, UnicodeError):
        return bool(text.encode(getattr(sys.stderr, "encoding", None) or "ascii"))
    return False
