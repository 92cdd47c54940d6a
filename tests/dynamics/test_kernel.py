"""What may become one kernel on a CPU, and that nothing public aborts the process."""

import os
import subprocess
import sys

import diffrax as dfx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import generic_state, paper, rates_of, spin_by_spin, uneven

import dicke_jax as dj
from dicke_jax.dynamics._loop import as_small_as_known, kernel
from dicke_jax.dynamics._loop.whole_run import WholeRun

MODEL = paper(num_patterns=2)
STATE = generic_state(MODEL)
TIMES = jnp.array([0.3, 1.1, 2.0])
PID = dfx.PIDController(1e-10, 1e-10)

only_on_cpus = pytest.mark.skipif(jax.default_backend() != "cpu", reason="there is no kernel elsewhere")


class Scattering(dj.AbstractCouplings):
    """Of a user: both maps in ways that no kernel can hold."""

    signs: jax.Array

    @property
    def num_modes(self):
        return self.signs.shape[0]

    @property
    def num_subsets(self):
        return self.signs.shape[1]

    def field(self, q):
        rows = jnp.arange(self.num_modes)
        return jnp.zeros(self.num_subsets, q.dtype).at[jnp.zeros_like(rows)].add(0 * q) + jnp.matmul(
            q, self.signs, precision="highest"
        )

    def project(self, s):
        every = self.signs * s[None]
        modes = jnp.repeat(jnp.arange(self.num_modes), self.num_subsets)
        return jax.ops.segment_sum(every.ravel(), modes, num_segments=self.num_modes)


class Subclass(dfx.PIDController):
    """A controller of a user, with what no kernel can hold in its norm."""


def enters(model, solver=None, controller=PID, adjoint=None, event=None) -> bool:
    solver = dj.BilinearTaylor() if solver is None else solver
    adjoint = dfx.ForwardMode() if adjoint is None else adjoint
    return isinstance(kernel.as_fast_as_known(adjoint, model, solver, controller, event)[0], WholeRun)


@only_on_cpus
def test_what_enters_is_known_by_its_exact_type():
    assert enters(MODEL)
    assert enters(MODEL.replace(g0=dj.PiecewiseLinear([0.0, 1.0], [0.5, 1.0])))
    assert enters(MODEL.replace(dissipation=dj.LocalDissipation([("decay_x", 0.1)])))
    assert enters(MODEL, controller=dfx.ClipStepSizeController(PID, step_ts=[1.0]))
    outside = dict(
        couplings=dict(
            model=MODEL.replace(spins=dj.LargeSpins(Scattering(MODEL.spins.couplings.astype(float)), [0.5, 0.5]))
        ),
        many_subsets=dict(model=paper(num_patterns=9)),
        function_of_time=dict(model=MODEL.replace(g0=lambda t: 1.0 + 0 * t)),
        solver=dict(model=MODEL, solver=dfx.Dopri8()),
        controller=dict(model=MODEL, controller=Subclass(1e-10, 1e-10)),
        norm=dict(model=MODEL, controller=dfx.PIDController(1e-10, 1e-10, norm=lambda y: jnp.max(jnp.abs(y[0])))),
        jumps=dict(model=MODEL, controller=dfx.ClipStepSizeController(PID, jump_ts=[1.0])),
        adjoint=dict(model=MODEL, adjoint=dfx.RecursiveCheckpointAdjoint()),
        event=dict(model=MODEL, event=dfx.Event(lambda t, y, args, **_: t > 1.0)),
    )
    assert [name for name, what in outside.items() if enters(**what)] == []


@only_on_cpus
@pytest.mark.parametrize(
    "held",
    [jnp.eye(2, dtype=complex), jnp.array([2**31 + 1], jnp.uint32), jnp.array([2**53 + 1]), jax.random.key(0)],
    ids=["complex", "uint32", "int64", "key"],
)
def test_what_a_kernel_would_cast_stays_outside(held):
    """In a kernel all that is carried is cast to floats of the model's precision."""

    class Own(Scattering):
        held: jax.Array

    own = Own(MODEL.spins.couplings.astype(float), held)
    assert not enters(MODEL.replace(spins=dj.LargeSpins(own, [0.5, 0.5])))
    whole = dj.DenseCouplings(jnp.array([[1, 1], [1, 0]], jnp.uint32 if held.dtype == jnp.uint32 else jnp.int64))
    assert not enters(MODEL.replace(spins=dj.LargeSpins(whole, [0.5, 0.5])))


def test_couplings_of_a_user_take_the_ordinary_loop_and_are_right():
    own = MODEL.replace(spins=dj.LargeSpins(Scattering(MODEL.spins.couplings.astype(float)), [0.5, 0.5]))
    np.testing.assert_allclose(dj.mfsolve(own, STATE, TIMES).m, dj.mfsolve(MODEL, STATE, TIMES).m, atol=1e-9)


def test_a_hundred_spins_run_by_default():
    """With orders of the series that XLA leaves to a library, as it does from 4096 numbers on: 19 of 3 x 100 here."""
    G = dj.random_patterns(jax.random.key(1), 2, 100)
    model = uneven(2, dj.LargeSpins.individual(G))
    state = generic_state(model)
    exact, alpha = spin_by_spin(G, rates_of(model), state.m, state.alpha, TIMES)
    sol = dj.mfsolve(model, state, TIMES)
    np.testing.assert_allclose(sol.m, exact, atol=1e-9)
    np.testing.assert_allclose(sol.alpha, alpha, atol=1e-9)


@pytest.mark.parametrize("modes", [14, 15, 16])
def test_sums_over_what_was_seen_of_a_run_are_taken_by_whom_they_must(modes):
    """As those of steadystate over 256 times, with the residual in a column of its own: of 15 modes, 4096 numbers."""
    seen = jnp.arange(256.0 * modes).reshape(256, modes)
    beside = jnp.arange(256.0)[:, None]

    def means(model, x):
        return model.g0 * jnp.mean(jnp.concatenate([beside, x], axis=1), axis=0)

    expected = 0.5 * np.mean(np.concatenate([beside, seen], axis=1), axis=0)
    of = jax.jit(lambda g0, x: as_small_as_known(means, paper(g0), x))
    np.testing.assert_allclose(of(0.5, seen), expected, rtol=1e-14)


@only_on_cpus
@pytest.mark.parametrize("subsets, modes, inside", [(71, 2, True), (72, 2, False), (3, 107, True), (3, 108, False)])
def test_sums_over_orders_enter_as_long_as_no_library_takes_them(subsets, modes, inside):
    model = uneven(modes, dj.LargeSpins(dj.DenseCouplings(jnp.ones((modes, subsets))), jnp.full(subsets, 1 / subsets)))
    assert enters(model, dj.BilinearTaylor(18)) == inside
    assert enters(model, dj.BilinearTaylor(18, unrolled=18))  # each order is one addend


@only_on_cpus
def test_the_switch_changes_no_number_and_says_so():
    on = dj.mfsolve(MODEL, STATE, TIMES)
    assert kernel.kernel_state() == "on"
    dj.use_cpu_kernel(False)
    try:
        assert not enters(MODEL) and "turned off by DICKE_JAX_CPU_KERNEL or use_cpu_kernel" in kernel.kernel_state()
        np.testing.assert_allclose(dj.mfsolve(MODEL, STATE, TIMES).m, on.m, atol=1e-11)
    finally:
        dj.use_cpu_kernel(True)


def test_a_version_of_jax_that_is_not_tested_has_no_kernel(monkeypatch):
    kernel._obstacle.cache_clear()
    monkeypatch.setattr(kernel, "version", lambda name: "99.1.0")
    try:
        assert "not tested with jax 99.1" in kernel.kernel_state() and not enters(MODEL)
    finally:
        kernel._obstacle.cache_clear()


SAMPLE = """
import sys, itertools, numpy as np, jax, jax.numpy as jnp, diffrax as dfx
jax.config.update("jax_enable_x64", True)
import dicke_jax as dj
draw = np.random.default_rng(int(sys.argv[1]))
for number in range(int(sys.argv[2])):
    M, T, dtype = int(draw.integers(1, 6)), int(draw.integers(2, 5)), (jnp.float32, jnp.float64)[draw.integers(2)]
    if draw.random() < 0.3:
        spins = dj.map_to_large_spins(dj.random_patterns(jax.random.key(number), M, 40)).spins
    else:
        spins = dj.LargeSpins.hypercube(M, gauge=bool(draw.integers(2)))
    rates = dict(omega_spin=jnp.asarray(draw.choice([0.0, 0.5]), dtype), omega_mode=[1.0 + mu for mu in range(M)])
    if draw.random() < 0.4:
        rates["omega_spin"] = dj.PiecewiseLinear(jnp.array([0.2, 1.0], dtype), jnp.array([0.1, 0.6], dtype))
    jumps = dj.LocalDissipation([("decay_x", draw.choice([0.0, 0.1]))]) if draw.random() < 0.4 else None
    model = dj.DickeModel(spins, kappa=jnp.asarray(draw.choice([0.0, 1.0]), dtype), g0=1.0, dissipation=jumps, **rates)
    state = dj.stored_pattern(model) if draw.random() < 0.5 else dj.random_state(jax.random.key(number), model, 0.1)
    order = (8, 13, 18)[draw.integers(3)]
    solver = None if draw.random() < 0.6 else dj.BilinearTaylor(order, True, int(draw.integers(0, order + 1)))
    adjoint = (None, dfx.ForwardMode(), dfx.RecursiveCheckpointAdjoint(), dj.ReplayAdjoint(300))[draw.integers(4)]
    times = jnp.asarray(0.1 + np.linspace(0, 1.5, T), dtype)

    def end(g0):
        sol = dj.mfsolve(model.replace(g0=g0), state, times, solver=solver, adjoint=adjoint, throw=False)
        return jnp.sum(sol.m[-1]) + jnp.sum(sol.overlaps)

    of = jnp.asarray(0.9, model.dtype)
    how = draw.integers(4)
    if how == 0:
        out = end(of)
    elif how == 1:
        out = jax.vmap(end)(jnp.stack([of, 2 * of, 0 * of]))
    elif isinstance(adjoint, dfx.ForwardMode):
        out = jax.jit(jax.jacfwd(end))(of) if how == 2 else jax.vmap(jax.jacfwd(end))(jnp.stack([of, 2 * of]))
    else:
        out = jax.jit(jax.grad(end))(of) if how == 2 else jax.vmap(jax.grad(end))(jnp.stack([of, 2 * of]))
    assert np.isfinite(np.asarray(out)).all(), (number, M, T, dtype, how, adjoint, solver)
print("whole")
"""


def sample(seed: int, number: int) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SAMPLE, str(seed), str(number)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1500)
    assert run.returncode == 0 and run.stdout.strip() == "whole", run.stderr[-2000:]


def test_a_sample_of_public_usage_aborts_nothing():
    """Three runs that all become kernels and compile fast, of which two have ramps, two are float32, one has jumps.

    They are reverse mode by replay, alone and in a batch, and forward mode.
    """
    sample(seed=40, number=3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_a_larger_sample_of_public_usage_aborts_nothing(seed):
    sample(seed, number=30)
