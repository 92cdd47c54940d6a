"""`Sweep`: a parameter study as one object, from axes to labelled results."""

import inspect
import itertools
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import jax
import numpy as np
import xarray as xr

from ..._checks import check_count, refuse, told
from ..._door import checked
from ...mean_field import DickeModel, check_model
from ..results import Progress
from .asked import OF_PATTERNS, OPTIONS, TURN, as_options, check_taken, on_host, taken_by
from .axes import BATCH, Axes, Layout, as_axes, as_values, check_fits
from .identity import named, of_software, of_sweep
from .labels import Labels, dataset, labels_of, of_pattern
from .model_table import ModelTable
from .planning import Plan, bytes_in_memory, default_chunk, programs_of_a_model
from .rows import check_cue, compute_rows, settled, variables_of
from .running import compute_missing, fill_store
from .starts import DEFAULT_CUE, cue_of, is_rate, with_known
from .store import Store, fill_of, in_memory
from .study_file import read_study, study_of, study_text
from .workers import crew_of

MOST_MODELS = 10_000  # made one by one by a function
MOST_CORNERS = 6  # axes whose two ends are all combined


class Sweep:
    """A study of a model over named axes.

        row (i, j, ...)  ->  compute(model with rates a_i, b_j, ...; cue with pattern, angle, flip, seed)

    Every row is independent of all others, to the bit, and of the chunks in which they are computed. Rows of one model
    share one program, whatever the axes.

    **Main arguments**

    - `model`: a `DickeModel`; or a function that makes one, of which axes with the names of its arguments decide, such
      as a number of patterns. Models of different sizes are compiled for one after the other.
    - `axes`: values by name. Rates: "omega_spin", "omega_mode", "kappa", "g0", one mode's as "kappa[1]" (from 0), a
      jump's rate as "jump[0]". Of the cue: "pattern", "angle" of a tilt, "flip" probability, "seed": the cue's key is
      `jax.random.key(seed)`, so that the same seeds are the same cues everywhere. Without "pattern" it is pattern 0.
      And numbers that `compute` takes, by name.
    - `compute`: what every row computes from its model and its cue. "steadystate"; "retrieval", the cue's `outcome` and
      whether its pattern was `retrieved`, with either sign (runs that oscillate or have not converged count by their
      averages, where these name a pattern); at the time that `options` give "final_overlap" and "exactness", lim N
      E_N(t) of Eq. 9, or N E_N(t) for an axis "subset_size", N; of the pattern alone "critical_coupling", "stability"
      (of the retrieval state) and "ramp", the coupling from "g0_low" to "g0_high" and back in a "duration" each, spins
      first turned by "turn". Or a function (model, state, ...) that `jax.vmap` takes: its further arguments are axes.

    **Other arguments**

    - `zipped`: lists of axes of one length that go together, in one dimension called as the first.
    - `fixed`: values of what could be an axis.
    - `cue`: "stored", "tilt", "flip" or "random"; by default "tilt" or "flip" where there is an angle or a flip. Or a
      function (model, row) -> `MeanFieldState` that `jax.vmap` takes, of the row's "pattern", "angle", "flip" and
      "seed" by name; where it returns a model, too, (model, state), that is the row's.
    - `options`: of what is computed: `tol`, `max_time`, `rtol`, `atol`, `max_steps`, `time`, `kind`, `method`,
      `levels`, `num_samples`, `points`.
    - `title`: of the results.

    **Raises** ValueError for arguments that do not fit, before anything is computed.

        >>> sweep = dj.Sweep(dj.examples.paper_model(), {"pattern": range(4)}, "critical_coupling")
        >>> print(sweep.run().g_crit.values.round(4))
        [0.6455 0.7289 0.8062 0.878 ]
    """

    @checked
    def __init__(
        self,
        model: Any,
        axes: Mapping[Any, Any],
        compute: str | Callable[..., Any] = "steadystate",
        *,
        zipped: Any = (),
        fixed: Mapping[str, Any] | None = None,
        cue: Any = None,
        options: Mapping[str, Any] | None = None,
        title: Any = "Sweep",
    ) -> None:
        if not callable(compute) and (not isinstance(compute, str) or compute not in OPTIONS):
            refuse("compute", f"one of {', '.join(OPTIONS)}, or a function of model and state", told(compute))
        if not isinstance(title, str):
            refuse("title", "a text", told(title))
        self.model, self.compute, self.title = model, compute, title
        self.axes: Axes = as_axes(axes, zipped)
        self.fixed = {name: as_values(f"fixed, {name},", x, name) for name, x in (fixed or {}).items()}
        for name, x in self.fixed.items():
            if x.ndim or name in self.axes.values:
                refuse(f"fixed, {name},", "one number, of what is no axis", "an axis" if not x.ndim else told(x))
        self.options = as_options(compute, options or {}, {*self.axes.values, *self.fixed})
        self.cue = cue_of(cue, {*self.axes.values, *self.fixed} - {*self._made_of}, self.taken)
        _ = self._how  # every model is made, and looked at
        if self.taken:
            check_taken(compute, self.taken, self.fixed | self.axes.at(np.arange(self.axes.num_rows)), self._models[0])

    @cached_property
    def _made_of(self) -> tuple[str, ...]:
        """The arguments of the function that makes the model."""
        if isinstance(self.model, DickeModel):
            return ()
        if isinstance(self.model, ModelTable):
            return self.model.arguments
        if not callable(self.model):
            refuse("model", "a DickeModel, or a function that makes one", type(self.model).__name__)
        parameters = inspect.signature(self.model).parameters.values()
        return tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))

    @cached_property
    def _models(self) -> tuple[list[DickeModel], list[np.ndarray]]:
        """All models that differ in more than rates, and the rows of each."""
        rows, names = np.arange(self.axes.num_rows), [n for n in self.axes.values if n in self._made_of]
        given = {name: x.item() for name, x in self.fixed.items() if name in self._made_of}
        if isinstance(self.model, DickeModel):
            return [self._checked(self.model, self.axes.values)], [rows]
        if not names:
            return [self._make(given, self.axes.values)], [rows]
        own = self.axes.at(rows)
        combined = np.stack([np.unique(own[name], return_inverse=True)[1] for name in names], axis=1)
        different, which = np.unique(combined, axis=0, return_inverse=True)
        if len(different) > MOST_MODELS:
            refuse("axes", f"of at most {MOST_MODELS} different models that a function makes", len(different))
        groups = [rows[which.ravel() == i] for i in range(len(different))]
        return [self._make(given | {n: own[n][r[0]].item() for n in names}, self.axes.at(r)) for r in groups], groups

    def _make(self, arguments: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> DickeModel:
        return self._checked(self.model(**arguments), values)

    def _checked(self, model: DickeModel, values: Mapping[str, np.ndarray]) -> DickeModel:
        """The model with what is fixed, if it has all the axes of its rows."""
        check_model(model, "model, made by its function,")
        for name, x in (*values.items(), *self.fixed.items()):
            if name not in self._made_of and (is_rate(name) or name not in self.taken):
                check_fits(model, f"{'axes' if name in self.axes.values else 'fixed'}, {name},", name, x)
        return with_known(model, self._rates(self.fixed))

    def _rates(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Those values that change a model's rates."""
        return {name: x for name, x in values.items() if name not in self._made_of and is_rate(name)}

    def _corners(self, model: DickeModel) -> list[DickeModel]:
        """The model with the smallest and the largest value of every rate that varies."""
        names, corners = list(self._rates(self.axes.values))[:MOST_CORNERS], [model]
        if names:
            ends = [(self.axes.values[n].min(), self.axes.values[n].max()) for n in names]
            corners = [with_known(model, dict(zip(names, c, strict=True))) for c in itertools.product(*ends)]
        return corners

    @cached_property
    def _how(self) -> list[dict[str, Any]]:
        """For every model the options that leave nothing open."""
        how = self.compute, self.options, self.axes.num_rows, self.pattern
        return [settled(self._corners(model), *how) for model in self._models[0]]

    @cached_property
    def taken(self) -> dict[str, bool]:
        """Names of the numbers that `compute` takes of a row besides model and cue, and whether it has to have them."""
        return taken_by(self.compute, self.options)

    def _values(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What decides these rows besides the model they start from."""
        own = {n: x for n, x in self.axes.at(rows).items() if n not in self._made_of or n in self.taken}
        taken = {name: x for name, x in self.fixed.items() if name in self.taken}
        turn = {"turn": np.asarray(TURN)} if self.compute == "ramp" else {}
        same = turn | {n: self.fixed.get(n, np.asarray(x)) for n, x in DEFAULT_CUE.items()} | taken
        return {name: np.broadcast_to(x, rows.shape) for name, x in same.items()} | own

    def layout(self, chunk: int | None = None) -> Layout:
        """Which rows make up which chunk of so many rows, a multiple of 32 where they run side by side."""
        groups, by_python = tuple(self._models[1]), on_host(self.compute, self.options)
        if chunk is None:
            most = max(rows.size for rows in groups)
            chunk = 1 if by_python else default_chunk(self.axes.num_rows, most, sum(self._bytes_of_row))
        if check_count("chunk", chunk) % BATCH and not by_python:
            refuse("chunk", f"a multiple of {BATCH}", chunk)
        return Layout(groups, int(chunk))

    def compute_chunk(self, number: int, layout: Layout) -> dict[str, np.ndarray]:
        """The numbers of one chunk, in whole arrays as a store keeps them: a pure function of study and chunk."""
        group, rows = layout.rows_of(number)
        padded = np.pad(rows, (0, layout.chunk - rows.size), mode="edge")
        model, how = self._models[0][group], self._how[group]
        found = compute_rows(model, self._values(padded), rows.size, self.compute, self.cue, how)
        whole = {}
        for name, (shape, dtype) in self.variables.items():
            whole[name] = np.full((layout.chunk, *shape), fill_of(dtype), dtype)
            part = found[name][: rows.size]
            whole[name][tuple(map(slice, part.shape))] = part
        return whole

    @cached_property
    def variables(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Names, shapes and types of what every row computes; models with fewer modes leave the last empty."""
        found: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
        check_cue(self._models[0][0], self._values(np.zeros(BATCH, int)), self.cue)
        for model, how in zip(self._models[0], self._how, strict=True):
            own = variables_of(model, self._values(np.zeros(BATCH, int)), self.compute, self.cue, how)
            for name, (shape, dtype) in own.items():
                largest = found.get(name, (shape, dtype))[0]
                if len(largest) != len(shape):
                    refuse("compute", "a function whose results have as many axes for every model", name)
                found[name] = tuple(map(max, largest, shape)), dtype
        return found

    @cached_property
    def _bytes_of_row(self) -> tuple[int, int]:
        """What a row takes on the disk, and about what more in memory: of its model and its states."""
        of_results = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in self.variables.values())
        has_rates, given = bool(self._rates(self.axes.values)), self.fixed | self.axes.values
        return of_results, bytes_in_memory(self._models[0], has_rates, self.compute, self.options, given)

    def plan(self, chunk: int | None = None) -> Plan:
        """Rows, programs, disk and memory, before anything is computed."""
        layout, of_results = self.layout(chunk), self._bytes_of_row[0]
        shapes = {str(jax.tree.map(np.shape, pair)) for pair in zip(self._models[0], self._how, strict=True)}
        programs = len(shapes) * programs_of_a_model(self.compute, self.options, self.axes.values)
        disk, memory = of_results * layout.slots.size, layout.chunk * sum(self._bytes_of_row)
        return Plan(self.axes.num_rows, layout.num_chunks, layout.chunk, programs, disk, memory)

    @checked
    def run(
        self,
        *,
        store: str | os.PathLike[str] | None = None,
        resume: bool = False,
        chunk: int | None = None,
        workers: int | None = None,
        cluster: Any = None,
        progress: Progress | None = None,
    ) -> xr.Dataset:
        """Compute all rows.

        - `store`: a folder in which every chunk is kept as soon as it is there, as Zarr (`pip install
          "dicke-jax[studies]"`).
        - `resume`: go on with a store of this very study, if there is one: what is whole and undamaged stays.
        - `chunk`: rows on their way at a time, a multiple of 32; of exact rows any number.
        - `workers`: processes of this machine that compute chunks side by side. A script that asks for them does so
          within `if __name__ == "__main__":`.
        - `cluster`: a Dask cluster or its address, "tcp://...", whose workers do it; they write to `store` themselves.
        - `progress`: called with the numbers of finished and of all rows.

        None of these changes a bit of the results.

        **Returns** a dataset with a dimension for every axis, and `mode` for what every mode has.
        """
        if store is not None:
            how: dict[str, Any] = dict(workers=workers, cluster=cluster, progress=progress)
            return self.fill(store, resume=resume, chunk=chunk, **how).dataset()
        if resume:
            refuse("resume", "False without a store", True)
        layout = self.layout(chunk)
        kept = in_memory(layout, self.variables)
        with crew_of(workers, cluster) as crew:
            compute_missing(self, crew, kept, layout, progress)
        return dataset(self.labels(), layout.slots, *kept.read())

    @checked
    def fill(
        self,
        store: str | os.PathLike[str],
        *,
        resume: bool = False,
        chunk: int | None = None,
        workers: int | None = None,
        cluster: Any = None,
        progress: Progress | None = None,
    ) -> Store:
        """Compute all rows into a store, as `run` does, and leave them there: no more than a chunk is in memory."""
        return fill_store(self, store, resume, chunk, (workers, cluster), progress)

    def labels(self) -> Labels:
        """What the results have besides their numbers."""
        return labels_of(self)

    @cached_property
    def pattern(self) -> int | None:
        """The pattern of all rows, from 0; None where an axis decides, or none does."""
        if "pattern" in self.axes.values or (self.cue == "random" and self.compute not in OF_PATTERNS):
            return None
        return int(self.fixed.get("pattern", 0))

    def identity(self, software: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What decides the numbers, in words and digests; `software` is that of this process unless told."""
        return of_sweep(self) | {"software": dict(software or of_software())}

    def to_toml(self) -> str:
        """The same sweep as the text of a study file."""
        return study_text(self)

    @classmethod
    def from_toml(cls, study: str | os.PathLike[str]) -> "Sweep":
        """The sweep of a study file, given by its path; or by its text, if that has more than one line."""
        return cls(**read_study(study_of(study)))

    def __repr__(self) -> str:
        cue, rows = f"cue {named(self.cue)}{of_pattern(self.pattern)}", f"{self.axes.num_rows:,} rows"
        return f"Sweep: {named(self.compute)} over {self.axes.told}; {rows}, {cue}"
