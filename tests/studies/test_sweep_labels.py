"""What the results of a sweep say besides their numbers, and which models and patterns go together."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
from problems import paper

import dicke_jax as dj
from dicke_jax.phases.cue_outcome import OUTCOMES
from dicke_jax.studies.sweeps import quantity_of
from dicke_jax.studies.sweeps.asked import OPTIONS
from dicke_jax.studies.sweeps.axes import OF_CUES, RATES, as_axes
from dicke_jax.studies.sweeps.labels import Labels, dataset
from dicke_jax.studies.sweeps.model_table import TABLE as KEYS_OF_MODELS
from dicke_jax.studies.sweeps.study_file import KEYS, RANGES

from .sweep_faults import TABLE, refused

MODEL = paper(1.2, 2)


def told_overlap(model, state):
    return {"xi": dj.overlaps(model, state.m)}


def test_what_a_result_says_of_its_origin():
    found = dj.Sweep(MODEL, {"g0": [0.5]}, told_overlap, fixed={"seed": 7, "angle": 0.2}, title="Told").run()
    for name in ("omega_mode", "kappa", "precision", "device", "dicke-jax", "jax", "python", "seed", "angle"):
        assert name in found.attrs
    assert found.attrs["title"] == "Told" and found.attrs["cue"] == "tilt" and "told_overlap" in found.attrs["compute"]
    assert found.attrs["pattern"] == 0 and found.attrs["described_in"] == "Python"
    found = dj.Sweep(MODEL, {"g0": [0.5]}, "retrieval", options={"max_time": 5.0}).labels().attrs
    assert found["tol"] == 1e-6 and found["max_time"] == 5.0 and "Taylor" in found["solver"]


def test_what_an_axis_or_a_size_varies_is_no_attribute():
    """Of the modes' rates a number is told where all models that have the mode have it, and no axis varies it."""

    def make(num_patterns):
        return MODEL.replace(spins=paper(1.2, num_patterns).spins, omega_mode=2.0, kappa=[1.5, 1.0, 0.5][:num_patterns])

    axes = {"g0": [0.5, 1.0], "kappa[0]": [0.7, 0.8], "num_patterns": [2, 3]}
    labels = dj.Sweep(make, axes, told_overlap).labels()
    kept, told = json.loads(json.dumps(labels.to_table(), allow_nan=False)), labels.attrs
    same = [dataset(own, np.zeros(0, int), np.ones(0, bool), {}) for own in (labels, Labels.from_table(kept))]
    assert same[0].identical(same[1])
    assert not told.keys() & {"g0", "num_patterns", "num_subsets"} and told["omega_spin"] == 0.5
    np.testing.assert_array_equal(told["omega_mode"], [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(told["kappa"], [np.nan, 1.0, 0.5])
    assert told["thresholds"] == "closed form"
    told = dj.Sweep(lambda omega: MODEL.replace(omega_mode=omega), {"omega": [1.0, 2.0]}, told_overlap).labels().attrs
    assert not told.keys() & {"omega_mode", "thresholds"}
    model = MODEL.replace(dissipation=dj.LocalDissipation([("decay_x", 0.1), ("dephasing_x", 0.2)]))
    told = dj.Sweep(model, {"jump[0]": [0.0, 0.3]}, told_overlap).labels().attrs
    assert told["rates_of_jumps"] == "['an axis', 0.2]"


def test_the_pattern_of_all_rows_is_said_counted_from_one():
    assert repr(dj.Sweep(MODEL, {"g0": [1.0]})).endswith("cue stored, pattern 1")
    assert repr(dj.Sweep(MODEL, {"g0": [1.0]}, fixed={"pattern": 1})).endswith("cue stored, pattern 2")
    for own in (dict(axes={"pattern": [0]}), dict(axes={"g0": [1.0]}, cue="random")):
        sweep = dj.Sweep(MODEL, **own)
        assert "pattern 1" not in repr(sweep) and "pattern" not in sweep.labels().attrs


def test_patterns_that_go_with_sizes_are_checked_against_their_own_model():
    axes = {"num_patterns": [2, 3, 4], "pattern": [1, 2, 3]}
    found = dj.Sweep(lambda num_patterns: paper(1.0, num_patterns), axes, "critical_coupling", zipped=[[*axes]]).run()
    omega = 0.5 * (np.array([1, 2, 3]) + 3)
    np.testing.assert_allclose(found.g_crit, np.sqrt(0.5 * (omega**2 + 1 / 4) / (2 * omega)), rtol=1e-12)
    axes["pattern"][0] = 2
    with pytest.raises(ValueError, match="must be a pattern number from 0 to 1; got 2"):
        dj.Sweep(lambda num_patterns: paper(1.0, num_patterns), axes, "critical_coupling", zipped=[[*axes]])


def test_a_file_s_lists_of_rates_serve_every_number_of_patterns():
    axes = "[axes]\nnum_patterns = [2, 4]\npattern = [1, 3]"
    text = f'compute = "critical_coupling"\nzipped = [["num_patterns", "pattern"]]\n{TABLE}{axes}'
    text = text.replace("num_patterns = 2\n", "").replace("[1.5, 2.0]", "[1.5, 2.0, 2.5, 3.0]")
    omega = np.array([2.0, 3.0])
    found = dj.Sweep.from_toml(text).run()
    np.testing.assert_allclose(found.g_crit, np.sqrt(0.5 * (omega**2 + 1 / 4) / (2 * omega)), rtol=1e-12)
    np.testing.assert_array_equal(found.attrs["omega_mode"], [1.5, 2.0, 2.5, 3.0])
    told = refused(lambda: dj.Sweep.from_toml(text.replace("2.5, 3.0]", "2.5]")))
    assert told.startswith(
        "[model], omega_mode, must be a list of at least 4 numbers, of which each num_patterns takes"
    )
    fixed = TABLE.replace("2.0]", "2.0, 2.5]") + "[axes]\npattern = [1]"  # one model has a rate for every mode
    assert "omega_mode" in refused(lambda: dj.Sweep.from_toml(fixed))


def test_retrieved_is_either_sign_and_nothing_where_a_row_is_not_there():
    """By the names of the codes: of all ends two are the cue's own pattern."""
    codes = np.append(np.arange(len(OUTCOMES)), -1).astype(np.int8)
    axes, slots = as_axes({"seed": range(codes.size)}, ()), np.arange(codes.size)
    about = Labels(axes, {"outcome": ()}, 2, {})
    part = dataset(about, slots, codes >= 0, {"outcome": codes})
    expected = [float(name.startswith("retrieved")) for name in OUTCOMES]
    np.testing.assert_array_equal(part.retrieved, [*expected, np.nan])
    whole = dataset(about, slots, codes > -2, {"outcome": np.abs(codes)})
    assert whole.retrieved.dtype == bool and float(whole.retrieved.mean("seed")) == 3 / codes.size
    np.testing.assert_array_equal(quantity_of(part, "outcome"), part.retrieved.mean())


def test_the_page_of_study_files_has_every_key():
    page = (Path(__file__).parents[2] / "docs" / "howto" / "study-file.md").read_text()
    keys = {*KEYS, *KEYS_OF_MODELS, *RANGES, *RATES, *OF_CUES, *OPTIONS, *itertools.chain(*OPTIONS.values())}
    shown = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`\n]+`|\"\w+\"", page))))
    assert keys <= shown, keys - shown
