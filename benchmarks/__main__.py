"""All benchmarks: `python -m benchmarks`, from the root of the repository. `--quick` only shows that they run.

Sections, each in a process of its own:

- first_answer  what a user waits for: first calls in new processes, against diffrax alone
- one_core   every mode of this package and every peer, pinned to one core
- flags      solve_ensemble against heyoka.py there, with the compiler's flags that the commands set
- devices    the same on one and all CPU devices, against a heyoka.py process on each core
- cold       imports and the command of the paper's Fig. 3 in new processes
- roofline   one step against operations and bytes, M = 4 to 16, pinned to one core
- gradients  derivatives of an end-time overlap, pinned to one core
- scaling    time against the size of a batch; on a CPU, and again on a GPU where JAX has one
- phases     thresholds, stationary states, stability: first and later calls
- inference  thresholds located, rates fitted
- memory     peak memory

It prints tables and writes OUT/benchmarks.json and OUT/benchmarks.png. Peers: `pip install ".[benchmarks]"`; those that
are not installed are said to be skipped.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path

from . import report, runner
from .sizes import QUICK, Size
from .targets import targets

SECTIONS = (
    "first_answer", "one_core", "flags", "devices", "cold", "roofline", "gradients", "scaling", "phases", "inference",
    "memory"
)  # fmt: skip
FLAGS = dict(flags=True)
PINNED = ("one_core", "flags", "gradients", "roofline")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, and not every mode")
    parser.add_argument("--rounds", type=int, help="turns of every mode (default 7, quick 1)")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS, help="only these")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for JSON and picture (default out)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the page")
    parser.add_argument("--before", metavar="FOLDER", help="an older copy of this repository, for first_answer")
    parser.add_argument("--only", metavar="TEXT", default="", help="of first_answer, rows whose name holds this")
    options = parser.parse_args()
    size = QUICK if options.quick else Size()
    if options.rounds is not None:
        size = dataclasses.replace(size, rounds=options.rounds)
    options.out.mkdir(parents=True, exist_ok=True)

    begin, cores = time.perf_counter(), runner.all_cores()
    results = dict(
        command=" ".join(["python -m benchmarks", *sys.argv[1:]]),
        date=time.strftime("%Y-%m-%d"),
        machine=runner.run("machine", "machine", size, anywhere=True),
        cores=len(cores) or "unknown",
        pinned="pinned to one core" if cores else "not pinned, which this platform cannot",
        size=dataclasses.asdict(size),
        sections={},
        load=[],
    )
    sections, platform = results["sections"], results["machine"]["platform"]
    facts = dict(results["size"], pinned=results["pinned"], platform=platform)
    own = dict(first_answer=dict(before=options.before, only=options.only), flags=FLAGS, devices=FLAGS)
    runs = [(name, "one_core" if name == "flags" else name, own.get(name, {})) for name in options.sections]
    if platform != "cpu" and "scaling" in options.sections:
        runs.append(("scaling_elsewhere", "scaling", dict(anywhere=True)))
    for name, module, where in runs:
        pin = cores[-1:] if name in PINNED else ()
        function = "ensembles" if name == "flags" else "measure"
        sections[name] = runner.run(module, function, size, cores=pin, **where)
        judged = {} if not options.quick else dict(met=None)  # tiny sizes tell nothing of speed
        results["load"] += os.getloadavg()[:1] if hasattr(os, "getloadavg") else ()
        results["targets"] = [row | judged for row in targets(sections)]
        results["seconds"] = time.perf_counter() - begin
        print(report.section(name, sections[name], facts), end="\n\n", flush=True)
        (options.out / "benchmarks.json").write_text(json.dumps(results, indent=1))
        if options.markdown:  # after every section: a run that is broken off leaves what it measured
            options.markdown.write_text(report.page(results))
    report.picture(results, options.out / "benchmarks.png")
    print("## Targets", report.targets_table(results["targets"]), sep="\n\n")
    print(
        f"\nwrote {options.out / 'benchmarks.json'} and {options.out / 'benchmarks.png'} in {results['seconds']:.0f} s"
    )


if __name__ == "__main__":
    main()
