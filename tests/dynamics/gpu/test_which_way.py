"""Which ensembles the kernel serves; what it does not, what does not fit and what does not compile."""

import re

import diffrax as dfx
import gpu_cases as cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from emulated_gpu import Emulator
from two_ways import ON_GPU, by_jax, by_kernel, can_run, find, row_of

import dicke_jax as dj
from dicke_jax.dynamics._gpu import chunks, device
from dicke_jax.dynamics._gpu.cuda import CudaError
from dicke_jax.dynamics._gpu.inputs import slowest_of, slowness_of
from dicke_jax.dynamics.begin_and_end import pace_of_modes, slowest_rate
from dicke_jax.dynamics.rows import Run

pytestmark = can_run


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        (dict(), dict(tsave=[0.0, 1.0], rtol=2.0)),
        (dict(), dict(tsave=[0.0, 1.0], max_steps=0)),
        (dict(), dict(tsave=[0.0, 1.0, 1.0])),
        (dict(), dict(rtol=1e-30)),
        (dict(g0=dj.PiecewiseLinear([0.0, 1.0], [0.0, 1.0])), dict()),
        (dict(num_subsets=4), dict(tsave=[0.0, 1.0])),
        (dict(num_subsets=4), dict()),
    ],
)
def test_what_does_not_fit_is_refused_in_the_same_line(gpu, changes, options):
    """Before anything is launched, which would read what is not there."""
    model = dj.examples.paper_model(num_patterns=2)
    states = cases.states_of(dj.examples.paper_model(num_patterns=3) if "num_subsets" in changes else model, 3)
    rates = {name: value for name, value in changes.items() if name in model.rates}
    model = model.replace(**rates)
    said = []
    for way in (lambda *a, **k: by_kernel(gpu, *a, **k), by_jax):
        with pytest.raises(ValueError) as told:
            way(model, states, **options)
        said.append(str(told.value))
    assert said[0] == said[1] and "\n" not in said[0]


def test_times_that_one_precision_tells_apart_and_another_does_not(gpu, monkeypatch):
    model = dj.examples.paper_model(num_patterns=2)
    single = dj.DickeModel(model.spins, **{name: np.asarray(rate, np.float32) for name, rate in model.rates.items()})
    if gpu is not None:
        monkeypatch.setattr(chunks, "gpu_of", lambda device: gpu)
    run = Run(jnp.array([0.0, 1.0, 1.0 + 1e-9]), "final", {}, None, False)
    ways = [chunks.way_of(one, jax.devices()[:1], run)[1] for one in (model, single)]
    assert ways == ["one launch", "JAX: times that are one in this precision"]


def test_what_the_kernel_does_not_serve_is_left_to_jax(gpu, monkeypatch):
    if gpu is not None:
        monkeypatch.setattr(chunks, "gpu_of", lambda device: gpu)
    model, large = dj.examples.paper_model(num_patterns=2), dj.examples.paper_model(num_patterns=7)
    states, many = cases.states_of(model, 2), cases.states_of(large, 2)

    def route(model, states, **options):
        run = Run(jnp.array([0.0, 0.5]), "final", options, None, model.weights.ndim > 1)
        return chunks.way_of(model, jax.devices()[:1], run)[1]

    assert route(model.replace(g0=lambda t: 1.0 + 0.0 * t), states) == "JAX: a rate that is a function of time"
    assert route(large, many) == "JAX: more than 32 subsets or modes"
    assert route(model, states, solver=dfx.Dopri8()) == "JAX: another solver than the series"
    assert route(model, states, dt0=0.1) == "JAX: dt0 given"
    assert route(model, states, solver=dj.BilinearTaylor(13), rtol=1e-8, max_steps=None) == "one launch"
    own = jax.vmap(lambda G: dj.examples.paper_model(spins=dj.LargeSpins(dj.DenseCouplings(G), jnp.ones(1))))
    differ = own(jnp.array([[[1.0]], [[0.5]]]))
    assert "row to row" in route(differ, cases.states_of(row_of(differ, 0), 2))
    dj.use_gpu_kernel(False)
    try:
        monkeypatch.undo()
        assert route(model, states).startswith("JAX")
        assert device.gpu_kernel_state() == "off (turned off by DICKE_JAX_GPU_KERNEL or use_gpu_kernel)"
    finally:
        dj.use_gpu_kernel(True)
    assert device.gpu_kernel_state() == ("on" if ON_GPU else "off (on cpu there is none)")
    with pytest.raises(ValueError, match="on must be True or False; got 1"):
        dj.use_gpu_kernel(1)


def test_a_machine_without_nvrtc_says_so_once_and_goes_on(monkeypatch):
    def missing(number):
        raise CudaError("NVRTC is not installed")

    class Nvidia:
        platform, local_hardware_id = "gpu", 0
        client = type("Client", (), dict(platform_version="PJRT C API cuda 13000"))

    device._opened.cache_clear()
    monkeypatch.setattr(device, "Cuda", missing)
    with pytest.warns(RuntimeWarning, match="without the GPU kernel: NVRTC is not installed"):
        assert device.gpu_of(Nvidia()) == "NVRTC is not installed"
    assert device.gpu_of(Nvidia()) == "NVRTC is not installed"
    Nvidia.client.platform_version = "rocm 7"
    assert device.gpu_of(Nvidia()) == "not an NVIDIA GPU"
    device._opened.cache_clear()


@pytest.mark.skipif(ON_GPU, reason="a source of its own is the emulation's")
def test_what_does_not_compile_is_left_to_jax(tmp_path, monkeypatch):
    broken = tmp_path / "broken.cu"
    broken.write_text("#error too old a device\n")
    gpu, tried = Emulator(tmp_path, broken), []
    monkeypatch.setattr(chunks, "gpu_of", lambda device: gpu)
    monkeypatch.setattr(gpu, "compiled", lambda options: tried.append(options) or Emulator.compiled(gpu, options))
    case = find("cube, M = 4", rows=2)
    for _ in range(2):  # tried once
        with pytest.warns(RuntimeWarning, match="without the GPU kernel: "):
            found = dj.solve_ensemble(case.model, case.states, [0.0, 0.1], save="final")
        assert found.route.startswith("JAX: ") and found.successful.all()
    assert len(tried) == 1


@pytest.mark.skipif(ON_GPU, reason="the emulation finds what a device may forgive")
def test_lanes_that_do_not_exchange_together_are_found(tmp_path):
    """What a device may forgive once and not another time: an exchange that only some of a warp's lanes come to."""
    source, line = device.SOURCE.read_text(), "if (over) row = (long long)next;"
    assert line in source
    broken = tmp_path / "broken.cu"
    broken.write_text(source.replace(line, "if (over && lane < 2) row = (long long)__shfl_sync(ALL, next, 0, LANES);"))
    case = find("cube, M = 4", rows=2)
    with pytest.raises(CudaError, match="lane 2 is at line"):
        by_kernel(Emulator(tmp_path, broken), case.model, case.states, [0.0, 1.0], save="final")


def test_what_does_not_compile_says_why(gpu):
    gpu = chunks.gpu_of(jax.devices()[0]) if gpu is None else gpu
    case = find("cube, M = 4")
    by_kernel(None if ON_GPU else gpu, case.model, case.states, [0.0, 0.1], save="final")
    cuda = gpu.cuda if ON_GPU else next(iter(gpu.kernels.values())).cuda
    with pytest.raises(CudaError, match="NVRTC_ERROR_COMPILATION"):
        cuda.compile("#error on purpose", [])


def test_the_kernel_and_the_host_have_the_same_arguments():
    """Every member of `Run` in the kernel's source, in its order, is one of the structure that it is launched with."""
    from dicke_jax.dynamics._gpu.inputs import Run as Given

    source = device.SOURCE.read_text()
    body = re.sub(
        r"//[^\n]*", "", source[source.index("struct Run {") : source.index("};", source.index("struct Run {"))]
    )
    declared = re.findall(r"\*?(\w+)(?=[,;])", body)
    assert declared == [name for name, _ in Given._fields_]


@pytest.mark.parametrize("omega_spin", [1.0, -0.02, 0.0])
def test_host_and_jax_agree_on_what_is_slow_and_what_is_fast(omega_spin):
    """A launch compiles nothing, so that the host has these formulas once more."""
    model = dj.examples.paper_model(num_patterns=2, omega_spin=omega_spin)
    kappa = jnp.array([[1.0, 3.0], [1e-3, 40.0], [0.5, 0.0]])
    models = jax.vmap(lambda kappa: model.replace(kappa=kappa, omega_mode=jnp.array([2.0, 70.0])))(kappa)
    slowest, pace = (np.asarray(jax.vmap(rate)(models)) for rate in (slowest_rate, pace_of_modes))
    assert np.array_equal(slowest_of(models), slowest)
    assert np.allclose(slowness_of(models), 1 / pace, rtol=1e-15, atol=0)
    assert np.array_equal(slowness_of(row_of(models, 0)), slowness_of(models)[0])
