"""What a command leaves behind: files that are whole or not there, a table, a bar that tells how far it is."""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr


def add_output(command: argparse.ArgumentParser) -> None:
    output = command.add_argument_group("output")
    output.add_argument(
        "--out", type=Path, default=Path("."), metavar="FOLDER", help="where the files go (default here)"
    )
    output.add_argument("--quiet", action="store_true", help="no progress bar")


class Output:
    """The data and the picture of one command, NAME.nc and NAME.png in a folder."""

    def __init__(self) -> None:
        self.written: list[Path] = []

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

    def save(self, results: "xr.Dataset", draw: Callable[["xr.Dataset"], Any]) -> None:
        """First the data, then the picture, each under its name when it is whole."""
        import matplotlib

        matplotlib.use("agg")
        import matplotlib.pyplot as plt

        from ..studies.results import save_results, whole_file

        self.written.append(save_results(results, self.data))
        draw(results)
        with whole_file(self.picture) as file:
            plt.savefig(file, format="png", dpi=160)
        plt.close("all")
        self.written.append(self.picture)

    def tell(self) -> None:
        print(f"wrote {' and '.join(str(path) for path in reversed(self.written))}")


def print_table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as what stands in them: no heading is cut, however narrow the terminal."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    texts = ["   ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    print(title, "", *(f"  {text}" for text in (texts[0], "─" * len(texts[0]), *texts[1:])), "", sep="\n")


@contextmanager
def progress_bar(quiet: bool):
    """A bar on stderr with the time left: what is given is called with the numbers of finished and of all runs."""
    if quiet:
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn())
    times = (progress.TimeElapsedColumn(), progress.TextColumn("left"), progress.TimeRemainingColumn())
    with progress.Progress(*columns, *times, console=Console(stderr=True)) as bar:
        task = bar.add_task("compiling", total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description="runs" if done else "compiling")

        yield report
