"""The command `dicke-jax`: which command is meant, and how it ends."""

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from . import critical, exactness, phases, transition
from .output import Output


def build_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="dicke-jax",
        description="Open multimode Dicke models as associative memories.",
        epilog="dicke-jax COMMAND --help teaches a command.",
    )
    parser.add_argument("--version", action="version", version=f"dicke-jax {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (transition, critical, phases, exactness):
        own = commands.add_parser(
            command.__name__.rpartition(".")[2],
            help=command.HELP,
            description=command.DESCRIPTION,
            epilog=command.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    return parser


class Parser(argparse.ArgumentParser):
    """A parser whose refusals are one line, as those of everything else are."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(re.sub(r"^argument (\S+): (?=must)", r"\1 ", message))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command: 0 if all went well, 2 for arguments that do not fit, 1 for files or a table that could not be
    written, 130 if interrupted.
    """
    output = Output()
    try:
        options = build_parser().parse_args(arguments)
        options.own_process, options.output = arguments is None, output
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the table has seen enough; files were written before
        discard_output()
    except ValueError as error:
        return _told(f"error: {error}", 2)
    except OSError as error:
        discard_output()
        return _told(f"error: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""), 1)
    except KeyboardInterrupt:
        return _told(f"interrupted; {' and '.join(map(str, output.written)) or 'nothing'} was written", 130)
    return 0


def discard_output() -> None:
    """What is still to be printed goes nowhere: the interpreter would try once more when it ends."""
    with contextlib.suppress(OSError, ValueError):  # standard output may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(message: str, code: int) -> int:
    print(f"dicke-jax: {message}", file=sys.stderr)
    return code
