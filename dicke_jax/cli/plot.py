"""A picture of what a sweep has found so far: lines over one axis, a map over two.

Patterns are lines or one of them a map, seeds are averaged over; of other
axes --at chooses the nearest value. Dashed lines are critical couplings.
"""

import argparse
from pathlib import Path
from typing import Any

from .options import whole

HELP = "a picture of what the store of a sweep holds"


def add_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("store", type=Path, help="the folder that keeps a sweep's rows")
    add("file", type=Path, nargs="?", help="the picture to write (default STORE.png)")
    add("--variable", metavar="NAME", help="what to show (default the chance of retrieval, or what there is)")
    add("--pattern", type=whole(1, 10**6), metavar="NU", help="which one a map shows, from 1 (default the first)")
    add("--at", nargs="+", default=[], metavar="AXIS=VALUE", help="where to cut axes that are not shown")


def run(options: argparse.Namespace) -> dict[str, Any]:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from ..plotting import plot_sweep
    from ..studies import open_store
    from ..studies.results import whole_file

    try:
        found = open_store(options.store)
    except ImportError as error:
        raise ValueError(str(error)) from None
    for text in options.at:
        name, _, value = text.rpartition("=")
        axes = [str(dim) for dim in found.dims if dim != "mode"]
        try:
            found = found.sel({axes[axes.index(name)]: float(value)}, method="nearest")
        except (ValueError, KeyError):
            raise ValueError(f"--at must be AXIS=VALUE with an axis of {', '.join(axes)}; got {text}.") from None
    path = options.file or options.store.with_name(f"{options.store.resolve().name}.png")
    plot_sweep(found, options.variable, pattern=None if options.pattern is None else options.pattern - 1)
    kind = path.suffix[1:].lower() or "png"
    if kind not in plt.gcf().canvas.get_supported_filetypes():
        raise ValueError(f"FILE must be a picture, such as .png, .pdf or .svg; got {path}.")
    with whole_file(path) as file:
        plt.savefig(file, format=kind, dpi=160)
    plt.close("all")
    options.output.written.append(path)
    return {}
