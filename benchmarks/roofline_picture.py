"""Rooflines: what is computed a second against operations a byte, under the ceilings that the same run has measured.

`python -m benchmarks.roofline_picture --cpu out/benchmarks.json --gpu FOLDER/gpu_kernel.jsonl --out docs/roofline.png`,
from what `python -m benchmarks --sections roofline` and `python -m benchmarks.gpu_kernel` have written.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from .gpu_kernel.page import rows_of

Point = tuple[str, float, float]  # its name, operations a byte, Gflop/s


def of_cpu(file: Path) -> tuple[str, float, float, list[Point]]:
    """A title, the peak in Gflop/s, memory's GB/s, and points."""
    results = json.loads(file.read_text())
    found, machine = results["sections"]["roofline"], results["machine"]
    points = [
        (f"M = {row['modes']}" + (", many" if "trajectory" not in row["mode"] else ""), *_place(row))
        for row in found["rows"]
    ]
    return f"one core, {machine['cpu']}", found["peak_gflops"], found["memory_gb_per_s"], points


def _place(row: dict[str, Any]) -> tuple[float, float]:
    return row["flops"] / row["bytes"], row["flops"] / (1e-3 * row["ms"]["median"]) / 1e9


def of_gpu(file: Path) -> tuple[str, float, float, list[Point]]:
    rows = rows_of(file)
    row = next(row for row in rows if "share_of_peak" in row)
    memory = next(row["memory_gb_per_s"] for row in rows if "memory_gb_per_s" in row)
    device = next(row["device"] for row in rows if "device" in row)
    operations = row["operations_a_step"] * row["steps"]
    points = [("M = 4, one launch of 10^6 rows", operations / row["bytes_of_states"], row["gflops"])]
    return device, row["peak_gflops"], memory, points


def draw(ax: Any, title: str, peak: float, memory: float, points: list[Point]) -> None:
    places = np.array([intensity for _, intensity, _ in points])
    x = np.geomspace(min(places.min(), peak / memory) / 4, max(places.max(), peak / memory) * 8, 200)
    ax.loglog(x, np.minimum(peak, memory * x), color="0.3")
    ax.text(x[-1], peak * 1.2, f"{peak:,.0f} Gflop/s", ha="right", color="0.3", fontsize="small")
    ax.text(1.3 * x[10], memory * x[10], f"memory, {memory:,.0f} GB/s", va="top", color="0.3", fontsize="small")
    for number, (name, intensity, rate) in enumerate(points):
        shown = f"{rate:,.0f}" if rate > 100 else f"{rate:.2f}"
        ax.loglog(intensity, rate, "o", color=f"C{number}", label=f"{name}: {shown} Gflop/s")
    ax.set(xlabel="operations a byte", ylabel="Gflop/s, float64", title=title)
    ax.set_ylim(min(memory * x[0], *(rate for *_, rate in points)) / 8, 3 * peak)
    ax.legend(fontsize="small", loc="lower right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", type=Path, default=Path("out/benchmarks.json"))
    parser.add_argument("--gpu", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/roofline.png"))
    options = parser.parse_args()
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    draw(axes[0], *of_cpu(options.cpu))
    draw(axes[1], *of_gpu(options.gpu))
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
