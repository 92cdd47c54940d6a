"""Tables, a picture and a page of what was measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Columns = dict[str, Callable[[Row], str]]


def _times(unit: str, scale: float = 1.0) -> Columns:
    return {
        unit: lambda row: f"{scale * row['ms']['median']:.3g}",
        "least to most": lambda row: f"{scale * row['ms']['min']:.3g} to {scale * row['ms']['max']:.3g}",
    }


ERRORS: Columns = {
    "median error": lambda row: f"{row['error']['median']:.1e}" if "error" in row else "",
    "largest": lambda row: f"{row['error']['max']:.1e}" if "error" in row else "",
}
SPEED: Columns = {
    **_times("ms each"),
    **ERRORS,
    "steps": lambda row: f"{row['steps']:.0f}",
    "failed": lambda row: str(row["failed"]),
    "of": lambda row: str(row["batch"]),
    "rounds": lambda row: str(row["ms"]["rounds"]),
    "compile s": lambda row: f"{row['compile_s']:.1f}",
}
BATCH: Columns = {
    "batch": lambda row: str(row["batch"]),
    **_times("ms each"),
    **ERRORS,
    "first call s": lambda row: f"{row['first_s']:.1f}",
}
GRADIENTS: Columns = {**_times("ms each"), **ERRORS, "compile s": lambda row: f"{row['compile_s']:.1f}"}
MEMORY: Columns = {
    "batch": lambda row: str(row["batch"]),
    "MB above the start": lambda row: f"{row['mb']:.0f}",
    "of which states": lambda row: f"{row['states_mb']:.2g}",
    "at the start": lambda row: f"{row['before_mb']:.0f}",
}
STEPS: Columns = {
    **_times("us a step", 1e3),
    "operations": lambda row: f"{row['flops']:.3g}",
    "% of peak": lambda row: f"{100 * row['of_flops']:.1f}",
    "bytes": lambda row: f"{row['bytes']:.3g}",
    "time / stream in cache": lambda row: f"{row['ms']['median'] / row['stream_ms']:.1f}",
    "time / stream in memory": lambda row: f"{row['ms']['median'] / row['memory_ms']:.1f}",
}
CALLS: Columns = {"first call s": lambda row: f"{row['first_s']:.2f}", **_times("later ms"), **ERRORS}
FIRST: Columns = {
    **_times("s", 1e-3),
    "rounds": lambda row: str(row["ms"]["rounds"]),
    "figure": lambda row: f"{row['found']:.2g}" if "found" in row else "",
    "at most": lambda row: f"{row['limit']:g}" if "limit" in row else "",
    "of": lambda row: row.get("unit", ""),
}
TITLES = {
    "first_answer": ("First answer", FIRST, "M = 4, two patterns for the fit; a new process for each figure, in turn. "
                     "No compiled program is kept, except for what is done again."),
    "phases": ("Thresholds, stationary states, stability", CALLS, "One process."),
    "inference": ("Inference", CALLS, "One process."),
    "one_core": ("One core", SPEED, "One process {pinned}; every mode has its turn in every round."),
    "flags": ("One core, with the commands' flags", SPEED, "The same, in a process {pinned} with the compiler's flags "
              "that `dicke-jax` sets and `docs/howto/scan.md` names."),
    "devices": ("All cores, with the commands' flags", SPEED, "heyoka.py in a process for each core, all at once. "
                "Compile: with their start."),
    "scaling": ("Batch, CPU", BATCH, "All cores may be used."),
    "scaling_elsewhere": ("Batch, {platform}", BATCH, ""),
    "gradients": ("d xi_0(T) / d g0, T = {gradient_end:g}", GRADIENTS, "{gradient_batch} trajectories, {pinned}."),
    "memory": ("Peak memory", MEMORY, "T = {gradient_end:g}; a process for each row."),
    "roofline": ("One step of order {order}", STEPS, "Ceilings measured {pinned}: {peak_gflops:.1f} Gflop/s, "
                 "{memory_gb_per_s:.1f} GB/s from memory. Bytes: its arrays, written once and read once."),
    "cold": ("From nothing", _times("s", 1e-3), "A new process and empty caches each time."),
}  # fmt: skip


def table(rows: list[Row], columns: Columns) -> str:
    """Aligned, and Markdown at once. A row without numbers tells why."""
    lines = [["", *columns]]
    notes = []
    for row in rows:
        if "skipped" in row or ("failed" in row and "ms" not in row):
            reason = row.get("skipped", row.get("failed"))
            batch = f" ({row['batch']})" if "batch" in row else ""
            notes.append(f"- {row['mode']}{batch}: skipped, {reason}")
        else:
            lines.append([row["mode"], *(show(row) for show in columns.values())])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]

    def joined(line: list[str]) -> str:
        cells = [cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
    text = "\n".join([joined(lines[0]), joined(rule), *map(joined, lines[1:])]) if len(lines) > 1 else ""
    return "\n\n".join(part for part in (text, "\n".join(notes)) if part)


def section(name: str, found: Any, facts: Row) -> str:
    title, columns, note = TITLES[name]
    if isinstance(found, dict):
        facts = facts | found
        if "failed" in found:
            return f"## {title.format_map(facts | dict(order=''))}\n\n{found['failed']}"
        found = found["rows"]
    parts = [f"## {title.format_map(facts)}", note.format_map(facts), table(found, columns)]
    return "\n\n".join(part for part in parts if part)


def targets_table(rows: list[Row]) -> str:
    lines = ["| target | measured | met | how |", "| --- | ---: | --- | --- |"]
    words = {True: "yes", False: "**no**", None: ""}
    for row in rows:
        found = f"{row['found']:.3g}" if "found" in row else ""
        lines.append(f"| {row['target']} | {found} | {words[row['met']]} | {row['how']} |")
    return "\n".join(lines)


def page(results: Row) -> str:
    machine, size = results["machine"], results["size"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    facts = dict(size, pinned=results["pinned"], platform=machine["platform"])
    load = results["load"]
    busy = f", load average {min(load):.1f} to {max(load):.1f}" if load else ""
    head = [
        "# Benchmarks",
        f"Made by `{results['command']}` on {results['date']}: {machine['cpu']}, {results['cores']} cores, JAX on "
        f"{', '.join(machine['devices'])}, float64. {versions}. {results['seconds']:.0f} s in all{busy}.",
        f"M = 4, K = 8, Omega = 0.5, kappa = 1, Omega_mu = 0.5 (mu + 2), g0 = 1, T = {size['end']:g}, {size['batch']} "
        "random spin directions. Times are of one trajectory, medians with least and most over the rounds. Errors: "
        f"of the final spins against SciPy DOP853 at 1e-13, the largest over the spins; of the first "
        f"{size['checked']} trajectories the median and the largest.",
        "## Targets",
        targets_table(results["targets"]),
    ]
    if "--quick" in results["command"]:
        head.insert(1, "**Tiny sizes: the page shows what is measured, not how fast anything is.**")
    return "\n\n".join(head + [section(name, found, facts) for name, found in results["sections"].items()]) + "\n"


def picture(results: Row, path: Path) -> None:
    """Time against error, against batch, and one step against M."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    sections = results["sections"]
    figure, (work, batch, step) = plt.subplots(1, 3, figsize=(15, 4.5), layout="constrained")
    for name, marker in (("one_core", "o"), ("flags", "s"), ("devices", "^")):
        for row in _rows(sections, name):
            (point,) = work.loglog(row["error"]["median"], row["ms"]["median"], marker, label=row["mode"])
            work.vlines(row["error"]["median"], row["ms"]["min"], row["ms"]["max"], color=point.get_color())
    work.set(xlabel="median error of the final spins", ylabel="ms for one trajectory")
    for name in ("scaling", "scaling_elsewhere"):
        rows = _rows(sections, name)
        for mode in dict.fromkeys(row["mode"] for row in rows):
            own = [row for row in rows if row["mode"] == mode]
            label = mode if name == "scaling" else f"{mode}, {results['machine']['platform']}"
            batch.loglog([row["batch"] for row in own], [row["ms"]["median"] for row in own], "o-", label=label)
    batch.set(xlabel="trajectories at a time", ylabel="ms for one trajectory")
    single = [row for row in _rows(sections, "roofline") if "one trajectory" in row["mode"]]
    for label, times in (
        ("step", [row["ms"]["median"] for row in single]),
        ("its arrays through memory", [row["memory_ms"] for row in single]),
    ):
        step.semilogy([row["modes"] for row in single], times, "o-", label=label)
    step.set(xlabel="patterns M", ylabel="ms")
    for axes in (work, batch, step):
        if axes.lines:
            axes.legend(fontsize=6)
    figure.savefig(path, dpi=140)
    plt.close(figure)


def _rows(sections: Row, name: str) -> list[Row]:
    found = sections.get(name, [])
    rows = found.get("rows", []) if isinstance(found, dict) else found
    return [row for row in rows if "ms" in row]
