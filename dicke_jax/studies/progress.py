"""Progress of a study whose parts count for themselves."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Part = TypeVar("Part")
Progress = Callable[[int, int], None]  # called with the numbers of what is done and of all


def part_of(progress: Progress | None, before: int, total: int) -> Progress | None:
    """What a part of a study reports to, after `before` of `total` are done."""
    return None if progress is None else lambda done, _: progress(before + done, total)


def counted(parts: Sequence[Part], progress: Progress | None, size: int = 1) -> Iterator[Part]:
    """The parts of a study one by one, each of `size`, told before each of them and after the last."""
    for done in range(len(parts) + 1):
        if progress is not None:
            progress(done * size, len(parts) * size)
        yield from parts[done : done + 1]
