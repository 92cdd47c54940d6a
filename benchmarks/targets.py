"""What the project wants to reach, and whether a run reached it."""

from collections.abc import Callable
from typing import Any

Row = dict[str, Any]


def targets(sections: dict[str, Any]) -> list[Row]:
    """Every target with what was measured, and with the reason where nothing was."""
    first = sections.get("first_answer", [])
    return [_target(sections, *entry) for entry in WANTED] + [
        dict(target=f"{row['mode']}: at most {row['limit']:g}", found=row["found"], how=row["unit"])
        | dict(met=row["found"] <= row["limit"])
        for row in (first if isinstance(first, list) else [])
        if "limit" in row
    ]


def median(row: Row) -> float:
    return row["ms"]["median"]


def _target(sections: dict[str, Any], section: str, text: str, limit: float, measure: Callable[[Any], Any]) -> Row:
    at_least = "at least" in text
    row: Row = dict(target=text.format(limit), limit=limit)
    try:
        rows = sections[section]
        if isinstance(rows, dict) and "failed" in rows:
            raise KeyError(rows["failed"])
        found, how = measure(rows)
    except KeyError as missing:
        return row | dict(met=None, how=f"not measured: {missing.args[0]}")
    return row | dict(found=found, met=found >= limit if at_least else found <= limit, how=how)


def _find(rows: list[Row], *parts: str) -> Row:
    found = next((row for row in rows if all(part in row["mode"] for part in parts)), None)
    if found is None or "skipped" in found:
        raise KeyError(" ".join(parts) + (f", {found['skipped']}" if found else ", no such row"))
    return found


def _matched(rows: list[Row], peer: Row, start: str, *parts: str) -> Row:
    """The fastest of our rows whose errors, the median and the largest, are not above those of the peer."""
    own = [row for row in rows if row["mode"].startswith(start) and all(part in row["mode"] for part in parts)]
    own = [row for row in own if "ms" in row and "Dopri8" not in row["mode"] and "Tsit5" not in row["mode"]]
    good = [row for row in own if all(row["error"][which] <= peer["error"][which] for which in ("median", "max"))]
    if not good:
        raise KeyError(f"no {start} at the error of {peer['mode']}")
    return min(good, key=median)


def _against(own: Row, peer: Row, inverse: bool = False) -> tuple[float, str]:
    ratio = median(own) / median(peer)
    return 1 / ratio if inverse else ratio, f"{own['mode']} against {peer['mode']}"


def _dopri8(rows: list[Row], start: str) -> tuple[float, str]:
    peer = _find(rows, "vmap(mfsolve), Dopri8")
    return _against(_matched(rows, peer, start), peer, inverse=True)


def _heyoka(rows: list[Row], *parts: str) -> tuple[float, str]:
    peer = _find(rows, "heyoka.py, 1e-9")
    return _against(_matched(rows, peer, "solve_ensemble", *parts), peer)


def _default_heyoka(rows: list[Row]) -> tuple[float, str]:
    return _against(_find(rows, "solve_ensemble, 1e-10"), _find(rows, "heyoka.py, 1e-9"))


def _largest(roofline: Row) -> tuple[float, str]:
    row = _find(roofline["rows"], "M = 16")
    return median(row) / row["memory_ms"], f"{median(row):.2f} ms against {row['memory_ms']:.2f}"


def _cold(rows: list[Row]) -> tuple[float, str]:
    return 1e-3 * median(_find(rows, "transition")), "seconds"


def _imports(rows: list[Row]) -> tuple[float, str]:
    return _against(_find(rows, "import dicke_jax"), _find(rows, "import jax, diffrax"))


SAME = "no less accurate"
WANTED = [
    (
        "one_core",
        f"solve_ensemble: at least {{:g}} times faster per core than vmapped Dopri8 1e-10, {SAME}",
        12.0,
        lambda rows: _dopri8(rows, "solve_ensemble"),
    ),
    ("flags", f"solve_ensemble: at most {{:g}} times heyoka.py's time on one core, {SAME}", 1.0, _heyoka),
    ("flags", "the same at the default tolerance, errors as they are: at most {:g} times", 1.0, _default_heyoka),
    (
        "devices",
        f"all devices: at most {{:g}} times as many heyoka.py processes, {SAME}",
        1.0,
        lambda rows: _heyoka(rows, "devices"),
    ),
    (
        "one_core",
        f"vmap(mfsolve): at least {{:g}} times faster than Dopri8, {SAME}",
        4.0,
        lambda rows: _dopri8(rows, "vmap(mfsolve)"),
    ),
    (
        "gradients",
        "forward gradient: at most {:g} times the value",
        3.5,
        lambda rows: _against(_find(rows, "jvp, BilinearTaylor"), _find(rows, "value")),
    ),
    ("cold", "the command of Fig. 3, cold: at most {:g} s", 9.0, _cold),
    ("cold", "import dicke_jax: at most {:g} times the import of jax and diffrax", 1.15, _imports),
    ("roofline", "one step at M = 16: at most {:g} times the time to stream its arrays through memory", 3.0, _largest),
]
