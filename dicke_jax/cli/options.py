"""Arguments that several commands share, their limits, and the model and the scan that they describe."""

import argparse
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from .. import DickeModel, LargeSpins, map_to_large_spins, random_patterns

LARGEST_SAMPLE = 4 * 10**9  # signs of patterns, a byte each
MOST_PATTERNS = 18  # 2^17 subsets: 32 runs at a time of the hypercube then take 2 GB
Number = TypeVar("Number", int, float)


def number(kind: Callable[[str], Number], holds: Callable[[Number], bool], must_be: str) -> Callable[[str], Number]:
    """The type of an argument that is a number for which `holds`."""

    def convert(text: str) -> Number:
        with suppress(ValueError):
            if holds(value := kind(text)):
                return value
        raise argparse.ArgumentTypeError(f"must be {must_be}; got {text}.")

    return convert


def whole(least: int, most: int) -> Callable[[str], int]:
    return number(int, lambda n: least <= n <= most, f"a whole number from {least} to {most}")


real = number(float, math.isfinite, "a finite number")
positive = number(float, lambda x: 0 < x < math.inf, "positive and finite")
not_zero = number(float, lambda x: 0 < abs(x) < math.inf, "finite and not zero")


def add_model(
    command: argparse.ArgumentParser, num_patterns: int | None = None, *, seed: str = "patterns", default: str = ""
) -> None:
    add = command.add_argument_group("model").add_argument
    stored = f"stored patterns, one mode each (default {default or num_patterns or 4})"
    spins = "draw random patterns of N spins"
    add("--patterns", type=whole(1, MOST_PATTERNS), default=num_patterns, metavar="M", help=stored)
    add_rates(add, "pattern")
    add("--num-spins", type=whole(1, LARGEST_SAMPLE), metavar="N", help=f"{spins} (default: infinitely many spins)")
    add_seed(add, f"of the random {seed} (default 0)")


def add_rates(add: Callable[..., Any], each: str) -> None:
    add("--omega-spin", type=not_zero, default=0.5, metavar="RATE", help="Omega (default 0.5)")
    frequencies, loss = f"Omega_mu, one a {each} (default Omega * (mu + 2))", f"photon loss, one or one a {each}"
    add("--omega-mode", type=real, nargs="+", metavar="RATE", help=frequencies)
    add("--kappa", type=real, nargs="+", default=[1.0], metavar="RATE", help=f"{loss} (default 1)")


def add_seed(add: Callable[..., Any], text: str) -> None:
    add("--seed", type=whole(0, 2**32 - 1), default=0, help=text)
    add("--precision", choices=("float64", "float32"), default="float64")


def pattern_of(options: argparse.Namespace, num_patterns: int) -> int:
    """The pattern that is asked for, from 0; in commands they count from 1."""
    if options.pattern > num_patterns:
        raise ValueError(f"--pattern must be from 1 to {num_patterns}; got {options.pattern}.")
    return options.pattern - 1


def add_scan(group: argparse._ArgumentGroup, name: str, low: float, high: float, what: str) -> None:
    for end, default, which in (("min", low, "smallest"), ("max", high, "largest")):
        text = f"{which} {what} (default {default})"
        group.add_argument(f"--{name}-{end}", type=real, default=default, metavar="RATE", help=text)


def scan_of(options: argparse.Namespace, name: str) -> np.ndarray:
    low, high = getattr(options, f"{name}_min"), getattr(options, f"{name}_max")
    if not low < high:
        raise ValueError(f"--{name}-min must be below --{name}-max; got {low} and {high}.")
    return np.linspace(low, high, options.points)


def model_of(options: argparse.Namespace) -> DickeModel:
    """The model that the arguments describe; its coupling g0 is 1."""
    num_patterns, num_spins = options.patterns, options.num_spins
    if num_patterns is None:
        num_patterns = len(options.omega_mode) if options.omega_mode else 4
    if num_spins is None:
        spins = LargeSpins.hypercube(num_patterns)
    else:
        if num_patterns * num_spins > LARGEST_SAMPLE:
            held = f"{num_patterns} patterns of {num_spins} spins take {num_patterns * num_spins / 1e9:.3g} GB"
            raise ValueError(f"--num-spins must be at most {LARGEST_SAMPLE // num_patterns}: {held}.")
        spins = map_to_large_spins(random_patterns(jax.random.key(options.seed), num_patterns, num_spins)).spins
    return DickeModel(spins, **rates_of(options, num_patterns), g0=1.0)


def rates_of(options: argparse.Namespace, num_patterns: int) -> dict[str, Any]:
    omega_mode = options.omega_mode or [options.omega_spin * (mu + 3) for mu in range(num_patterns)]
    kappa = options.kappa[0] if len(options.kappa) == 1 else jnp.array(options.kappa)
    return dict(omega_spin=options.omega_spin, omega_mode=jnp.array(omega_mode), kappa=kappa)
