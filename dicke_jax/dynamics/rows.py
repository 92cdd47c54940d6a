"""What `solve_ensemble` does with one row, and the rows of a chunk in one program."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float

from ..mean_field import AbstractMeanFieldModel, CollectiveModel, DickeModel, MeanFieldState
from .steady_state import SteadyState, run_and_rest
from .trajectory import MFSolution, mfsolve

LARGE_SPECTRUM = 96  # components of spins beyond which a spectrum of every row would take over a fifth of its run
KEPT = ("m", "alpha", "overlaps", "occupations", "reduced")


class Run(eqx.Module):
    """What is done with one row."""

    times: Float[Array, " T"] | None
    save: Any
    options: dict[str, Any]
    together: int | None = eqx.field(static=True)
    own_models: bool = eqx.field(static=True)

    def __call__(self, model: DickeModel | CollectiveModel, state: MeanFieldState) -> dict[str, Any]:
        if self.times is None:
            return self.of_end(model, *run_and_rest(model, state, **self.options))
        return self.of_solution(mfsolve(model, state, self.times, throw=False, **self.options))

    def of_end(self, model: Any, end: SteadyState, around: Any) -> dict[str, Any]:
        """What is kept of a run until nothing moves."""
        large = 3 * model.num_subsets > LARGE_SPECTRUM
        at_rest = None if around is None or large else (around, end.time)
        return self._kept(end, end.state, end.num_steps) | dict(at_rest=at_rest)

    def of_solution(self, sol: MFSolution) -> dict[str, Any]:
        """What is kept of a run to given times."""
        return self._kept(sol, sol, sol.stats["num_steps"]) | dict(at_rest=None)

    def _kept(self, run: Any, spins_and_modes: Any, num_steps: Array) -> dict[str, Any]:
        kept: dict[str, Any] = dict.fromkeys(KEPT)
        if callable(self.save):
            kept["reduced"] = self.save(run)
        else:
            kept.update(overlaps=run.overlaps, occupations=run.occupations)
            if self.save != "overlaps":
                kept.update(m=spins_and_modes.m, alpha=spins_and_modes.alpha)
            if self.save == "final" and self.times is not None:
                kept = jax.tree.map(lambda x: x[-1], kept)
        return kept | {"status": run.status, "num_steps": num_steps}


@eqx.filter_jit
def run_chunk(run: Run, model: AbstractMeanFieldModel, states: MeanFieldState, mesh: Mesh | None) -> dict[str, Any]:
    arrays, rest = eqx.partition((run, model), eqx.is_array)

    def every(arrays: Any, states: MeanFieldState) -> dict[str, Any]:
        run, model = eqx.combine(arrays, rest)
        rows = (eqx.filter(model, eqx.is_array), states) if run.own_models else states

        def one(row: Any) -> dict[str, Any]:
            own, state = (eqx.combine(row[0], model), row[1]) if run.own_models else (model, row)
            return run(own, state)

        if run.together is None:
            return jax.vmap(one)(rows)
        empty, tree = [], []

        def full(row: Any) -> list[Array]:  # `jax.lax.map` makes no batches of arrays that hold nothing
            leaves, structure = jax.tree.flatten(one(row))
            empty[:], tree[:] = [None if x.size else (x.shape, x.dtype) for x in leaves], [structure]
            return [x for x in leaves if x.size]

        found, number = iter(jax.lax.map(full, rows, batch_size=run.together)), states.m.shape[0]
        leaves = [next(found) if none is None else jnp.zeros((number, *none[0]), none[1]) for none in empty]
        return jax.tree.unflatten(tree[0], leaves)

    if mesh is None:
        return every(arrays, states)
    row, all_ = PartitionSpec("row"), PartitionSpec()
    specs = (all_, row if run.own_models else all_)
    split = jax.shard_map(every, mesh=mesh, in_specs=(specs, row), out_specs=row, check_vma=False)
    return split(arrays, states)
