"""Progress of a study whose parts count for themselves."""

from collections.abc import Callable

Progress = Callable[[int, int], None]  # called with the numbers of what is done and of all


def part_of(progress: Progress | None, before: int, total: int) -> Progress | None:
    """What a part of a study reports to, after `before` of `total` are done."""
    return None if progress is None else lambda done, _: progress(before + done, total)
