"""Every refusal names the argument, what it must be and what it was."""

import dataclasses

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import config
from problems import paper

import dicke_jax as dj

KEY = jax.random.key(0)
MODEL = paper(1.0, num_patterns=2)
STATE = dj.stored_pattern(MODEL)
SPINS = MODEL.spins
RATES = dict(omega_spin=0.5, omega_mode=1.0, kappa=1.0, g0=1.0)
NAN = float("nan")


TOO_LONG = dj.MeanFieldState(1.1 * STATE.m, STATE.alpha)
TIMES = jnp.array([0.0, 1.0])


class Own(dj.AbstractCouplings):
    scale: jax.Array = dataclasses.field(metadata=dict(converter=jnp.asarray))
    num_modes = 1
    num_subsets = 2

    def field(self, q):
        return jnp.broadcast_to(q[0], (2,))

    def project(self, s):
        return jnp.atleast_1d(self.scale * jnp.sum(s))


def model(**rates):
    return dj.DickeModel(SPINS, **(RATES | rates))


def times(*values):
    return dj.mfsolve(MODEL, STATE, jnp.array(values))


def traced(function):
    return lambda: jax.eval_shape(function, 1.0)


@pytest.fixture(autouse=True)
def as_a_user_runs_it():
    """Without the executed annotations of the tests, which would be the first to refuse."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


CASES = {
    "patterns: entries under the gauge": (
        lambda: dj.map_to_large_spins([[1, 2], [1, 1]]),
        "patterns must be .1 or -1.*2",
    ),
    "patterns: zero under the gauge": (lambda: dj.map_to_large_spins([[1, 0]]), "patterns must be .1 or -1.*got 0"),
    "patterns: nan without the gauge": (
        lambda: dj.map_to_large_spins([[1, NAN]], gauge=False),
        "patterns must be finite",
    ),
    "patterns: one dimension": (
        lambda: dj.map_to_large_spins([1, -1]),
        r"patterns must be of shape \(M, N_sp\).*\(2,\)",
    ),
    "patterns: traced": (
        lambda: jax.jit(lambda G: dj.map_to_large_spins(G).subset)(jnp.ones((2, 2))),
        "patterns must be known",
    ),
    "num_patterns": (lambda: dj.random_patterns(KEY, 0, 10), "num_patterns must be a whole number.*got 0"),
    "num_spins": (lambda: dj.random_patterns(KEY, 2, 2.5), "num_spins must be a whole number.*2.5"),
    "num_patterns: hypercube": (lambda: dj.LargeSpins.hypercube(0), "num_patterns must be"),
    "weights: shape": (lambda: dj.LargeSpins(SPINS.operator, [1.0]), r"weights must be of shape \(2,\).*\(1,\)"),
    "weights: sum": (lambda: dj.LargeSpins(SPINS.operator, [0.5, 0.6]), "weights must be of sum 1; got sum 1.1"),
    "weights: sign": (lambda: dj.LargeSpins(SPINS.operator, [1.5, -0.5]), "weights must be not negative.*-0.5"),
    "project: no transpose": (
        lambda: dj.LargeSpins(Own(2.0), [0.5, 0.5]),
        "project must be the transpose of operator.f",
    ),
    "project: shape": (lambda: dj.LargeSpins(Own([1.0, 1.0]), [0.5, 0.5]), r"project must be a map .* to shape \(1,\)"),
    "jumps: one pair": (lambda: dj.LocalDissipation(("decay_x", 0.1)), r"jumps must be pairs, \[\(jump, rate"),
    "kappa: shape in time": (lambda: model(kappa=lambda t: jnp.ones(3)), r"kappa\(t\) must be one .*\(2,\).*\(3,\)"),
    "g0: of NumPy's functions": (
        lambda: model(g0=lambda t: np.interp(t, [0.0, 1.0], [0.5, 1.0])),
        "g0 must be a function of time in jax.numpy's operations, or PiecewiseLinear; got one that asks for its number",
    ),
    "g0: of two arguments": (
        lambda: model(g0=lambda t, x: x),
        r"g0 must be a function of one argument, the time; got one of \(t, x\)",
    ),
    "function: of none": (
        lambda: dj.RateFunction(lambda: 1.0, shortest=0.1),
        r"function must be a function of one argument, the time; got one of \(\)",
    ),
    "g0: needs a number": (lambda: model(g0=lambda t: float(t)), "g0 must be a function of time in jax.numpy"),
    "rates: half precision": (lambda: model(g0=jnp.float16(1.0)), "rates must be float32 or float64; got float16"),
    "stepsize_controller": (
        lambda: dj.mfsolve(MODEL, STATE, TIMES, solver=dfx.Euler()),
        r"stepsize_controller must be diffrax.ConstantStepSize\(\), with dt0, .*; got PID",
    ),
    "mfsolve: spins too long": (lambda: dj.mfsolve(MODEL, TOO_LONG, TIMES), r"\|m_k\| must be at most 1; got 1.1"),
    "steadystate: spins too long": (lambda: dj.steadystate(MODEL, TOO_LONG), r"\|m_k\| must be at most 1; got 1.1"),
    "solve_ensemble: spins too long": (
        lambda: dj.solve_ensemble(MODEL, jax.tree.map(lambda x: x[None], TOO_LONG)),
        r"\|m_k\| must be at most 1; got 1.1",
    ),
    "lyapunov_exponent: spins too long": (
        lambda: dj.lyapunov_exponent(MODEL, TOO_LONG),
        r"\|m_k\| must be at most 1; got 1.1",
    ),
    "subset_size: none": (lambda: dj.mesolve(MODEL, STATE, TIMES), "subset_size must be given, how many spins"),
    "matrix": (lambda: dj.DenseCouplings(jnp.ones(3)), r"matrix must be of shape \(M, K\)"),
    "bloch": (lambda: dj.map_to_large_spins([[1, -1]]).to_large(jnp.ones((3, 5))), "bloch must be of shape .3, 2.*5"),
    "m: mapping": (lambda: dj.map_to_large_spins([[1, -1]]).to_spins(jnp.ones((3, 5))), "m must be of shape .3, 1.*5"),
    "sigma_z": (lambda: dj.pattern_overlaps(jnp.ones((2, 4)), jnp.ones(3)), "sigma_z must be of shape .4,"),
    "spins": (lambda: dj.DickeModel("hypercube", **RATES), r"spins must be LargeSpins \(.*hypercube\(1\).*; got str"),
    "omega_mode: shape": (lambda: model(omega_mode=jnp.ones(3)), r"omega_mode must be .*\(2,\).*\(3,\)"),
    "omega_spin: shape": (lambda: model(omega_spin=jnp.ones(2)), "omega_spin must be one number"),
    "kappa: negative": (lambda: model(kappa=[1.0, -0.1]), r"kappa must be not negative.*-0.1 at index \(1,\)"),
    "g0: nan": (lambda: model(g0=NAN), "g0 must be finite; got nan"),
    "kappa: nan": (lambda: model(kappa=NAN), "kappa must be finite"),
    "g0: complex": (lambda: model(g0=1j), "g0 must be real"),
    "m: shape": (lambda: dj.MeanFieldState(jnp.ones((2, 2)), jnp.ones(2)), r"m must be of shape \(3, K\).*\(2, 2\)"),
    "m: nan": (lambda: dj.MeanFieldState(jnp.full((3, 2), NAN), jnp.ones(2)), "m must be finite"),
    "alpha: nan": (lambda: dj.MeanFieldState(jnp.ones((3, 2)), jnp.array([1.0, NAN])), "alpha must be finite"),
    "alpha: shape": (lambda: dj.MeanFieldState(jnp.ones((3, 2)), jnp.ones((2, 2))), "alpha must be of shape"),
    "pattern: unknown": (lambda: dj.stored_pattern(MODEL, 2), "pattern must be a pattern number from 0 to 1; got 2"),
    "flip": (lambda: dj.corrupted_pattern(KEY, MODEL, flip=1.5), "flip must be a probability.*1.5"),
    "angle": (lambda: dj.tilted_pattern(KEY, MODEL, angle=NAN), "angle must be finite"),
    "amplitude": (lambda: dj.random_state(KEY, MODEL, amplitude=-1.0), "amplitude must be not negative"),
    "state: other model": (
        lambda: dj.mfsolve(paper(), STATE, [0.0, 1.0]),
        r"state.m must be of shape \(3, 8\).*\(3, 2\)",
    ),
    "state: type": (lambda: dj.mfsolve(MODEL, jnp.ones((3, 2)), [0.0, 1.0]), "state must be a MeanFieldState"),
    "tsave: unsorted": (lambda: times(0.0, 2.0, 1.0), "tsave must be strictly increasing"),
    "tsave: twice": (lambda: times(0.0, 0.0), "tsave must be strictly increasing"),
    "tsave: nan": (lambda: times(0.0, NAN), "tsave must be finite"),
    "tsave: one": (lambda: times(0.0), "tsave must be .* at least two"),
    "rtol": (lambda: dj.mfsolve(MODEL, STATE, [0.0, 1.0], rtol=1e-20), "rtol must be from 8.9e-16.*got 1e-20"),
    "series_order": (lambda: dj.BilinearTaylor(1), "series_order must be .* at least 2"),
    "kappa: steady": (lambda: dj.steadystate(model(kappa=0.0), STATE), "kappa must be positive .* got 0.0"),
    "tol": (lambda: dj.steadystate(MODEL, STATE, tol=0.0), "tol must be .* got 0.0"),
    "max_time": (lambda: dj.steadystate(MODEL, STATE, max_time=-1.0), "max_time must be positive .* got -1.0"),
    "max_steps": (lambda: dj.steadystate(MODEL, STATE, max_steps=0), "max_steps must be .* got 0"),
    "states": (lambda: dj.solve_ensemble(MODEL, jnp.ones(3), [0.0, 1.0]), "states must be a MeanFieldState; got "),
    "save": (
        lambda: dj.solve_ensemble(MODEL, STATE, [0.0, 1.0], save="last"),
        "save must be one of 'all', 'final', 'overlaps'; got 'last'",
    ),
    "throw": (
        lambda: dj.solve_ensemble(MODEL, STATE, [0.0, 1.0], throw=True),
        "throw must be left out: a row that fails says so in its status; got True",
    ),
    "devices": (lambda: dj.solve_ensemble(MODEL, STATE, [0.0, 1.0], devices=[]), "devices must be at least one"),
    "probabilities: sign": (
        lambda: dj.LargeSpins.from_distribution((1, 0), (1.5, -0.5), 2),
        "probabilities must be not neg",
    ),
    "probabilities: sum": (
        lambda: dj.LargeSpins.from_distribution((1, 0), (0.5, 0.4), 2),
        "probabilities must be of sum 1",
    ),
    "probabilities: shape": (
        lambda: dj.LargeSpins.from_distribution((1, 0), (1.0,), 2),
        "probabilities must be of shape",
    ),
    "values": (lambda: dj.LargeSpins.from_distribution((1, 1), (0.5, 0.5), 2), "values must be all different"),
    "d^M": (
        lambda: dj.LargeSpins.from_distribution((1, 0, -1), (0.2, 0.3, 0.5), 30),
        r"num_patterns must be .*3\^30 = .*GB",
    ),
    "2^M": (lambda: dj.LargeSpins.hypercube(41), r"num_patterns must be .*2\^40 = 1099511627776 subsets.* GB"),
    "jumps": (lambda: dj.LocalDissipation([]), "jumps must be pairs"),
    "jump: name": (lambda: dj.LocalDissipation([("decay", 1.0)]), "jump must be one of 'decay_x'.*'decay'"),
    "jump: shape": (lambda: dj.LocalDissipation([(np.ones((2, 3)), 1.0)]), "jump must be a matrix, 2x2 .*2, 3"),
    "jump: of other levels": (
        lambda: dataclasses.replace(paper(), dissipation=dj.LocalDissipation([(np.eye(3), 1.0)])),
        "dissipation must be of 2x2 matrices .* got 3x3",
    ),
    "rate: sign": (lambda: dj.LocalDissipation([("decay_x", -1.0)]), "rate of a jump must be not negative"),
    "rate: shape": (
        lambda: dataclasses.replace(paper(), dissipation=dj.LocalDissipation([("decay_x", jnp.ones(3))])),
        r"rate of a jump must be one number or of shape \(8,\)",
    ),
    "times: schedule": (lambda: dj.PiecewiseLinear([1.0, 0.0], [1.0, 2.0]), "times must be strictly increasing"),
    "values: schedule": (lambda: dj.PiecewiseLinear([0.0, 1.0], [1.0]), "values must be one value or row"),
    "bloch: mapping": (
        lambda: dj.map_to_large_spins([[1, -1]], bloch=np.ones((3, 3))),
        "bloch must be of shape .3, 2",
    ),
    "kappa: ramp": (lambda: model(kappa=dj.PiecewiseLinear([0.0, 1.0], [1.0, -1.0])), "kappa must be not negative"),
    "images: uniform": (lambda: dj.image_patterns(np.ones((1, 2, 2))), "images must be .* one brightness"),
    "state: reduction": (lambda: dj.reduce_symmetry(MODEL, MODEL), "state must be a MeanFieldState; got DickeModel"),
    "model: a branch, traced": (
        traced(lambda g0: dj.continuation(model(g0=g0), STATE, limits=(0.5, 1.5))),
        "model must be known, for a branch .*; got traced",
    ),
    "model: a fit, traced": (
        traced(lambda g0: dj.fit(model(g0=g0), dj.StationaryCurve([0.5, 1.0], g0 * jnp.ones(2), 0.1))),
        "model and data must be known, for a fit .*; got traced",
    ),
    "model: a design, traced": (
        traced(lambda g0: dj.design(dj.stability_margin, model(g0=g0))),
        "model must be known, for it is changed .*; got traced",
    ),
    "axes: misspelt beside a seed": (
        lambda: dj.Sweep(MODEL, {"tilt": [0.1], "seed": [0, 1]}),
        "axes, tilt, must be one of omega_spin, .*; got tilt",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_is_refused(name):
    call, message = CASES[name]
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def test_a_traced_pattern_that_does_not_exist_is_an_error_too():
    import equinox as eqx

    with pytest.raises(eqx.EquinoxRuntimeError, match="pattern must be a pattern number from 0 to 1"):
        eqx.filter_jit(lambda nu: dj.stored_pattern(MODEL, nu).m)(jnp.array(5))


def test_a_traced_probability_out_of_range_is_an_error_too():
    import equinox as eqx

    with pytest.raises(eqx.EquinoxRuntimeError, match="flip must be a probability"):
        eqx.filter_jit(lambda p: dj.corrupted_pattern(KEY, MODEL, flip=p).m)(jnp.array(2.0))


def test_series_solver_refuses_equations_that_are_not_its_own():

    def other_equations(t, y, model):
        return dj.mean_field_equations(t, y, model)

    with pytest.raises(ValueError, match="solver must be another one"):
        dfx.diffeqsolve(
            dfx.ODETerm(other_equations),
            dj.BilinearTaylor(),
            0.0,
            1.0,
            None,
            STATE.to_real(MODEL),
            args=MODEL,
            stepsize_controller=dfx.PIDController(rtol=1e-6, atol=1e-6),
        )
