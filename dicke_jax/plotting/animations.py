"""A memory at work, as a film."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import xarray as xr
from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter

from .._checks import check_count, refuse
from .._door import checked


@checked
def animate_mending(
    results: xr.Dataset, path: str | Path | None = None, *, frames_per_second: int = 12, dpi: int = 100
) -> FuncAnimation:
    """The pictures of `studies.picture_mending` as a film: a panel for each decay rate, a frame for each time.

    Above each: how many pixels are right. The study's times are those of the frames: take many, at equal distances.

    - `path`: a file to write, ".gif" by Pillow, or ".mp4" where ffmpeg is installed; by default none is.
    - `frames_per_second`, `dpi`: of that file, and of what a notebook shows.

    **Returns** a matplotlib `FuncAnimation`. In a notebook: `HTML(film.to_jshtml())`, or `Image(path)` of a GIF.

    **Raises** ValueError for another kind of file, or ".mp4" without ffmpeg.
    """
    if not {"decay", "time", "row", "column"} <= set(results.dims) or "sigma_z" not in results:
        refuse("results", "those of studies.picture_mending", f"dimensions {', '.join(map(str, results.dims))}")
    speed, resolution = check_count("frames_per_second", frames_per_second), check_count("dpi", dpi, 10)
    file = None if path is None else Path(path)
    writer = None if file is None else _writer(file, speed)
    decays, times = results["decay"].values, results["time"].values
    number = decays.size
    figure, made = plt.subplots(1, number, figsize=(2.5 * number, 3.1), squeeze=False)
    # no layout engine: it would have every frame move a little
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=0.8, wspace=0.06)
    pictures = []
    for i, axis in enumerate(made[0]):
        values = results.sigma_z.values[i, 0]
        pictures.append(axis.imshow(values, cmap="gray", vmin=-1, vmax=1, interpolation="none"))
        axis.set(xticks=[], yticks=[])

    def draw(frame: int) -> list[Any]:
        for i, (axis, picture) in enumerate(zip(made[0], pictures, strict=True)):
            picture.set_data(results.sigma_z.values[i, frame])
            rate = f"decay {decays[i]:g}" if decays[i] else "no decay"
            axis.set_title(f"{rate}: {100 * float(results.share_right[i, frame]):.0f} % right", fontsize="medium")
        figure.suptitle(f"$t$ = {times[frame]:.4g}", fontsize="medium")
        return pictures

    film = FuncAnimation(figure, draw, frames=times.size, interval=1000 / speed, blit=False)
    if file is not None:
        film.save(file, writer=writer, dpi=resolution)
    return film


def _writer(path: Path, speed: int) -> PillowWriter | FFMpegWriter:
    kind = path.suffix.lower()
    if kind == ".gif":
        return PillowWriter(fps=speed)
    if kind == ".mp4" and FFMpegWriter.isAvailable():
        return FFMpegWriter(fps=speed)
    refuse("path", f"a file that ends in .gif{', as ffmpeg is not installed' if kind == '.mp4' else ' or .mp4'}", path)
