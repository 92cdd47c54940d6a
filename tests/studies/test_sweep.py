"""Sweeps: labels, numbers against the functions they stand for, programs, and study files."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations
from problems import cpu_only, paper, sampled

import dicke_jax as dj
from dicke_jax.studies.sweeps import rows, starts
from dicke_jax.studies.sweeps.axes import Layout

from .sweep_faults import TABLE, refused

MODEL = paper(1.2, 2)


def told_overlap(model, state):
    """A function of model and state, for sweeps that have to be quick."""
    return {"xi": dj.overlaps(model, state.m), "rate": model.g0 * model.kappa[1]}


def names_of(found):
    return {name: found[name].dims for name in found.data_vars}


def test_rows_are_those_of_the_function_they_stand_for():
    """Cartesian and zipped axes over rates, one mode's rate, pattern, angle and seed."""
    axes = {"g0": [0.5, 1.0, 1.5], "kappa[1]": [0.7, 0.8, 0.9], "pattern": [0, 1], "angle": [0.1, 0.4], "seed": [3, 5]}
    sweep = dj.Sweep(MODEL, axes, told_overlap, zipped=[("g0", "kappa[1]")], fixed={"omega_mode": 2.0})
    found = sweep.run()
    assert found.xi.dims == ("g0", "pattern", "angle", "seed", "mode") and found.sizes["g0"] == 3
    assert found["kappa[1]"].dims == ("g0",)
    for i, nu, a, s in np.ndindex(3, 2, 2, 2):
        g0, kappa, angle, seed = (axes[n][j] for n, j in (("g0", i), ("kappa[1]", i), ("angle", a), ("seed", s)))
        model = MODEL.replace(g0=g0, kappa=[1.0, kappa], omega_mode=2.0)
        state = dj.tilted_pattern(jax.random.key(seed), model, nu, angle)
        row = found.isel(g0=i, pattern=nu, angle=a, seed=s)
        np.testing.assert_allclose(row.xi, dj.overlaps(model, state.m), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(row.rate, g0 * kappa, rtol=1e-15)


def test_thresholds_are_the_closed_form():
    found = dj.Sweep(MODEL, {"omega_spin": [0.4, 0.5], "pattern": [0, 1]}, "critical_coupling").run()
    omega_mode, kappa = np.asarray(MODEL.omega_mode), np.asarray(MODEL.kappa)
    g2 = np.array([0.4, 0.5])[:, None] * (omega_mode**2 + kappa**2 / 4) / (2 * omega_mode)
    np.testing.assert_allclose(found.g_crit, np.sqrt(g2), rtol=1e-12)
    assert found.g_crit.attrs["units"] == found.omega_spin.attrs["units"] == "unit of the rates"


@cpu_only
def test_a_swept_run_is_solve_ensemble_s_and_compiles_two_programs_whatever_the_axes():
    axes, options = {"g0": [0.9, 1.3], "pattern": [0, 1], "flip": [0.0, 0.1]}, {"time": 3.0}
    with compilations(fresh=True) as first:
        found = dj.Sweep(MODEL, axes, "final_overlap", options=options).run()
    own = [name for name in first if name in ("jit(_of_rows)", "jit(run_chunk)")]
    assert len(own) == 2, first
    with compilations() as second:
        other = {"g0": np.linspace(0.5, 1.0, 30), "flip": [0.05, 0.2], "pattern": [0, 1]}
        sweep = dj.Sweep(MODEL, other, "final_overlap", options=options)
        sweep.run(chunk=32)
    assert [name for name in second if "run_chunk" in name or "_of_rows" in name] == [], second
    for i, nu, p in np.ndindex(2, 2, 2):
        model = MODEL.replace(g0=axes["g0"][i])
        state = dj.corrupted_pattern(jax.random.key(0), model, nu, axes["flip"][p])
        end = dj.mfsolve(model, state, jnp.array([0.0, 3.0]))
        np.testing.assert_allclose(found.overlap[i, nu, p], end.overlaps[-1], atol=1e-6)
    assert found.status.attrs["flag_meanings"] == "successful" and not found.status.any()


def test_a_function_makes_models_of_several_sizes():
    def make(num_patterns):
        return paper(1.2, num_patterns)

    sweep = dj.Sweep(make, {"g0": [0.5, 1.5], "num_patterns": [1, 2, 3]}, told_overlap)
    found = sweep.run()
    assert found.xi.dims == ("g0", "num_patterns", "mode") and found.sizes["mode"] == 3
    assert np.isnan(found.xi.sel(num_patterns=1)).sum() == 2 * 2 and not np.isnan(found.xi.sel(num_patterns=3)).any()
    assert sweep.plan().num_programs == 3 and sweep.plan().num_chunks == 3
    with pytest.raises(ValueError, match="pattern, must be a pattern number from 0 to 0; got 1"):
        dj.Sweep(make, {"pattern": [0, 1], "num_patterns": [1, 2]}, told_overlap)


def test_a_chunk_takes_no_more_than_its_share_of_the_memory(monkeypatch):
    sweep = dj.Sweep(MODEL, {"g0": np.linspace(0.5, 1.5, 10_000)}, told_overlap)
    plan = sweep.plan()
    assert plan.chunk == 320 and plan.num_rows == 10_000 and plan.num_chunks == 32 and plan.num_programs == 1
    assert plan.bytes_on_disk == 32 * 320 * 3 * 8  # xi of two modes, and a rate
    a_row = plan.bytes_of_chunk // 320
    monkeypatch.setattr("dicke_jax.studies.sweeps.planning.memory_here", lambda: 8 * 100 * a_row)
    assert sweep.plan().chunk == 96 and "32 chunks of 320" in str(plan)
    monkeypatch.setattr("dicke_jax.studies.sweeps.planning.memory_here", lambda: 1)
    assert sweep.plan().chunk == 32


def test_chunks_never_mix_models_and_every_row_has_a_place():
    groups = np.array([0, 2, 4, 6, 8]), np.array([1, 3, 5]), np.array([7])
    layout = Layout(groups, 2)
    assert layout.num_chunks == 3 + 2 + 1
    assert [layout.rows_of(number)[0] for number in range(6)] == [0, 0, 0, 1, 1, 2]
    assert sorted(layout.slots[layout.slots >= 0]) == list(range(9)) and layout.slots.size == 12
    for number in range(6):
        places = layout.slots[2 * number : 2 * number + 2]
        np.testing.assert_array_equal(places[places >= 0], layout.rows_of(number)[1])


STUDY = f"""
title = "A \\"study\\""
compute = "critical_coupling"
zipped = [["g0", "kappa[1]"]]
{TABLE}
[axes]
g0 = {{ from = 0.1, to = 10.0, points = 3, scale = "log" }}
"kappa[1]" = [1, 2.5, 3]
pattern = {{ count = 2 }}
[options]
kind = "stability"
"""


def test_a_sweep_to_toml_and_back_is_the_same_to_the_bit():
    read = dj.Sweep.from_toml(STUDY)
    assert read.title == 'A "study"' and read.axes.shape == (3, 2)
    np.testing.assert_allclose(read.axes.values["g0"], [0.1, 1.0, 10.0])
    again = dj.Sweep.from_toml(read.to_toml())
    assert again.identity() == read.identity() and again.to_toml() == read.to_toml()
    mapped = dj.Sweep(sampled(3, 50), {"g0": np.random.default_rng(0).random(5)}, fixed={"flip": 1 / 3})
    again = dj.Sweep.from_toml(mapped.to_toml())
    same = {name: x for name, x in again.identity().items() if name != "model"}
    assert same == {name: x for name, x in mapped.identity().items() if name != "model"}
    for a, b in zip(jax.tree.leaves(mapped.model), jax.tree.leaves(again.model()), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"model must be a DickeModel, .* num_patterns in its \[axes\]; got a funct"):
        dj.Sweep(lambda num_patterns: paper(1.0, num_patterns), {"num_patterns": [1]}, told_overlap).to_toml()


BAD = [
    (dict(model=1.0), "model"),
    (dict(axes=[1, 2]), "axes"),
    (dict(axes={"g0": []}), "g0"),
    (dict(axes={"g0": "many"}), "g0"),
    (dict(axes={"g0": [[1.0]]}), "g0"),
    (dict(axes={"g0": [1.0, np.nan]}), "g0"),
    (dict(axes={"g0": [1j]}), "g0"),
    (dict(axes={"g1": [1.0]}), "g1"),
    (dict(axes={"kappa[2]": [1.0]}), "kappa[2]"),
    (dict(axes={"kappa": [1.0, -1.0]}), "kappa"),
    (dict(axes={"kappa": [0.0]}), "kappa"),
    (dict(axes={"jump[0]": [1.0]}), "jump[0]"),
    (dict(axes={"pattern": [0, 2]}), "pattern"),
    (dict(axes={"pattern": [0.5]}), "pattern"),
    (dict(axes={"seed": [-1]}), "seed"),
    (dict(axes={"flip": [1.5]}), "flip"),
    (dict(axes={"flip": [0.1], "angle": [0.1]}), "flip"),
    (dict(axes={"g0": [1.0], "seed": [1]}), "seed"),
    (dict(axes={3: [1.0]}), "names of axes"),
    (dict(zipped=["g0"]), "zipped"),
    (dict(zipped=[("g0", "kappa")]), "zipped"),
    (dict(axes={"g0": [1.0], "kappa": [1.0, 2.0]}, zipped=[("g0", "kappa")]), "zipped"),
    (dict(fixed={"g0": 1.0}), "g0"),
    (dict(fixed={"kappa": [1.0, 2.0]}), "kappa"),
    (dict(fixed=[1]), "fixed"),
    (dict(cue="song"), "cue"),
    (dict(compute="everything"), "compute"),
    (dict(compute="final_overlap"), "options"),
    (dict(options={"tolerance": 1.0}), "options"),
    (dict(options={"tol": -1.0}), "tol"),
    (dict(options={"tol": "small"}), "tol"),
    (dict(options={"max_steps": 1.5}), "max_steps"),
    (dict(options=3), "options"),
    (dict(compute="critical_coupling", options={"kind": "any"}), "kind"),
    (dict(compute=told_overlap, options={"tol": 1.0}), "options"),
    (dict(title=3), "title"),
]


@pytest.mark.parametrize(("wrong", "named"), BAD, ids=[str(bad[0])[:40] for bad in BAD])
def test_bad_arguments_are_refused_in_one_line(wrong, named):
    arguments = dict(model=MODEL, axes={"g0": [1.0, 1.5]}) | wrong
    assert named in refused(lambda: dj.Sweep(**arguments)).split("; got")[0]


def test_a_seed_without_a_cue_that_it_decides_says_which_cues_do():
    assert "give angle, flip or cue='tilt'" in refused(lambda: dj.Sweep(MODEL, {"g0": [1.0], "seed": [1, 2]}))
    assert "'flip' a flip" in refused(lambda: dj.Sweep(MODEL, {"flip": [0.1]}, cue="tilt"))


def test_bad_ways_to_run_are_refused():
    sweep = dj.Sweep(MODEL, {"g0": [1.0]}, told_overlap)
    for wrong in (dict(chunk=0), dict(chunk=33), dict(chunk=1.5), dict(resume=True)):
        assert next(iter(wrong)) in refused(lambda wrong=wrong: sweep.run(**wrong))


class OwnPatterns(eqx.Module):
    """A cue that brings its own memory, of numbers that are no part of the program."""

    share: jax.Array

    def __call__(self, model, row):
        key = jax.random.fold_in(jax.random.key(7), row["seed"])
        model = model.replace(spins=dj.LargeSpins.individual(dj.random_patterns(key, 2, 12)))
        return model, dj.corrupted_pattern(key, model, row["pattern"], self.share)


def test_a_cue_may_be_a_function_and_bring_its_own_memory():
    def told(model, state):
        return {"xi": dj.overlaps(model, state.m), "G": model.spins.couplings}

    axes = {"g0": [0.5, 1.0], "pattern": [0, 1], "seed": [3, 4, 5]}
    template = MODEL.replace(spins=dj.LargeSpins.individual(np.ones((2, 12))))
    sweep = dj.Sweep(template, axes, told, cue=OwnPatterns(jnp.asarray(0.2)))
    found = sweep.run()
    for nu, s in np.ndindex(2, 3):
        model, state = OwnPatterns(0.2)(template, {"seed": axes["seed"][s], "pattern": nu})
        np.testing.assert_array_equal(found.G[0, nu, s], model.spins.couplings)
        np.testing.assert_allclose(found.xi[1, nu, s], dj.overlaps(model, state.m), rtol=1e-14)
    with compilations() as again:  # neither another number nor another object is another program
        other = dj.Sweep(template, axes, told, cue=OwnPatterns(jnp.asarray(0.3)))
        assert not found.xi.equals(other.run().xi)
    assert not [name for name in again if "_of_rows" in name]
    assert sweep.identity()["cue"] != other.identity()["cue"] and "OwnPatterns" in found.attrs["cue"]
    with pytest.raises(ValueError, match="cue must be one of stored, .* to be written to a study file"):
        sweep.to_toml()
    assert "a MeanFieldState" in refused(lambda: dj.Sweep(MODEL, axes, told, cue=lambda model, row: 1.0).run())


@pytest.mark.parametrize("cue", ["stored", "tilt", "flip", "random"])
def test_programs_of_cues_call_nobody_back_and_so_are_kept_on_disk(cue):
    """Patterns and probabilities were looked at before; a check in the program would be the host's at run time."""
    values = {name: np.zeros(32) + x for name, x in starts.DEFAULT_CUE.items()} | {"g0": np.ones(32)}
    cues, rates = starts.of_cues_and_rates(values, MODEL)
    made = rows._of_rows.lower(rows._state, MODEL, cues, rates, cue)
    assert "callback" not in made.as_text()
    with pytest.raises(Exception, match="must be a pattern number from 0 to 1"):
        eqx.filter_jit(dj.stored_pattern)(MODEL, jnp.asarray(2)).m.block_until_ready()


def test_how_exact_mean_field_is():
    """Without a coupling spins and modes keep their noise, 2 K + M; with one it is the Gaussian limit along the run."""
    model, axes = paper(1.0, 1), {"g0": [0.0, 0.4], "angle": [0.2, 1.0]}
    found = dj.Sweep(model, axes, "exactness", options={"time": 2.0}).run()
    np.testing.assert_allclose(found.scaled_error[0], 3.0, rtol=1e-8)
    at, times = model.replace(g0=0.4), jnp.array([0.0, 2.0])
    state = dj.tilted_pattern(jax.random.key(0), at, 0, 1.0)
    limit = dj.scaled_error(at, dj.gaussian_moments(at, state, times), dj.mfsolve(at, state, times))
    np.testing.assert_allclose(found.scaled_error[1, 1], limit[-1], rtol=1e-9)
    assert "time at which runs end" in refused(lambda: dj.Sweep(model, axes, "exactness"))
