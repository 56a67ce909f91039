"""Completion of the command line in a shell."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import shtab

from thumbnets.model_commands import image_argument, model_argument


def completion(arguments: argparse.Namespace) -> None:
    """Print a script that makes a shell complete commands, options and files of `thumbnets`."""
    print(shtab.complete(arguments.parser, arguments.shell))


def add_completion(parser: argparse.ArgumentParser, whole: argparse.ArgumentParser) -> None:
    """Arguments of `completion`, added last.

    Args:
        parser: Parser of this command.
        whole: Parser of all commands; where it takes a path, files are offered.
    """
    parser.add_argument("shell", choices=shtab.SUPPORTED_SHELLS)
    parser.set_defaults(parser=whole)
    for action in _arguments(whole):
        if action.type in (Path, model_argument, image_argument):
            action.complete = shtab.FILE


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All arguments of a parser, and of the parsers of its commands."""
    for action in parser._actions:  # as shtab does: argparse has no other way
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _arguments(command)
        else:
            yield action
