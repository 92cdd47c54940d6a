"""What MkDocs does for this site besides: notebooks become pages, and equations MathML.

So that nothing is fetched from other hosts, and a page shows its equations without a script.
"""

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.S)
DISPLAY = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.S)


def on_files(files: Files, config: Any) -> Files:
    """Notebooks as they are kept, with their outputs: the tests execute them."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        text, found = MarkdownExporter().from_filename(str(path), resources={"unique_key": path.stem})
        title, _, rest = text.strip().partition("\n")
        rest = re.sub(r"\]\((\d\d_\w+)\.ipynb\)", r"](\1.md)", rest)  # from page to page
        text = f"{title}\n\n[This page as a notebook]({path.name})\n{rest}"
        made = {f"{path.stem}.md": text, path.name: path.read_bytes(), **found.get("outputs", {})}
        for name, content in made.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    content = INLINE.sub(lambda found: convert(html.unescape(found[1])), content)
    return DISPLAY.sub(lambda found: convert(html.unescape(found[1]), display="block"), content)
