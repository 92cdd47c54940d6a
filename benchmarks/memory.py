"""Most memory that a process ever held, above what it holds before the work; compilation included."""

from typing import Any

import diffrax as dfx
import jax

from dicke_jax import examples

from . import gradients, runner
from .modes import ensemble, vmapped
from .sizes import Size


def measure(size: Size) -> list[dict[str, Any]]:
    names = [(f"solve_ensemble of {batch}", batch) for batch in size.memory_batches]
    names += [(name, size.batch) for name in ("mfsolve, vmapped", "mfsolve, Dopri8, vmapped")]
    names += [(name, size.gradient_batch) for name in ("jvp, ForwardMode", "grad, RecursiveCheckpointAdjoint")]
    rows = []
    for name, batch in names:
        if any(part in name for part in size.leave_out):
            rows.append(dict(mode=name, batch=batch, skipped="left out by --quick"))
            continue
        held = runner.run("memory", "one", size, name=name, batch=batch)
        rows.append(dict(mode=name, batch=batch) | held)
    return rows


def one(size: Size, name: str, batch: int) -> dict[str, Any]:
    model, end = examples.paper_model(num_patterns=size.patterns[0]), size.gradient_end
    states = examples.random_states(jax.random.key(0), model, batch)
    before = most_held()
    if before is None:
        return dict(skipped="no /proc/self/status on this platform")
    work = model, states, end
    if "ensemble" in name:
        ensemble(name, *work).prepare()()
    elif "vmapped" in name:
        jax.block_until_ready(
            vmapped(name, *work, **(dict(solver=dfx.Dopri8()) if "Dopri8" in name else {})).prepare()()
        )
    elif "jvp" in name:
        jax.block_until_ready(gradients.tangent(*work, adjoint=dfx.ForwardMode())())
    else:
        jax.block_until_ready(gradients.cotangent(*work, adjoint=dfx.RecursiveCheckpointAdjoint())())
    states_mb = sum(x.nbytes for x in jax.tree.leaves(states)) / 1e6
    return dict(mb=most_held() - before, before_mb=before, states_mb=states_mb)


def most_held() -> float | None:
    """In MB. The peak of this program image; that of `getrusage` may be its parent's."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1e3
    except OSError:
        return None
