"""What MkDocs does for this site besides: notebooks become pages, and equations MathML with a font of its own.

So that nothing is fetched from other hosts, and a page shows its equations without a script.
"""

import html
import re
from importlib.metadata import distribution
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.S)
DISPLAY = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.S)
VARIANT = re.compile(r'<mi mathvariant="(script|bold|bold-italic)">(\w|&#\w+;)</mi>')
LETTERS = {  # of variants that browsers do not know: script E, bold l, bold sigma
    "script": {"E": "\u2130"},
    "bold": {"l": "\U0001d425"},
    "bold-italic": {"\u03c3": "\U0001d748"},
}
IN_EQUATIONS = (  # ASCII, Greek, both in the italics of mathematics, operators, and what stands alone
    (0x20, 0x7F), (0x391, 0x3D7), (0x1D434, 0x1D468), (0x1D6E2, 0x1D71C), (0x2200, 0x2300), (0x2190, 0x21D5)
)  # fmt: skip
BESIDES = (  # times, plus-minus, dots, dagger, bars, primes, brackets, script and bold letters, accents
    "\u00d7\u00b1\u00b7\u2020\u2016\u2032\u2026\u27e8\u27e9\u2130\u210f\u210e\u03f5"
    "\u02d9\u00a8\u00af\u02c6\u02dc\U0001d425\U0001d748"
)


def math_font() -> bytes:
    """STIX Two Math, which ziamath brings (SIL Open Font License), with no more than the letters of equations."""
    font = TTFont(str(distribution("ziamath").locate_file("ziamath/fonts/STIXTwoMath-Regular.ttf")))
    subset = Subsetter(Options(layout_features=["ssty", "dtls"], hinting=False, drop_tables=["DSIG"]))
    letters = {letter for first, end in IN_EQUATIONS for letter in range(first, end)}
    subset.populate(unicodes=letters | set(map(ord, BESIDES)))
    subset.subset(font)
    font.flavor = "woff"
    font.save(made := BytesIO())
    return made.getvalue()


def equation(tex: str, display: str) -> str:
    found = convert(html.unescape(tex), display=display)
    return VARIANT.sub(lambda of: f'<mi mathvariant="normal">{LETTERS[of[1]][html.unescape(of[2])]}</mi>', found)


def on_files(files: Files, config: Any) -> Files:
    """The font, and notebooks as they are kept, with their outputs: the tests execute them."""
    files.append(File.generated(config, "math.woff", content=math_font()))
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for output in (out for cell in notebook.cells for out in cell.get("outputs", [])):
            if "xr-wrap" in output.get("data", {}).get("text/html", ""):
                del output["data"]["text/html"]  # of a dataset: it brings a style of its own that Markdown takes apart
        text, found = MarkdownExporter().from_notebook_node(notebook, resources={"unique_key": path.stem})
        title, _, rest = text.strip().partition("\n")
        rest = re.sub(r"\]\((\d\d_\w+)\.ipynb\)", r"](\1.md)", rest)  # from page to page
        text = f"{title}\n\n[This page as a notebook]({path.name})\n{rest}"
        made = {f"{path.stem}.md": text, path.name: path.read_bytes(), **found.get("outputs", {})}
        for name, content in made.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_content(content: str, page: Any, config: Any, files: Files) -> str:
    content = INLINE.sub(lambda found: equation(found[1], "inline"), content)
    return DISPLAY.sub(lambda found: equation(found[1], "block"), content)
