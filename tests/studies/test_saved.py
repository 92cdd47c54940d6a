"""Every result as labelled arrays, and on disk without pickle: the same to the bit."""

import json
import sys

import diffrax as dfx
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from problems import paper

import dicke_jax as dj

MODEL = paper(1.2, 2)
STATE = dj.stored_pattern(MODEL)
TIMES = jnp.linspace(0.0, 1.0, 3)
KEYS = jax.random.split(jax.random.key(0), 4)


def run():
    return dj.mfsolve(MODEL, STATE, TIMES)


def runs():
    many = jax.vmap(lambda g0: dj.mfsolve(MODEL.replace(g0=g0), STATE, TIMES))(jnp.array([0.5, 1.0]))
    return many


def branch():
    special = dj.SpecialPoint("fold", 1.0, np.ones(2), 1, np.ones(3))
    return dj.Branch("g0", np.ones(3), np.ones((3, 2)), np.zeros(3), np.zeros(3, int), (special,), "limit")


def moments():
    return dj.gaussian_moments(MODEL, STATE, TIMES)


def posterior():
    return dj.PosteriorSamples(jnp.ones((2, 3, 1)), jnp.asarray(0), jnp.ones(1), jnp.ones(1), ("g0",))


RESULTS = {
    "run": (run, {"overlaps": ("time", "pattern"), "m": ("time", "xyz", "subset"), "status": ()}),
    "batch of runs": (runs, {"overlaps": ("batch", "time", "pattern"), "status": ("batch",)}),
    "branch": (branch, {"overlaps": ("point", "mode"), "special_0_parameter": None}),
    "moments": (moments, {"covariance": ("time", "component", "component_2"), "alpha": ("time", "mode")}),
    "posterior": (posterior, {"rates": ("chain", "sample", "rate")}),
    "states": (lambda: dj.stationary_states(jax.random.key(0), MODEL, num_starts=8), {"overlaps": ("state", "mode")}),
    "stability": (lambda: dj.stability(MODEL, dj.retrieval_state(MODEL)), {"growth_rate": ()}),
    "model": (lambda: MODEL, {"omega_mode": ("mode",)}),
    "measurements": (lambda: dj.StationaryCurve([0.5, 1.0], [0.1, 0.2], 0.1), {}),
}


def same(a, b):
    leaves, structure = jax.tree.flatten(a)
    others, other = jax.tree.flatten(b)
    assert structure == other
    for x, y in zip(leaves, others, strict=True):
        assert type(x) is type(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
        assert np.asarray(x).dtype == np.asarray(y).dtype


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_has_labels_and_is_the_same_after_it_was_on_disk(name, tmp_path):
    make, dims = RESULTS[name]
    result = make()
    path = dj.save(result, tmp_path / "result.nc")
    same(result, dj.load(path))
    found = result.to_xarray() if hasattr(result, "to_xarray") else xr.load_dataset(path, engine="h5netcdf")
    assert found.attrs["title"] == type(result).__name__ and found.attrs["jax"] == jax.__version__
    for variable, expected in dims.items():
        assert (found[variable].dims == expected) if expected is not None else (variable in found.attrs)


def test_what_the_labels_say():
    result = run()
    found = result.to_xarray()
    np.testing.assert_array_equal(found.overlaps.sel(time=0.5), result.overlaps[1])
    assert found.overlaps.attrs["units"] == "1" and found.time.attrs["units"] == "inverse unit of the rates"
    assert found.status.attrs["flag_meanings"] == "successful"


def test_a_run_with_its_model_tells_its_rates_and_both_come_back(tmp_path):
    result = run()
    path = dj.save(result, tmp_path / "run.nc", model=MODEL)
    found = xr.load_dataset(path, engine="h5netcdf", decode_times=False)  # what any reader of netCDF sees
    assert float(found.model_g0) == 1.2 and found.model_g0.attrs["units"] == "unit of the rates"
    np.testing.assert_array_equal(found.model_omega_mode, MODEL.omega_mode)
    assert found.model_omega_mode.dims == ("mode",) and found.model_spins_weights.dims == ("subset",)
    assert set(result.to_xarray(MODEL).variables) == set(found.variables)
    for kept, made in zip(dj.load(path, with_model=True), (result, MODEL), strict=True):
        same(made, kept)
    same(result, dj.load(path))
    alone = dj.save(result, tmp_path / "alone.nc")
    for wrong, message in (
        (lambda: dj.load(alone, with_model=True), r"path must be a file with a model, as save\(result, path, model"),
        (lambda: dj.save(result, path, model=1.0), "model must be a model; got 1.0"),
        (lambda: dj.save(result.to_xarray(), path, model=MODEL), "model must be left out where the result is a data"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


def test_a_status_is_read_by_its_name_whatever_its_code(tmp_path):
    result = eqx.tree_at(lambda r: r.status, run(), dj.Status.oscillating)
    path = dj.save(result, tmp_path / "result.nc")
    changed = xr.load_dataset(path, engine="h5netcdf", decode_times=False)
    changed["status"] = ((), np.int8(77), {"flag_values": np.int8([77]), "flag_meanings": "oscillating"})
    changed.to_netcdf(path, engine="h5netcdf")
    assert dj.load(path).status == dj.Status.oscillating
    assert "oscillating" in repr(dj.load(path))


def test_datasets_stay_datasets(tmp_path):
    found = dj.Sweep(MODEL, {"kappa": [0.5, 1.0]}, "critical_coupling").run()
    assert dj.load(dj.save(found, tmp_path / "sweep.nc")).identical(found)


class Own(eqx.Module):
    x: jax.Array


def test_what_cannot_be_kept_is_refused_in_one_line_and_leaves_no_file(tmp_path):
    schedule = MODEL.replace(g0=lambda t: t)
    for wrong in (schedule, Own(jnp.ones(2))):
        with pytest.raises(ValueError, match="must be made of numbers and of this package's parts, to be saved; got"):
            dj.save(wrong, tmp_path / "wrong.nc")
    assert not list(tmp_path.iterdir())
    (tmp_path / "text.nc").write_text("no file of results")
    for name, reason in (("text.nc", ".*"), ("none.nc", "No such file or directory"), (".", "Is a directory")):
        with pytest.raises(
            ValueError, match=rf"path must be a file that save has written; got .* \({reason}\)"
        ) as error:
            dj.load(tmp_path / name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["os:system", "subprocess:Popen", "dicke_jax.no_room:Thing", "builtins:eval"])
def test_a_file_brings_no_code(name, tmp_path):
    for tree in ({"dict": {}, "class": name}, {"named": name}):
        xr.Dataset(attrs={"dicke_jax_result": json.dumps(tree)}).to_netcdf(tmp_path / "bad.nc", engine="h5netcdf")
        with pytest.raises(ValueError, match="path must be a file of this version of the package; got one with"):
            dj.load(tmp_path / "bad.nc")
    assert "dicke_jax.no_room" not in sys.modules


def test_a_solver_is_a_part_like_others(tmp_path):
    from dicke_jax.studies.saved import _made, _written

    solver = dfx.Kvaerno5()
    tree = json.loads(json.dumps(_written(dfx.Dopri8(), ())))
    assert isinstance(_made(tree, xr.Dataset()), dfx.Dopri8) and solver is not None
