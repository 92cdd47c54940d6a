"""Draws are asked in worker processes, which are restarted when they crash, hang or grow; and the verdicts counted."""

import contextlib
import json
import os
import re
import resource
import select
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

WORDS = ("right", "refused", "wrong", "unclear", "crashed", "hung", "unchecked")
KNOWN_KINDS = ("ties", "trace", "complex", "wigner", "fit")  # of known_kinds.py, which loads the package
KINDS = (*KNOWN_KINDS, "levels", "orbit", "sweep")  # and of new_kinds.py
CLEAR = re.compile(r"[^\n]+ must be [^\n]+; got [^\n]+\.|\w+ failed: [^\n]+")
LARGE = 4_000_000  # KB of memory from which on a worker is replaced
PATIENCE = 200.0  # seconds for the slow route, which watches its own time
ROOT = Path(__file__).parents[__package__.count(".") + 1]


def verdict_of(name, told=lambda: None, asked=None):
    """The draw, a word and what was found, in this process. `told` is called once there is an answer."""
    seed, number, *kind = name.split(":")
    if kind and kind[0] not in KNOWN_KINDS:
        from .new_kinds import ask, draw, judge
    elif kind:
        from .known_kinds import ask, draw, judge
    else:
        from .asking import ask
        from .drawing import draw
        from .judging import judge
    question = draw(int(seed), int(number), *kind)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            answer = (ask if asked is None else asked)(question)
        except AssertionError as error:
            return question, "wrong", str(error)
        except Exception as error:
            text = str(error).strip()
            if CLEAR.fullmatch(text):
                return question, "refused", text
            where = traceback.extract_tb(error.__traceback__)[-1]
            return question, "unclear", f"{type(error).__name__}: {text[:300]!r} ({where.name}, line {where.lineno})"
    told()
    try:
        word, found = judge(question, answer)
    except Exception:  # of the slow route's own
        word, found = "unchecked", f"the judge failed: {traceback.format_exc()[-300:]}"
    unclear = [str(w.message) for w in caught if w.category is not DeprecationWarning]
    unclear = [text for text in unclear if not CLEAR.fullmatch(text.strip())]
    if unclear and word in ("right", "refused", "unchecked"):
        return question, "unclear", f"warning: {unclear[0][:300]!r}"
    return question, word, found


def work():
    """A worker: names of draws come in, a line when there is an answer and one with the verdict go out."""
    import jax

    jax.config.update("jax_enable_x64", True)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed is no verdict

    def say(**what):
        out.write(json.dumps(what) + "\n")
        out.flush()

    for line in sys.stdin:
        begun = time.process_time()

        def told(begun=begun):
            say(seconds=round(time.process_time() - begun, 1))

        question, word, found = verdict_of(line.strip(), told)
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        say(verdict=word, found=found, about=str(question), size=size)


def waiting(pid):
    """Seconds for which each thread of a process has stood in line for a core, where the system tells."""
    seconds = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            seconds[path.parent.name] = int(path.read_text().split()[1]) / 1e9
    return seconds


class Worker:
    """A process that works, and is replaced when it must be."""

    def __init__(self, command=None):
        self.command = [sys.executable, "-m", __package__, "--worker"] if command is None else command
        self.process = None

    def verdict(self, name, limit):
        if self.process is None:
            pipe, where = (
                subprocess.PIPE,
                {"PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(ROOT)])},
            )
            self.process = subprocess.Popen(
                self.command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=os.environ | where, bufsize=0
            )
            self.rest = b""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{name}\n".encode())
        seconds, waits = None, (limit, PATIENCE)
        for wait in waits:
            line = self._line(wait)
            if line is None:
                self.stop()
                said = {"verdict": "hung", "found": f"no answer in {limit:g} s"}
                return said if seconds is None else {"verdict": "unchecked", "found": "the slow route takes too long"}
            if line == b"":
                code = self.process.wait()
                self.stop()
                return {"verdict": "crashed", "found": f"the process ended with code {code}"}
            said = json.loads(line)
            if "verdict" in said:
                if said.get("size", 0) > LARGE:
                    self.stop()
                return said | {"seconds": seconds}
            seconds = said["seconds"]
        raise AssertionError("a worker says two lines at most")

    def _line(self, wait):
        """The next line; None where none comes in time, nothing where the process has ended.

        The time that the process waits for a core does not count: on a busy machine a limit would measure the others.
        """
        left, out, now, waited = wait, self.process.stdout.fileno(), time.monotonic(), waiting(self.process.pid)
        while b"\n" not in self.rest:
            if left <= 0:
                return None
            if select.select([out], [], [], min(left, 1.0))[0]:
                part = os.read(out, 65536)
                if not part:
                    return b""
                self.rest += part
            before, now, waited_before, waited = now, time.monotonic(), waited, waiting(self.process.pid)
            hindered = max((t - waited_before.get(thread, 0.0) for thread, t in waited.items()), default=0.0)
            left -= max(now - before - hindered, 0.0)
        line, _, self.rest = self.rest.partition(b"\n")
        return line

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None


def run(names, workers, limit, path=None, command=None, tell=print):
    """Verdicts by name. Each is a line of the file at `path`; those that it has already are not asked again."""
    verdicts = {}
    if path is not None and path.exists():
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # the last line of a run that was interrupted
                said = json.loads(line)
                verdicts[said["draw"]] = said
    waiting, lock = [name for name in reversed(names) if name not in verdicts], threading.Lock()

    def serve():
        worker = Worker(command)
        try:
            while True:
                with lock:
                    if not waiting:
                        return
                    name = waiting.pop()
                said = {"draw": name} | worker.verdict(name, limit)
                with lock:
                    verdicts[name] = said
                    if path is not None:
                        with path.open("a") as file:
                            file.write(json.dumps(said) + "\n")
                    if said["verdict"] not in ("right", "refused", "unchecked"):
                        tell(line_of(said))
        finally:
            worker.stop()

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: verdicts[name] for name in names if name in verdicts}


def line_of(said):
    about = f" [{said['about']}]" if "about" in said else ""
    return f"{said['verdict']}: {said['found']}{about}\n    python -m tests.fuzzer --draw {said['draw']}"


def counts(verdicts):
    """How many of each kind, and what was refused."""
    numbers = Counter(said["verdict"] for said in verdicts.values())
    lines = [f"{len(verdicts)} draws: " + ", ".join(f"{numbers[word]} {word}" for word in WORDS)]
    refused = Counter(said["found"].partition("; got")[0] for said in verdicts.values() if said["verdict"] == "refused")
    lines += [f"    refused {number} times: {text}" for text, number in refused.most_common()]
    return "\n".join(lines)
