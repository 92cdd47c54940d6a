"""Time for one trajectory against how many there are, for all that runs wherever JAX does."""

from typing import Any

import jax

from dicke_jax import examples

from . import peers
from .modes import jax_modes
from .sizes import Size
from .timing import difference, in_turn, spread, timed


def measure(size: Size) -> list[dict[str, Any]]:
    """A row for each mode and batch. What would take too long is said to be left out, going by the batch before."""
    batches = size.batches if jax.default_backend() == "cpu" else size.batches_elsewhere
    model = examples.paper_model(num_patterns=size.patterns[0])
    states = examples.random_states(jax.random.key(0), model, batches[-1])
    exact = peers.reference(model, states, size.end, min(size.checked, batches[0]))
    rows, each = [], {}
    for batch in batches:
        some = jax.tree.map(lambda x, batch=batch: x[:batch], states)
        runs = {}
        for name, prepare in jax_modes(model, some, size.end):
            if not any(part in name for part in size.scaled):
                continue
            rows.append(row := dict(mode=name, batch=batch))
            if (guess := each.get(name, 0.0) * batch) > size.longest:
                row["skipped"] = f"would take about {guess:.0f} s"
                continue
            try:
                runs[name] = prepare()
                row["first_s"], outcome = timed(runs[name])
            except jax.errors.JaxRuntimeError as error:  # memory, above all
                row["skipped"] = str(error).splitlines()[0]
                runs.pop(name)
                continue
            row["error"] = difference(outcome.m, exact)
        for name, seconds in in_turn(runs, min(size.rounds, 3)).items():
            row = next(row for row in rows if row["mode"] == name and row["batch"] == batch)
            row["ms"], each[name] = spread(seconds, batch), min(seconds) / batch
    return rows
