"""The fuzzer's command.

    python -m tests.fuzzer --draws 1000 --seed 0 --workers 2 --limit 120 --out FILE

asks draws 0 to 999 of seed 0, from FILE on where it exists, and prints how many answers were right, refused (with a
clear line), wrong, unclear, crashed, hung (no answer within the limit, in seconds) and unchecked (where the slow route
has no answer), and one line for each finding with the command that repeats that draw alone:

    python -m tests.fuzzer --draw 0:17

With `--kinds` it asks what `known_kinds.py` and `new_kinds.py` have instead, draws like 0:17:fit; of some kinds alone
with `--kinds levels orbit`.
"""

import argparse
import os
import sys
from pathlib import Path

from . import running

BAD = ("wrong", "unclear", "crashed", "hung")


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzer", description=__doc__.partition("\n")[0])
    parser.add_argument("--draws", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for an answer")
    parser.add_argument("--out", type=Path, help="verdicts, one a line; a run goes on where this file ends")
    kinds = "of the kinds of known_kinds.py and new_kinds.py, all or those named, so many of each by turns"
    parser.add_argument("--kinds", nargs="*", choices=running.KINDS, metavar="KIND", help=kinds)
    parser.add_argument("--draw", metavar="SEED:NUMBER", help="one draw alone, in this process")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # workers are what runs side by side
        os.environ.setdefault(name, "1")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if options.worker:
        running.work()
        return 0
    if options.draw:
        import jax

        jax.config.update("jax_enable_x64", True)
        question, word, found = running.verdict_of(options.draw)
        print(f"{question}\n{word}: {found}")
        return int(word in BAD)
    names = [f"{options.seed}:{number}" for number in range(options.first, options.first + options.draws)]
    if options.kinds is not None:
        names = [f"{name}:{kind}" for name in names for kind in options.kinds or running.KINDS]
    verdicts = running.run(names, options.workers, options.limit, options.out)
    print(running.counts(verdicts))
    for said in verdicts.values():
        if said["verdict"] in BAD:
            print(running.line_of(said))
    return int(any(said["verdict"] in BAD for said in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main())
