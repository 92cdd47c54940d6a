"""The site as a reader sees it: every page in a browser that reaches nothing else, on a desk and on a telephone.

    pytest -m slow tests/site --basetemp=seen       keeps pictures of what was seen, in seen/

Skipped, with the reason, where there is no browser or no MkDocs.
"""

import functools
import http.server
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from browser import Browser, installed

ROOT = Path(__file__).parent.parent.parent
DESK, TELEPHONE = 1280, 400  # pixels
PHOTOGRAPHED = "", "tour/", "own-model/", "oscillations/", "gallery/", "notebooks/01_first_retrieval/", "api/phases/"
FOUND_BY = {  # what is typed, and the page that must be the first answer
    "adjoint": "howto/adjoint/",
    "steadystate": "api/dynamics/",
    "not converge": "howto/not-converged/",
    "misprints": "paper/",
}
LOOK = """(() => {
    const article = document.querySelector('article'), words = article.cloneNode(true)
    words.querySelectorAll('pre, code, math').forEach(e => e.remove())
    const flat = e => e.getBoundingClientRect().width < 1 || e.getBoundingClientRect().height < 1
    return {
        headings: document.querySelectorAll('h1').length,
        pictures: document.images.length,
        broken: [...document.images].filter(i => !i.naturalWidth || flat(i)).map(i => i.src),
        equations: document.querySelectorAll('math').length,
        unseen: [...document.querySelectorAll('math')].filter(flat).map(e => e.textContent),
        tex: words.textContent.match(/\\\\[a-zA-Z]{2,}|\\$[^$\\n]+\\$|\\\\[(\\[]/g) || [],
        width: document.documentElement.scrollWidth,
    }
})()"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of the site, built as `.ci/run` builds it, and its pages."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip('the site is not built: pip install -e ".[docs]"')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True, timeout=500)
    pages = sorted(path.parent.relative_to(folder).as_posix() for path in folder.rglob("index.html"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", ["" if page == "." else f"{page}/" for page in pages]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser():
    if (executable := installed()) is None:
        pytest.skip("no browser is installed: apt-get install chromium")
    with Browser(executable) as started:
        yield started


@pytest.fixture
def well(browser, site):
    """Nothing goes wrong in the browser, and nothing but the site is asked for."""
    browser.errors.clear()
    browser.requests.clear()
    yield
    assert browser.errors == []
    assert {url for url in browser.requests if not url.startswith(site[0])} == set()


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("well")]


@pytest.mark.parametrize("width", [DESK, TELEPHONE])
def test_every_page_is_shown_whole(browser, site, width):
    address, pages = site
    faults, seen = {}, {"pictures": 0, "equations": 0}
    for page in pages:
        browser.open(address + page, width)
        look = browser.ask(LOOK)
        seen = {what: seen[what] + look[what] for what in seen}
        wrong = {what: look[what] for what in ("broken", "unseen", "tex") if look[what]}
        if wrong or look["headings"] != 1 or look["width"] > width:
            faults[page] = wrong | {"headings": look["headings"], "width": look["width"]}
    assert faults == {}
    assert len(pages) > 50 and seen["pictures"] > 40 and seen["equations"] > 100
    assert browser.requests


def test_home_tour_an_api_page_and_a_notebook_have_what_they_are_for(browser, site, tmp_path):
    looks = {}
    for page in PHOTOGRAPHED:
        for width in (DESK, TELEPHONE):
            browser.open(site[0] + page, width)
            browser.photograph(tmp_path / f"{page.strip('/').replace('/', '-') or 'home'}-{width}.png")
        looks[page] = browser.ask(LOOK)
    assert looks[""]["pictures"] == 1 and looks["notebooks/01_first_retrieval/"]["pictures"] >= 3
    assert looks["own-model/"]["equations"] and looks["gallery/"]["pictures"] >= 13
    browser.open(site[0] + "api/phases/")
    assert "stationary_states(" in browser.ask("document.querySelector('article').innerText")


@pytest.mark.parametrize("words", FOUND_BY)
def test_what_is_typed_into_the_search_leads_to_the_page(browser, site, words, tmp_path):
    browser.open(site[0])
    browser.click("input.md-search__input")
    browser.type(words)
    result = "document.querySelector('.md-search-result__item a.md-search-result__link')"
    browser.wait_until(lambda: browser.ask(f"{result} && {result}.getBoundingClientRect().height > 0"), words)
    browser.photograph(tmp_path / "found.png", whole=False)
    browser.click(".md-search-result__item a.md-search-result__link")
    there = f"location.pathname == '/{FOUND_BY[words]}' && document.readyState == 'complete'"
    browser.wait_until(lambda: browser.ask(there), f"the page for {words}")
    text = browser.ask("document.querySelector('article').innerText").lower()
    assert all(word in text for word in words.split())


CONTRASTS = """(() => {
    const numbers = of => of.match(/[\\d.]+/g).map(Number)
    const luminance = of => numbers(of).slice(0, 3).map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0)
    const seen = e => numbers(getComputedStyle(e).backgroundColor)[3] !== 0
    const ground = e => { while (e.parentElement && !seen(e)) e = e.parentElement; return luminance(
        getComputedStyle(e).backgroundColor) }
    const contrast = e => { const [a, b] = [luminance(getComputedStyle(e).color), ground(e)]
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) }
    const all = [...document.querySelectorAll('article p, article li, article td, article pre code')]
    return {ground: ground(document.body), texts: all
        .filter(e => e.getClientRects().length && [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()))
        .map(e => [contrast(e), e.textContent.slice(0, 60)])}
})()"""


def test_light_and_dark_are_switched_stay_and_can_be_read(browser, site, tmp_path):
    """The contrast of text with what is behind it, by W3C's formula, is at least 4.5 in both."""
    grounds = []
    for kind in ("light", "dark"):
        browser.open(site[0] + "notebooks/01_first_retrieval/")  # the choice is kept from page to page
        browser.photograph(tmp_path / f"{kind}.png")
        found = browser.ask(CONTRASTS)
        grounds.append(found["ground"])
        assert len(found["texts"]) > 15 and [text for text in found["texts"] if text[0] < 4.5] == []
        if kind == "light":
            browser.click(".md-header__option label:not([hidden])")
            browser.wait_until(lambda: browser.ask("document.body.dataset.mdColorScheme") == "slate", "the switch")
    light, dark = grounds
    assert light > 0.9 and dark < 0.1
    browser.click(".md-header__option label:not([hidden])")
    browser.wait_until(lambda: browser.ask("document.body.dataset.mdColorScheme") == "default", "the switch back")
