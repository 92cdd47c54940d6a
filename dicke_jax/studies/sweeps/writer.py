"""One writer at a time: a file in the store says who it is, and is locked for as long as that process lives."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..._checks import refuse

try:
    import fcntl
except ImportError:  # no such locks on Windows: there what the file says counts
    fcntl = None

FILE = ".writer"


@contextmanager
def only_writer(store: str | os.PathLike[str]) -> Iterator[None]:
    """Refuse a second writer. Readers need not ask.

    A process that was killed on this machine leaves a file that nobody holds, and that the next writer takes over.
    One of another machine may still be at work: its file is for a person to remove.
    """
    path = Path(store) / FILE
    file = _held(path)
    try:
        about = dict(process=os.getpid(), host=socket.gethostname(), since=time.strftime("%Y-%m-%d %H:%M:%S"))
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(about).encode(), 0)
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(file)


def _held(path: Path) -> int:
    """The open file, which this process alone holds."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            locked, text = _locked(file), os.read(file, 1000)
            if os.path.samestat(os.fstat(file), os.stat(path)):
                _check(path, locked, text)
                return file
        except FileNotFoundError:  # its writer has removed it meanwhile: look again
            pass
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _locked(file: int) -> bool | None:
    """Whether this process holds the file; None where a file system has no locks."""
    try:
        if fcntl is None:
            return None
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _check(path: Path, locked: bool | None, text: bytes) -> None:
    try:
        about = json.loads(text)
        process, host, since = (about[name] for name in ("process", "host", "since"))
    except (ValueError, TypeError, KeyError):  # the file is new, or its writer was stopped before it could say
        process, host, since = "another", "?", "?"
    if locked is False or (text and (locked is None or host not in ("?", socket.gethostname()))):
        by = f"process {process} on {host} writes since {since}"
        was = f"{path.parent}, which {by}; if that is no more, remove {path}"
        refuse("store", "written by one process at a time", was)
