"""What a command leaves behind: files that are whole or not there, a table, a bar that tells how far it is."""

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .. import _progress

Result = TypeVar("Result")


def add_output(command: argparse.ArgumentParser) -> None:
    add, text = command.add_argument_group("output").add_argument, "where the files go (default here)"
    add("--out", type=Path, default=Path("."), metavar="FOLDER", help=text)
    add("--quiet", action="store_true", help="no progress bar")


class Output:
    """The data and the picture of one command, NAME.nc and NAME.png in a folder."""

    def __init__(self) -> None:
        self.written: list[Path] = []
        self.advice = ""  # what to type where a command was stopped

    def prepare(self, folder: Path, name: str) -> None:
        """Make the folder and write to it, before any work is done for it."""
        self.data, self.picture = folder / f"{name}.nc", folder / f"{name}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise ValueError(f"--out must be a folder that can be written; got {folder} ({reason}).") from None
        for path in (self.data, self.picture):
            if path.is_dir():
                raise ValueError(f"--out must be a folder without a folder {path.name} in it; got {folder}.")

    def save(self, results: Any, draw: Callable[[Any], Any]) -> None:
        """First the data, then the picture, each under its name when it is whole."""
        import matplotlib

        matplotlib.use("agg")
        import matplotlib.pyplot as plt

        from ..studies import save
        from ..studies.results import whole_file

        self.written.append(save(results, self.data))
        draw(results)
        with whole_file(self.picture) as file:
            plt.savefig(file, format="png", dpi=160)
        plt.close("all")
        self.written.append(self.picture)


def reason_of(error: Exception) -> str:
    """Why a file could not be read, in a line."""
    told = str(error) if isinstance(error, ValueError) else getattr(error, "strerror", None) or str(error)
    return (told.splitlines() or [type(error).__name__])[0].rstrip(".")


def as_json(found: Mapping[str, Any]) -> str:
    """Numbers for a script: what is infinite or not a number is null, and lists have the order of patterns from 0."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(name): plain(each) for name, each in value.items()}
        if isinstance(value, Path):
            return str(value)
        if isinstance(value, str | bool | int | None):
            return value
        if not isinstance(value, list | tuple):
            value = np.asarray(value).tolist()
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return value if not isinstance(value, float) or math.isfinite(value) else None

    return json.dumps(plain(found), indent=2, allow_nan=False)


def print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as what stands in them: no heading is cut, however narrow the terminal."""
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["   ".join(map(str.rjust, line, widths)) for line in lines]
    line = "─" if "─".encode(sys.stdout.encoding or "ascii", "ignore") else "-"
    print(title, "", *(f"  {text}" for text in (texts[0], line * len(texts[0]), *texts[1:])), "", sep="\n")


def watched(quiet: bool, study: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """What a study finds; on the way, a line on stderr with the runs finished, all runs, the time left and the rate."""
    if quiet:
        return study(*arguments, **options)
    with _progress.watched(getattr(study, "__qualname__", "").partition(".")[0].replace("_", " ").lower()):
        return study(*arguments, **options)
