"""Rates from a table of measured overlaps or photon numbers.

FILE is a CSV table with names in its first line: either

  t, overlap 1, overlap 2, ...     after a known start, with their signs, or
  g0, overlap 1, ...               |overlap| once nothing moves any more

with "photons 1", photons per spin, beside overlaps or instead of them. The
numbers are those of patterns and their modes. A column "overlap 1 noise" holds
standard deviations, or --noise is that of all. What is empty or nan is missing.
Traces begin at t = 0 with --pattern stored, turned by --angle.

It prints the rates with 95 % intervals, how the fit ended, and what the data
leave open, and writes OUT/fit.png and OUT/fit.nc (read it with dicke_jax.load).
"""

import argparse
import csv
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import DickeModel, stored_pattern, tilted_pattern
from .._status import worst_text
from .options import MOST_PATTERNS, add_model, model_of, number, pattern_of, positive, real, whole
from .output import add_output, print_table, reason_of, watched

HELP = "rates, and how sure they are, from a table of measurements"
EPILOG = """\
examples:
  dicke-jax fit traces.csv --noise 0.02                  kappa and g0
  dicke-jax fit traces.csv --noise 0.02 --free kappa[0] g0 --angle 0.3
  dicke-jax fit curve.csv --free omega_spin --kappa 0.8

Rates that are not free keep the values given here, the others start there.
In names of rates modes count from 0: kappa[0] is the loss of pattern 1's."""
COLUMN = re.compile(r"(overlap|pattern|photons)[ _]?(\d+)([ _]noise)?")
FREE = {"t": ["kappa", "g0"], "g0": ["omega_spin", "omega_mode"]}  # by default


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help="the table of measurements")
    add = command.add_argument_group("fit").add_argument
    free = "rates to fit (default kappa g0; of stationary values omega_spin omega_mode)"
    add("--free", nargs="+", metavar="RATE", help=free)
    add("--noise", type=positive, metavar="X", help="standard deviation of every value without a column of it")
    add("--pattern", type=whole(1, MOST_PATTERNS), default=1, metavar="NU", help="the start, from 1 (default 1)")
    add("--angle", type=real, default=0.0, help="by which its spins are turned, in radians (default 0)")
    add("--restarts", type=whole(1, 10**4), default=8, metavar="N", help="starts of the search (default 8)")
    add("--g0", type=number(float, lambda x: 0 < x < np.inf, "positive and finite"), default=1.0, metavar="RATE",
        help="the coupling (default 1)")  # fmt: skip
    add_model(command, seed="turns and patterns", default="those of FILE")
    add_output(command)


def run(options: argparse.Namespace) -> dict[str, Any]:
    from ..inference import fit
    from ..plotting import plot_fit

    along, x, columns = _read(options.file)
    num_patterns = max(nu for _, nu in columns)
    if options.patterns is None and options.omega_mode is None:
        options.patterns = num_patterns
    model = model_of(options).replace(g0=options.g0)
    if num_patterns > model.num_modes:
        raise ValueError(f"FILE must be of at most {model.num_modes} patterns; got one with {num_patterns}.")
    data = (_traces if along == "t" else _curves)(options, model, x, columns)
    free = [_rate(name) for name in options.free or FREE[along]]
    found = watched(options.quiet, fit, model, data, free=free, num_restarts=options.restarts)
    options.output.save(found, plot_fit)
    low, high = np.asarray(found.intervals(0.95))
    rates = {
        name: {"value": value, "lower": a, "upper": b, "at_bound": bool(bound), "supported": bool(sure)}
        for name, value, a, b, bound, sure in zip(
            found.names, np.asarray(found.rates).tolist(), low, high, found.at_bound, found.is_supported, strict=True
        )
    }
    print(f"{found}\n")
    rows = [(name, *(_told(each[end]) for end in ("value", "lower", "upper"))) for name, each in rates.items()]
    print_table("Rates, and their 95 % intervals", ("rate", "value", "from", "to"), rows)
    if not found.successful:
        print("A start that is nearer (the rates given here), or more --restarts, may end elsewhere.")
    told = {"rates": rates, "undetermined": found.undetermined, "loss": found.loss}
    told |= {"reduced_chi_square": found.reduced_chi_square, "num_points": found.num_points}
    return told | {"status": worst_text(found.status), "successful": bool(found.successful)}


def _told(rate: float) -> str:
    return f"{rate:.6g}" if np.isfinite(rate) else "not determined"


Columns = dict[tuple[str, int], tuple[np.ndarray, np.ndarray | None]]


def _read(path: Path) -> tuple[str, np.ndarray, Columns]:
    """What the first column counts, it, and of each quantity and pattern the values and their noise, if it is told."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise ValueError(f"FILE must be a table that can be read; got {path} ({reason_of(error)}).") from None
    header, body = (lines[0] if lines else "").lstrip("# "), [line for line in lines[1:] if not line.startswith("#")]
    delimiter = max(",;\t", key=header.count)
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
    table = []
    for line, row in zip(body, csv.reader(body, delimiter=delimiter), strict=False):
        try:
            table.append([float(_point(text, delimiter)) if text.strip() else np.nan for text in row])
        except ValueError:
            raise ValueError(f"FILE must hold numbers below its first line; got {line.strip()[:60]!r}.") from None
        if len(row) != len(names):
            raise ValueError(f"FILE must have {len(names)} columns in each line; got {line.strip()[:60]!r}.")
    if len(table) < 2:
        raise ValueError(f"FILE must have at least two lines of numbers below its names; got {len(table)}.")
    found = dict(zip(names, np.array(table).T, strict=True))
    along = [(name, which) for name, which in (("t", "t"), ("time", "t"), ("g0", "g0")) if name in found]
    if len(along) != 1 or len(found) != len(names):
        raise ValueError(f"FILE must have one column t or g0, and none twice; got {', '.join(names) or 'none'}.")
    x, values, noise = found.pop(along[0][0]), {}, {}
    for name, numbers in found.items():
        match = COLUMN.fullmatch(name)
        if not match or not 1 <= int(match[2]) <= MOST_PATTERNS:
            raise ValueError(f"FILE must have columns 'overlap 1', 'photons 1', 'overlap 1 noise'; got {name!r}.")
        what = "photons" if match[1] == "photons" else "overlap"
        (noise if match[3] else values)[what, int(match[2])] = numbers
    if not values or noise.keys() - values.keys():
        raise ValueError(f"FILE must have columns of values, such as 'overlap 1'; got {', '.join(names)}.")
    return along[0][1], x, {which: (numbers, noise.get(which)) for which, numbers in values.items()}


def _point(text: str, delimiter: str) -> str:
    return text.replace(",", ".") if delimiter == ";" else text


def _noise_of(options: argparse.Namespace, values: np.ndarray, noise: np.ndarray | None, name: str) -> np.ndarray:
    """Standard deviations, 1 where there is no value."""
    if noise is None and options.noise is None:
        raise ValueError(f"--noise must be given, or a column '{name} noise'; got neither.")
    told = np.full(values.shape, options.noise) if noise is None else noise
    return np.where(np.isnan(values), 1.0, told)


def _curves(options: argparse.Namespace, model: DickeModel, g0: np.ndarray, columns: Columns) -> list[Any]:
    from ..inference import StationaryCurve

    data = []
    for (what, nu), (values, noise) in columns.items():
        known = dict(noise=_noise_of(options, values, noise, f"{what} {nu}"), missing=np.isnan(values))
        data.append(StationaryCurve(g0, values, pattern=nu - 1, quantity=what, **known))
    return data


def _traces(options: argparse.Namespace, model: DickeModel, t: np.ndarray, columns: Columns) -> list[Any]:
    from ..inference import TimeTrace

    nu, key = pattern_of(options, model.num_modes), jax.random.key(options.seed)
    start = tilted_pattern(key, model, nu, angle=options.angle) if options.angle else stored_pattern(model, nu)
    data = []
    for what in dict.fromkeys(what for what, _ in columns):
        values, noise = np.full((t.size, model.num_modes), np.nan), np.ones((t.size, model.num_modes))
        for (_, mu), (numbers, told) in ((which, found) for which, found in columns.items() if which[0] == what):
            values[:, mu - 1] = numbers
            noise[:, mu - 1] = _noise_of(options, numbers, told, f"{what} {mu}")
        data.append(TimeTrace(t, values, noise, start, quantity=what, missing=np.isnan(values)))
    return data


def _rate(name: str) -> str | tuple[str, int]:
    match = re.fullmatch(r"(\w+)\[(\d+)\]", name)
    return (match[1], int(match[2])) if match else name
