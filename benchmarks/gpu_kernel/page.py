"""Rows of a run as a page, whatever of them is there."""

import json
import math
from pathlib import Path
from typing import Any

Row = dict[str, Any]
TITLES = {
    "about": "The machine",
    "blocks": "Blocks, registers and spills: the kernel alone",
    "against_scipy": "Errors of the last spins against SciPy's DOP853 at 1e-13",
    "million": "10^6 rows, float64, T = 100, M = 4, tolerance 1e-10, until last states are NumPy's",
    "ceilings": "Share of what the device can do",
    "by_diffrax": "Against diffrax's own solvers under jax.vmap",
    "correct": "Against solve_ensemble on the same device",
    "single": "10^6 rows in float32",
    "steady": "Until nothing moves: tilted cues at g0 = 1.2, last states that nobody judges",
    "profile": "What Nsight Compute says",
    "couplings": "Other couplings",
}
HIDDEN = "stage", "log", "mark"


def rows_of(file: Path) -> list[Row]:
    """What is written so far; a line that is not finished is left for later."""
    rows = []
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def best_shape(rows: list[Row]) -> dict[str, int] | None:
    """The block that was the fastest in float64."""
    fitting = [
        row for row in rows if row["stage"] == "blocks" and row.get("precision") == "float64" and "kernel_s" in row
    ]
    fastest = min(fitting, key=lambda row: row["kernel_s"], default=None)
    return None if fastest is None else {name: fastest[name] for name in ("block", "blocks_each")}


def demands(rows: list[Row]) -> list[str]:
    """What issue 17 must show, with what was found."""

    def of(stage: str, **like: Any) -> Row:
        done = [row for row in rows if row["stage"] == stage and "mark" not in row and "skipped" not in row]
        found = [row for row in done if all(row.get(key) == value for key, value in like.items())]
        return found[-1] if found else {}

    kernel, jax = of("million", way="kernel"), of("million", way="solve_ensemble")
    share = next((row for row in rows if "share_of_peak" in row), {})
    at_rest = [row for row in rows if row["stage"] == "steady" and "us_a_row" in row]
    lines = ["| asked for | found |", "| --- | --- |"]

    def line(asked: str, found: str | None) -> None:
        lines.append(f"| {asked} | {found or 'not measured'} |")

    line("10^6 rows in 1 s, host copies included", kernel and f"{kernel['rows']:,} rows in {kernel['s']:.3f} s")
    line("median error at most 1e-8", kernel and f"{kernel['error']['median']:.1e}")
    line("faster than JAX's way", kernel and jax and f"{jax['s'] / kernel['s']:.2f} times")
    line("at least 15 % of the float64 peak", share and f"{100 * share['share_of_peak']:.1f} %")
    for name in ("Dopri8 1e-10", "Tsit5 1e-10"):
        theirs, ours = of("by_diffrax", way=name), of("by_diffrax", way="kernel")
        both = theirs and ours and f"{theirs['us_a_row'] / ours['us_a_row']:.1f} times, of {ours['rows']:,} rows"
        line(f"at least 50 times as fast as vmapped {name}", both)
    most = at_rest[-1] if at_rest else {}
    line("10^6 steady states in 20 s", most and f"{most['rows']:,} in {most['s']:.2f} s, {most['at_rest']:,} at rest")
    return lines


def page(rows: list[Row]) -> str:
    lines = ["# One launch for an ensemble: a trial", "", *demands(rows), ""]
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
