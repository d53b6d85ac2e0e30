"""Choosing a subcommand, and turning errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, cast

import fastnet
from fastnet import checks
from fastnet.cli import compare, info, inspect, lab, predict, train
from fastnet.cli.errors import BAD_INPUT, BROKEN_PIPE, INTERRUPTED, USER_ERRORS

__all__ = ["main"]

COMMANDS = {"train": train, "predict": predict, "inspect": inspect, "compare": compare, "lab": lab, "info": info}


class Parser(argparse.ArgumentParser):
    """Errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : list of str, optional
        By default the arguments of the process.

    Returns
    -------
    int
        0; 2 for bad input (one line on stderr says what is wrong); 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of classes in a terminal that lacks their letters
    try:
        arguments = _parse(sys.argv[1:] if argv is None else list(argv))
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as exit:  # argparse, after --help and --version
        return cast(int, exit.code or 0)
    except KeyboardInterrupt as interrupt:
        _say(f"fastnet: {str(interrupt) or 'interrupted'}")
        return getattr(interrupt, "code", INTERRUPTED)
    except BrokenPipeError:
        # The reader of the output has gone (`fastnet predict ... | head`); nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except USER_ERRORS as error:
        _say(f"fastnet: error: {_one_line(error)}")
        return BAD_INPUT


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _one_line(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    return " ".join(str(error).split()) or type(error).__name__


def _parser() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(prog="fastnet", description="Neural networks on CPUs.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"fastnet {fastnet.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    by_name = {}
    for name, module in COMMANDS.items():
        by_name[name] = command = commands.add_parser(
            name, help=module.HELP, description=module.DESCRIPTION, allow_abbrev=False
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser, by_name


def _parse(argv: list[str]) -> argparse.Namespace:
    parser, commands = _parser()
    if argv and not argv[0].startswith("-"):
        checks.choice("command", argv[0], COMMANDS)
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        _refuse(unknown[0], commands.get(arguments.command, parser))
    if arguments.command is None:
        raise ValueError(f"a command is missing: one of {', '.join(COMMANDS)} (fastnet --help explains them)")
    return arguments


def _refuse(argument: str, parser: Parser) -> None:
    if not argument.startswith("-"):
        raise ValueError(f"{argument!r} is one argument too many")
    name = argument.split("=")[0]
    raise ValueError(f"unknown option {name}{checks.nearest(name, parser._option_string_actions)}")
