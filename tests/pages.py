"""Pages of the site: their Python is run, and what they say it prints is compared with what it prints.

    python -m tests.pages docs/tour.md        runs it, and writes into the page what is printed now

A block of text right after a block of Python is what that block prints.
"""

import contextlib
import io
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
SLOW = "<!-- slow -->"  # anywhere in a page whose code takes more than a few seconds
BLOCK = re.compile(r"^```(python|text|sh|toml)\n(.*?)^```$", re.M | re.S)


@dataclass
class Block:
    """One block of Python, and the span of the text right after it that is what it prints, if there is any."""

    code: str
    said: tuple[int, int] | None
    printed: str = ""


def pages(language: str) -> list[Path]:
    """All pages with a block in this language."""
    return [path for path in sorted(DOCS.rglob("*.md")) if f"```{language}\n" in path.read_text()]


def blocks(text: str) -> list[Block]:
    found, end = [], None
    for match in BLOCK.finditer(text):
        if match[1] == "python":
            found.append(Block(match[2], None))
            end = match.end()
        elif match[1] == "text" and end is not None and not text[end : match.start()].strip():
            found[-1].said = match.span(2)
    return found


def run(page: Path) -> list[Block]:
    """The blocks of a page in one namespace, one after the other, with what each prints."""
    found: list[Block] = blocks(page.read_text())
    namespace: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(found, 1):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(block.code, f"{page.name}, block {number}", "exec"), namespace)
        block.printed = "\n".join(line.rstrip() for line in printed.getvalue().splitlines()) + "\n"
    return found


def write(page: Path) -> None:
    text = page.read_text()
    for block in reversed(run(page)):
        if block.said:
            text = text[: block.said[0]] + block.printed + text[block.said[1] :]
    page.write_text(text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        begin = time.process_time()
        write(Path(name))
        print(f"{name}: {time.process_time() - begin:.1f} s of computing")
