"""Arguments that several commands share, their limits, and the model that they describe."""

import argparse
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .. import DickeModel

LARGEST_SAMPLE = 4 * 10**9  # signs of patterns, a byte each
MOST_PATTERNS = 18  # 2^17 subsets: 32 runs at a time of the hypercube then take 2 GB
MOST_POINTS = 100_000


def number(holds: Callable[[float], bool] = math.isfinite, must_be: str = "a finite number") -> Callable[[str], float]:
    """The type of a real argument for which `holds`."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and holds(value)):
            raise argparse.ArgumentTypeError(f"must be {must_be}; got {text}.")
        return value

    return convert


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of a whole argument within limits."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}; got {text}.")
        return value

    return convert


real = number()
positive = number(lambda x: x > 0, "positive and finite")
not_zero = number(lambda x: x != 0, "finite and not zero")
points = whole(1, MOST_POINTS)
seed = whole(0, 2**32 - 1)


def add_model(command: argparse.ArgumentParser, num_patterns: int | None = None) -> None:
    physics = command.add_argument_group("model")
    physics.add_argument(
        "--patterns",
        type=whole(1, MOST_PATTERNS),
        default=num_patterns,
        metavar="M",
        help=f"stored patterns, one mode each (default {num_patterns or 4})",
    )
    physics.add_argument("--omega-spin", type=not_zero, default=0.5, metavar="RATE", help="Omega (default 0.5)")
    physics.add_argument(
        "--omega-mode", type=real, nargs="+", metavar="RATE", help="Omega_mu, one a pattern (default Omega * (mu + 2))"
    )
    physics.add_argument(
        "--kappa",
        type=real,
        nargs="+",
        default=[1.0],
        metavar="RATE",
        help="photon loss, one or one a pattern (default 1)",
    )
    physics.add_argument(
        "--num-spins",
        type=whole(1, LARGEST_SAMPLE),
        metavar="N",
        help="draw random patterns of N spins (default: infinitely many spins)",
    )
    physics.add_argument("--seed", type=seed, default=0, help="of the random patterns (default 0)")
    physics.add_argument("--precision", choices=("float64", "float32"), default="float64")


def add_scan(group: argparse._ArgumentGroup, name: str, low: float, high: float, what: str) -> None:
    for end, default, which in (("min", low, "smallest"), ("max", high, "largest")):
        text = f"{which} {what} (default {default})"
        group.add_argument(f"--{name}-{end}", type=real, default=default, metavar="RATE", help=text)


def check_scan(name: str, low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"--{name}-min must be below --{name}-max; got {low} and {high}.")


def model_of(options: argparse.Namespace) -> "DickeModel":
    """The model that the arguments describe; its coupling g0 is 1."""
    import jax
    import jax.numpy as jnp

    from .. import DickeModel, LargeSpins, map_to_large_spins, random_patterns

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
    omega_mode = options.omega_mode or [options.omega_spin * (mu + 3) for mu in range(num_patterns)]
    kappa = options.kappa[0] if len(options.kappa) == 1 else jnp.array(options.kappa)
    return DickeModel(spins, options.omega_spin, jnp.array(omega_mode), kappa, g0=1.0)
