"""The command `dicke-jax`: which command is meant, and how it ends."""

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import __version__
from .._interrupts import raise_always
from .._progress import watched
from . import basins, critical, exactness, export, fit, phases, plot, retrieve, status, sweep, transition
from .jax_setup import set_up_jax
from .output import Output, as_json

COMMANDS = transition, critical, phases, basins, retrieve, fit, exactness, sweep, status, export, plot


def build_parser() -> argparse.ArgumentParser:
    text, epilog = "Open multimode Dicke models as associative memories.", "dicke-jax COMMAND --help teaches a command."
    parser = Parser(prog="dicke-jax", description=text, epilog=epilog)
    parser.add_argument("--version", action="version", version=f"dicke-jax {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        name, epilog = command.__name__.rpartition(".")[2], getattr(command, "EPILOG", None)
        own = commands.add_parser(
            name, help=command.HELP, description=command.__doc__, epilog=epilog, allow_abbrev=False
        )
        own.formatter_class = argparse.RawDescriptionHelpFormatter
        command.add_arguments(own)
        own.add_argument("--json", action="store_true", help="numbers as JSON on standard output, and nothing else")
        own.set_defaults(run=command.run, name=name, precision_of=getattr(command, "precision", None))
    return parser


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are one line, as those of everything else are."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(re.sub(r"^argument (\S+): (?=must)", r"\1 ", message))

    def _print_message(self, message: str, file: Any = None) -> None:
        """Help that cannot be printed is an error as any other is: argparse says nothing."""
        print(message, end="", file=file, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command: 0 if all went well, 2 for arguments that do not fit, 1 for files or a table that could not be
    written, 130 if interrupted.
    """
    output = Output()
    if arguments is None:
        raise_always()
        sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  (closed by who started it)
        sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    try:
        options = build_parser().parse_args(arguments, argparse.Namespace(output=output))
        if "out" in options:
            output.prepare(options.out, options.name)
        set_up_jax(_precision(options), arguments is None)
        quiet = watched("", quiet=True) if getattr(options, "quiet", False) else contextlib.nullcontext()
        with quiet, contextlib.redirect_stdout(io.StringIO() if options.json else sys.stdout):
            found = options.run(options)
            if output.written:
                print(f"wrote {' and '.join(map(str, reversed(output.written)))}")
        if options.json:
            print(as_json(found | {"wrote": output.written}))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the table has seen enough; files were written before
        discard_output()
    except ValueError as error:
        return _told(f"error: {error}", 2)
    except OSError as error:
        discard_output()
        what = f"error: {error.strerror or error}" + (f": {error.filename}" if error.filename else "")
        return _told(what + output.advice, 1)
    except KeyboardInterrupt:
        what = (
            "what was finished is kept"
            if output.advice
            else f"{' and '.join(map(str, output.written)) or 'nothing'} was written"
        )
        return _told(f"interrupted; {what}{output.advice}", 130)
    return 0


def _precision(options: argparse.Namespace) -> str:
    """Of the command line, of a file that it names, or double where there is nothing to compute."""
    if options.precision_of is not None:
        return options.precision_of(options)
    return options.precision if "precision" in options else "float64"


def discard_output() -> None:
    """What is still to be printed goes nowhere: the interpreter would try once more when it ends."""
    with contextlib.suppress(OSError, ValueError):  # standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # the code says it, too
        print(f"dicke-jax: {message}", file=sys.stderr)
    return code
