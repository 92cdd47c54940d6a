"""A model as a table of a study file: plain numbers that make the same model again, bit by bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from ..._checks import as_whole, check_finite, check_real, refuse, told
from ...couplings import DenseCouplings, HypercubeCouplings, LargeSpins, map_to_large_spins, random_patterns
from ...mean_field import DickeModel, LocalDissipation
from ...mean_field.dissipation import JUMPS
from ...mean_field.rates import is_schedule
from .axes import RATES

SIZES = ("num_patterns", "num_spins", "patterns_seed")  # may be axes too
PER_MODE = ("omega_mode", "kappa")
LARGEST = 4 * 10**8  # signs of patterns that a study file may ask for
TABLE = (*SIZES, "individual", "couplings", "weights", "gauged", "jumps", *RATES)


@dataclass(frozen=True)
class ModelTable:
    """Makes a `DickeModel` of a table [model], its sizes given there or by axes.

    Spins: `num_patterns` alone for infinitely many; `num_spins` and `patterns_seed` for random patterns, mapped to
    large spins, or with `individual` each for itself; or `couplings` (M, K) and `weights` (K,). Where an axis or
    [fixed] decides `num_patterns`, lists of modes' rates may be longer than M, of which the model takes the first M.
    """

    table: Mapping[str, Any]
    precision: str = "float64"

    def __post_init__(self) -> None:
        for name in self.table:
            if name not in TABLE:
                refuse("[model]", f"of {', '.join(TABLE)}", name)

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """What axes may decide besides rates."""
        return () if "couplings" in self.table else SIZES

    def __call__(self, **sizes: Any) -> DickeModel:
        table = {**self.table, **sizes}
        spins = self._spins(table)
        if "num_patterns" in sizes:
            table |= {name: self._first(name, table[name], spins.num_modes) for name in PER_MODE if name in table}
        missing = [name for name in RATES if name not in table and name != "g0"]
        if missing:
            refuse("[model]", f"a table with {', '.join(RATES)}", f"one without {', '.join(missing)}")
        return DickeModel(spins, **{n: self._rate(n, table.get(n, 1.0)) for n in RATES}, dissipation=self._jumps(table))

    def _first(self, name: str, value: Any, modes: int) -> Any:
        """Of a list for the largest of several numbers of modes, that of the first modes."""
        if not isinstance(value, list | tuple) or len(value) == 1:
            return value
        if len(value) < modes:
            must_be = f"a list of at least {modes} numbers, of which each num_patterns takes the first, or one number"
            refuse(f"[model], {name},", must_be, len(value))
        return value[:modes]

    def _rate(self, name: str, value: Any) -> np.ndarray:
        what = f"[model], {name},"
        check_real(what, value, "numbers")
        if isinstance(value, bool | str) or np.asarray(value).dtype == bool:
            refuse(what, "numbers", told(value))
        check_finite(what, np.asarray(value, float))
        return np.asarray(value, self.precision)

    def _spins(self, table: Mapping[str, Any]) -> LargeSpins:
        count = lambda name: as_whole(f"[model], {name},", table[name], "a whole number of at least 1", 1)  # noqa: E731
        if "couplings" in table:
            G = np.asarray(table["couplings"], object)
            if G.ndim != 2 or not all(isinstance(x, int | float) for x in G.ravel()):
                refuse("[model], couplings,", "rows of numbers, one for each mode", f"shape {G.shape}")
            whole = all(isinstance(x, int) and abs(x) < 128 for x in G.ravel())
            weights = table.get("weights", np.full(G.shape[1], 1 / G.shape[1]))
            number = count("num_spins") if "num_spins" in table else None
            gauged, couplings = bool(table.get("gauged", False)), np.asarray(G, np.int8 if whole else self.precision)
            operator: Any = DenseCouplings(couplings)
            if whole and G.shape[1] == 2 ** (G.shape[0] - gauged):
                every = HypercubeCouplings(G.shape[0], gauged)
                operator = every if np.array_equal(np.asarray(every.signs), couplings) else operator
            check_real("[model], weights,", weights, "numbers")
            return LargeSpins(operator, np.asarray(weights, float), number, gauged)
        if "num_patterns" not in table:
            refuse("[model]", "a table with num_patterns, or couplings", "neither")
        patterns = count("num_patterns")
        if "num_spins" not in table:
            return LargeSpins.hypercube(patterns, gauge=table.get("gauged", True))
        spins = count("num_spins")
        if patterns * spins > LARGEST:
            refuse("[model], num_spins,", f"at most {LARGEST // patterns} for so many patterns", spins)
        seed = as_whole("[model], patterns_seed,", table.get("patterns_seed", 0), "a whole number, not negative", 0)
        drawn = random_patterns(jax.random.key(seed), patterns, spins)
        individual = table.get("individual", False)
        if not isinstance(individual, bool):
            refuse("[model], individual,", "true or false", told(individual))
        return LargeSpins.individual(drawn) if individual else map_to_large_spins(drawn).spins

    def _jumps(self, table: Mapping[str, Any]) -> LocalDissipation | None:
        jumps = table.get("jumps", [])
        if not isinstance(jumps, list) or not all(isinstance(jump, Mapping) for jump in jumps):
            refuse("[model], jumps,", "a list of tables { jump, rate }", told(jumps))
        pairs = []
        for jump in jumps:
            if set(jump) != {"jump", "rate"} or jump["jump"] not in JUMPS:
                refuse("[model], jumps,", f"tables of a rate and a jump, of {', '.join(JUMPS)}", told(dict(jump)))
            pairs.append((jump["jump"], self._rate("jumps", jump["rate"])))
        return LocalDissipation(pairs) if pairs else None

    @classmethod
    def of(cls, model: DickeModel) -> "ModelTable":
        """The table that makes this model. Jumps that have no name, and rates in time, have none."""
        if model.is_time_dependent or model.dissipation is not None:
            refuse("model", "one with constant rates, without jumps, to be written to a study file", "another")
        table: dict[str, Any] = {name: np.asarray(rate).tolist() for name, rate in model.rates.items()}
        spins = model.spins
        assert not any(map(is_schedule, model.rates.values()))  # it was looked at above
        equal = bool(np.all(np.asarray(spins.weights) == 1 / spins.num_subsets))
        if isinstance(spins.operator, HypercubeCouplings) and spins.num_spins is None and equal:
            table |= {"num_patterns": spins.num_modes, **({} if spins.gauged else {"gauged": False})}
        else:
            G, weights = np.asarray(spins.couplings), np.asarray(spins.weights)
            table |= {"couplings": G.tolist(), "weights": weights.tolist(), "gauged": spins.gauged}
            table |= {} if spins.num_spins is None else {"num_spins": spins.num_spins}
        return cls(table, str(model.dtype))
