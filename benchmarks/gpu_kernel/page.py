"""Rows of a run as a page, whatever of them is there."""

import json
import math
from pathlib import Path
from typing import Any

Row = dict[str, Any]
TITLES = {
    "about": "The machine",
    "million": "10^6 rows, float64, T = 100, M = 4, tolerance 1e-10, until last states are NumPy's",
    "ceilings": "Share of what the device can do",
    "by_diffrax": "Against diffrax's own solvers under jax.vmap, 100,000 rows",
    "steady": "Until nothing moves: cues tilted by 0.3 rad at g0 = 1.2",
    "profile": "What Nsight Compute says",
    "single": "10^6 rows in float32",
    "saved": "Overlaps at 101 times, 100,000 rows",
    "couplings": "Other models, 100,000 rows",
}
ABOUT = """`python -m benchmarks.gpu_kernel`. Ways are run in turn; s is the median of a whole call, from JAX's arrays
on the device to NumPy's, beside the least and the most; kernel_s is the launch alone, by the device's clock. Errors are
of the last spins against SciPy's DOP853 at 1e-13, 24 rows; what is apart are numbers with the kernel and without."""
HIDDEN = "stage", "log", "mark", "route", "rows_per_s"


def rows_of(file: Path) -> list[Row]:
    """What is written so far; a line that is not finished is left for later."""
    rows = []
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def demands(rows: list[Row]) -> list[str]:
    """What was asked for, with what was found."""

    def of(stage: str, **like: Any) -> Row:
        apart = ("mark", "skipped", "tol")
        done = [row for row in rows if row["stage"] == stage and not row.keys() & set(apart)]
        found = [row for row in done if all(row.get(key) == value for key, value in like.items())]
        return found[-1] if found else {}

    kernel, jax = of("million", way="solve_ensemble"), of("million", way="solve_ensemble without the kernel")
    share = next((row for row in rows if "share_of_peak" in row), {})
    lines = ["| asked for | found |", "| --- | --- |"]

    def line(asked: str, found: Any) -> None:
        lines.append(f"| {asked} | {found or 'not measured'} |")

    line("10^6 rows in 1 s, host copies included", kernel and f"{kernel['rows']:,} rows in {kernel['s']:.3f} s")
    line("median error at most 1e-8", kernel and f"{kernel['error']['median']:.1e}")
    line("faster than JAX's way", kernel and jax and f"{jax['s'] / kernel['s']:.2f} times")
    line("at least 15 % of the float64 peak", share and f"{100 * share['share_of_peak']:.1f} %")
    for name in ("Dopri8 1e-10", "Tsit5 1e-10"):
        theirs, ours = of("by_diffrax", way=name), of("by_diffrax", way="solve_ensemble")
        both = theirs and ours and f"{theirs['us_a_row'] / ours['us_a_row']:.1f} times, of {ours['rows']:,} rows"
        line(f"at least 50 times as fast as vmapped {name}", both)
    for number in (4, 2):
        most = of("steady", num_patterns=number, rows=1_000_000)
        ends = most and ", ".join(f"{many:,} {name}" for name, many in most["ends"].items())
        line(f"10^6 steady states in 20 s, M = {number}", most and f"{most['rows']:,} in {most['s']:.2f} s: {ends}")
    return lines


def page(rows: list[Row]) -> str:
    lines = ["# Ensembles on a GPU: one launch", "", *ABOUT.splitlines(), "", *demands(rows), ""]
    for stage, title in TITLES.items():
        own = [row for row in rows if row["stage"] == stage and "mark" not in row]
        if not own:
            continue
        lines += [f"## {title}", ""]
        for names, group in _alike([{key: row[key] for key in row if key not in HIDDEN} for row in own]):
            lines += [f"| {' | '.join(names)} |", f"| {' | '.join('---' for _ in names)} |"]
            lines += [f"| {' | '.join(_told(row[name]) for name in names)} |" for row in group]
            lines.append("")
    return "\n".join(lines)


def _alike(rows: list[Row]) -> list[tuple[tuple[str, ...], list[Row]]]:
    """Rows with the same names, one after the other, are a table."""
    tables: list[tuple[tuple[str, ...], list[Row]]] = []
    for row in rows:
        names = tuple(row)
        if not tables or tables[-1][0] != names:
            tables.append((names, []))
        tables[-1][1].append(row)
    return tables


def _told(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(one)}" for key, one in value.items())
    if isinstance(value, list):
        return "<br>".join(map(_told, value))
    return " ".join(str(value).replace("|", "/").split())
