"""The chance of retrieval over coupling, cue quality and number of patterns, from file to figure, at a small size."""

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import dicke_jax as dj
from dicke_jax.cli.main import main
from dicke_jax.studies import open_store

STUDY = Path(__file__).parents[2] / "studies" / "examples" / "retrieval.toml"
SMALLER = {
    r"num_spins = 200": "num_spins = 40",
    r"g0 = \{.*\}": "g0 = [0.3, 2.2]",
    r"flip = \[.*\]": "flip = [0.05, 0.2]",
    r"num_patterns = \[.*\]": "num_patterns = [1, 2]",
    r"count = 100": "count = 8",
}


def test_its_author_writes_at_most_twelve_lines():
    lines = [line for line in STUDY.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) <= 12


@pytest.mark.slow
def test_from_file_to_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = STUDY.read_text()
    for old, new in SMALLER.items():
        text, found = re.subn(old, new, text)
        assert found == 1, old
    Path("study.toml").write_text(text)
    assert main(["sweep", "study.toml", "--out", "store"]) == 0
    assert main(["plot", "store", "--at", "num_patterns=2"]) == 0
    assert main(["plot", "store", "few.pdf", "--at", "num_patterns=1", "flip=0.1"]) == 0
    assert "wrote store.png" in capsys.readouterr().out
    assert matplotlib.image.imread("store.png").std() > 0.05 and Path("few.pdf").read_bytes()[:4] == b"%PDF"
    rows = open_store("store")
    assert rows.outcome.dims == ("g0", "flip", "num_patterns", "seed") and rows.outcome.size == 64
    names = np.array(rows.outcome.attrs["flag_meanings"].split())
    own = names[np.searchsorted(rows.outcome.attrs["flag_values"], rows.outcome.values)]
    assert (own[0] == "forgotten").all()  # below every threshold nothing is remembered
    assert np.char.startswith(own[1, 0].astype(str), "retrieved").all()  # far above, a good cue always is
    one = dj.Sweep.from_toml("study.toml").run(chunk=32)
    assert one.identical(rows)
