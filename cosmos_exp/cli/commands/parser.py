"""Command lines of the subcommands: argparse whose complaints are UserErrors that name the nearest valid option."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from cosmos_exp.common.errors import UserError, unknown_name


class Parser(argparse.ArgumentParser):
    """`cosmos-exp COMMAND ...`; options cannot be abbreviated."""

    def __init__(self, command: str, description: str):
        super().__init__(prog=f"cosmos-exp {command}", description=description, allow_abbrev=False)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Like parse_args; an unknown option or surplus argument is a UserError."""
        values, surplus = self.parse_known_intermixed_args(arguments)
        for argument in surplus:
            if argument.startswith("-"):
                known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
                raise UserError(unknown_name(f"option of {self.prog}", argument.partition("=")[0], known))
            raise UserError(f"surplus argument {argument!r}; {self._usage_line()}")
        return values

    def choice(self, name: str, options: Sequence[str], help: str) -> None:
        """A positional argument that is one of `options`."""

        def check(value: str) -> str:
            if value not in options:
                raise argparse.ArgumentTypeError(unknown_name(f"{self.prog} command", value, options))
            return value

        self.add_argument(name, type=check, metavar="|".join(options), help=help)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self._usage_line()}")

    def _usage_line(self) -> str:
        return " ".join(self.format_usage().split())
