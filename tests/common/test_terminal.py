"""Foreign text on a terminal: what would control it is shown, not done."""

from __future__ import annotations

import ast
import logging
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

import cosmos_exp
from cosmos_exp.common.console import Console
from cosmos_exp.common.progress import ConsoleHandler, console
from cosmos_exp.common.terminal import PlainFormatter, plain, plain_output

TITLE = "Town\x1b]0;owned\x07"
SHOWN = r"Town\x1b]0;owned\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (TITLE, SHOWN),
        ("\x9b2J\x7f\r\x00", r"\x9b2J\x7f\r\x00"),
        ("exe.\u202egnp", r"exe.\u202egnp"),
        ("name\udcff", r"name\udcff"),
        ("Straße 東京 é\tà\n", "Straße 東京 é\tà\n"),
    ],
    ids=["escape", "controls", "direction", "no UTF-8", "letters"],
)
def test_controls_are_shown_and_letters_stay(text, shown):
    assert plain(text) == shown


def test_what_a_command_prints_is_plain(capsys):
    with plain_output():
        print(TITLE, "\N{SNOWMAN}")
        sys.stdout.writelines([TITLE, "\n"])
    assert capsys.readouterr().out == f"{SHOWN} \N{SNOWMAN}\n{SHOWN}\n"


def test_tables_show_foreign_controls_and_keep_their_own_colours():
    out = StringIO()
    terminal = Console(file=out, force_terminal=True, color_system="standard", highlight=False, width=60)
    table = Table("town")
    table.add_row(TITLE)
    table.add_row(Text("x\x1b[2J", style="red"))
    terminal.print(table, TITLE)
    text = out.getvalue()
    assert text.count(SHOWN) == 2 and r"x\x1b[2J" in text
    assert "\x1b]" not in text and "\x1b[2J" not in text and "\x1b[31m" in text


def test_rich_goes_past_the_plain_stream():
    """Its colours are no foreign codes; while bars are shown, rich puts a stream of its own in front."""
    stream = sys.stdout
    with plain_output():
        assert Console().file is stream
        with Live(console=Console(force_terminal=True, file=StringIO())):
            assert sys.stdout is not stream and Console().file is stream


def test_log_lines_are_plain(monkeypatch):
    record = logging.LogRecord("a", logging.WARNING, "", 0, "map %s", (TITLE,), None)
    assert PlainFormatter("%(levelname)s %(message)s").format(record) == f"WARNING map {SHOWN}"
    out = StringIO()
    monkeypatch.setattr(console, "_file", out)
    ConsoleHandler().emit(record)
    assert SHOWN in out.getvalue() and "\x1b]" not in out.getvalue()


def test_every_table_is_printed_on_such_a_console():
    root = Path(cosmos_exp.__file__).parent
    for path in root.rglob("*.py"):
        names = [
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module == "rich.console"
            for alias in node.names
        ]
        assert "Console" not in names, f"{path}: take Console from cosmos_exp.common.console"
