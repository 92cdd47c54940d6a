"""`result.plot()` of every class of results that there is: it draws, into given Axes too, or refuses in one line."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from jaxtyping import config
from results_of_every_kind import MODEL, classes, made, two_of

import dicke_jax as dj
from dicke_jax._summary import AbstractResult
from dicke_jax.plotting.results import PICTURES

matplotlib.use("agg")
import matplotlib.pyplot as plt

CLASSES = classes()
BY_DESIGN = {"EnsembleSolution"}  # a result of many rows
NO_ARRAYS = {"Branch", "OrbitBranch", "Bifurcations", "BasinShares"}  # never under jax.vmap


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def drawn(axes):
    """Its panels, which really can be drawn."""
    found = [axis for axis in np.ravel(axes) if axis is not None]
    assert found and all(isinstance(axis, matplotlib.axes.Axes) for axis in found)
    found[0].figure.draw_without_rendering()
    return found


def test_the_table_has_every_class_of_results_and_no_other():
    assert set(PICTURES) == set(CLASSES)
    assert len(CLASSES) > 20


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_result_draws_itself_and_into_given_axes(kind):
    result = made(kind)
    made_by_itself = result.plot()
    found, shape = drawn(made_by_itself), np.shape(made_by_itself)
    assert any(axis.get_xlabel() for axis in found)
    panels = plt.subplots(*(shape if len(shape) == 2 else (1, len(found))), squeeze=False)[1]
    given = panels if len(shape) == 2 else tuple(panels.ravel()) if shape else panels.item()
    before = len(plt.get_fignums())
    assert [id(axis) for axis in drawn(result.plot(given))] == [id(axis) for axis in np.ravel(given)]
    assert len(plt.get_fignums()) == before  # no figure besides


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind.__name__ not in BY_DESIGN | NO_ARRAYS],
                         ids=lambda kind: kind.__name__)  # fmt: skip
def test_a_batch_and_what_is_traced_are_refused_in_one_line(kind):
    result = made(kind)
    with pytest.raises(ValueError, match=f"result must be one row of a batch .*; got {kind.__name__} with 1 ") as told:
        two_of(result).plot()
    assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match=f"result must be one with numbers, .*; got a traced {kind.__name__}"):
        eqx.filter_jit(lambda x: x.plot())(result)
    assert not plt.get_fignums()


def test_a_class_without_a_picture_is_refused_and_one_of_another_s_kind_has_that_picture():
    class Own(AbstractResult):
        status: dj.Status

        def _heading(self):
            return "Own"

        def _rows(self):
            return []

    with pytest.raises(ValueError, match="result must be of a class that has a picture .*; got Own"):
        Own(dj.Status.successful).plot()

    class Longer(dj.MFSolution):
        pass

    run = dj.mfsolve(MODEL, dj.stored_pattern(MODEL), [0.0, 1.0])
    longer = Longer(**{name: getattr(run, name) for name in run.__dataclass_fields__})
    assert dj.plotting.picture_of(longer) is dj.plotting.plot_overlaps


@pytest.mark.parametrize("kind", [dj.StationaryCovariance, dj.OutputSpectrum])
def test_a_result_without_numbers_says_why_it_has_none(kind):
    spoilt = jax.tree.map(lambda x: x * np.nan if jnp.issubdtype(x.dtype, jnp.inexact) else x, made(kind))
    spoilt = eqx.tree_at(lambda result: result.status, spoilt, dj.Status.unstable)
    with pytest.raises(ValueError, match="must be one with .*; got none, unstable: ") as told:
        spoilt.plot()
    assert "\n" not in str(told.value)


def test_an_orbit_that_was_not_found_has_no_picture_and_is_not_stable():
    none = eqx.tree_at(lambda orbit: orbit.status, made(dj.PeriodicOrbit), dj.Status.at_rest)
    none = eqx.tree_at(lambda orbit: orbit.num_growing, none, jnp.array(0))
    assert not none.is_stable and "stable" not in repr(none)
    with pytest.raises(ValueError, match="^orbit must be one that was found; got none, at rest: .*$"):
        none.plot()


def test_options_go_to_the_picture():
    axis = made(dj.Branch).plot(pattern=1)
    assert axis.get_ylabel() == r"overlap $\xi_{2}$"
    with pytest.raises(TypeError, match="colour"):
        made(dj.Branch).plot(colour=1)


@pytest.fixture
def as_a_user_runs_it():
    """Without the executed annotations of the tests, which would be the first to refuse."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


def test_axes_that_do_not_fit_are_refused_in_one_line(as_a_user_runs_it):
    one = plt.subplots()[1]
    for kind, axes, told in (
        (dj.Moments, (one,), "ax must be 2 matplotlib Axes; got Axes\\.$"),
        (dj.Moments, (one, 3), "ax must be 2 matplotlib Axes; got Axes, int"),
        (dj.Branch, "here", "ax must be a matplotlib Axes or None; got str"),
        (dj.Moments, one, "ax must be 2 matplotlib Axes; got Axes"),
    ):
        with pytest.raises(ValueError, match=told):
            made(kind).plot(axes)


def test_orbits_have_labels_and_are_kept_as_other_results(tmp_path):
    orbits = made(dj.OrbitBranch)
    assert orbits.to_xarray().attrs["name"] == "g0"
    again = dj.load(dj.save(orbits, tmp_path / "orbits.nc"))
    assert repr(again) == repr(orbits) and again.special[1].kind == "period doubling"
    np.testing.assert_array_equal(again.highest, orbits.highest)


def test_a_diagram_says_why_there_are_no_orbits_and_is_kept_with_its_parts(tmp_path):
    diagram = made(dj.Bifurcations)
    assert "no orbits  from g0 = 0.93: start must be an orbit; got none" in repr(diagram)
    assert not diagram.successful and made(dj.OrbitBranch).successful
    again = dj.load(dj.save(diagram, tmp_path / "diagram.nc"))
    assert repr(again) == repr(diagram) and again.reasons == diagram.reasons
    np.testing.assert_array_equal(again.orbits[1].highest, diagram.orbits[1].highest)
    numbers = diagram.to_xarray()
    np.testing.assert_array_equal(numbers.orbits_1_lowest, diagram.orbits[1].lowest)
    legend = [text.get_text() for text in diagram.plot().get_legend().get_texts()]
    assert legend == ["states", "hopf", "orbits, least and largest", "period doubling"]


def test_shares_are_the_lengths_of_bars_with_those_that_rest_nowhere_below():
    shares = made(dj.BasinShares)
    axis = shares.plot()
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([3 / 7, 2 / 7, 1 / 7, 1 / 7])
    assert axis.get_yticklabels()[3].get_text() == "oscillating"
    assert axis.get_yticklabels()[0].get_text() == ", ".join(f"{xi:.2f}" for xi in shares.overlaps[0])
    again = shares.to_xarray()
    assert again.end.dims == ("sample",) and again.status.attrs["flag_meanings"] == "successful oscillating"


def test_every_picture_takes_ax_and_the_version_before_s_names_warn():
    functions = {name: getattr(dj.plotting, name) for name in dir(dj.plotting) if name.startswith("plot_")}
    assert len(functions) > 25
    for name, function in functions.items():
        assert "ax" in inspect.signature(function).parameters, name
    run, axis = made(dj.MFSolution), plt.subplots()[1]
    assert dj.plotting.plot_overlaps(run, ax=axis) is axis
    for old in ("axis", "axes"):
        with pytest.warns(DeprecationWarning, match=f"the argument {old} is now ax; the old name goes"):
            assert dj.plotting.plot_overlaps(run, **{old: axis}) is axis
    with pytest.raises(TypeError, match="unexpected keyword argument 'axis'"):
        dj.plotting.plot_overlaps(run, ax=axis, axis=axis)
