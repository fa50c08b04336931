"""What is printed: documents and tables to stdout, talk to stderr. Colours only where rich finds a terminal.

How numbers, units and times read is said in labloop.campaign.text, which the dashboard shares.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

import typer


def say(text: str) -> None:
    """Talk: lines to stderr. What an instrument or a file says never commands the terminal."""
    typer.echo(_disarmed(text), err=True)


def give(text: str) -> None:
    """Data: lines to stdout, which command the terminal as little as talk does."""
    typer.echo(_disarmed(text))


def fall_silent() -> None:
    """Nobody reads a stream any more, or nothing can be written to it: from here on it goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())


def give_json(document: Any) -> None:
    """One JSON document to stdout."""
    typer.echo(_escaped(json.dumps(document, ensure_ascii=False, indent=2, default=str)))


def give_json_line(document: Mapping[str, Any]) -> None:
    """One JSON document on one line, at once."""
    typer.echo(_escaped(json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str)))
    sys.stdout.flush()


def give_csv(text: str) -> None:
    """A table as CSV to stdout: byte exact into a file or a pipe, and harmless on a terminal."""
    if sys.stdout.isatty():
        give(text.rstrip("\n"))
    else:
        sys.stdout.write(text)


def give_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """A table to stdout: as wide as the terminal, or as its contents where there is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, title=plain(title) or None, title_justify="left", pad_edge=False)
    for name in columns:
        table.add_column(Text(plain(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(str(cell))) for cell in row))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else 400
    drawn = StringIO()
    Console(file=drawn, width=width, highlight=False, markup=False).print(table)
    for line in drawn.getvalue().splitlines():
        give(line.rstrip())


def has_terminal() -> bool:
    """Whether a dashboard can be shown: it hears stdin, and draws on stderr (into ``2> run.log`` too)."""
    return all(one.isatty() for one in (sys.stdin, sys.stdout, sys.stderr))


def is_text(argument: str) -> bool:
    """Whether what the operating system gave is text: a name in another encoding than UTF-8 has surrogates in it."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def _disarmed(text: str) -> str:
    """Lines without what a terminal would take for a command; what is printable needs nothing loaded."""
    return "\n".join(line if line.isprintable() else plain(line) for line in text.split("\n"))


def _escaped(document: str) -> str:
    """The same JSON with what a terminal may take for a command (C1 controls, directions of writing) as ``\\uXXXX``."""
    return re.sub("[^\n -~]", _escape, document)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable():
        return character
    return json.dumps(character)[1:-1] if ord(character) > 0x7E else f"\\u{ord(character):04x}"


def plain(text: str) -> str:
    """Text as one printable line."""
    from labloop.campaign import text as written

    return written.plain(text)


def number(value: Any) -> str:
    """A value as a person reads it."""
    from labloop.campaign import text as written

    return written.plain(written.number(value, 5))


def spread(mean: float, sd: float) -> str:
    """A forecast as a person reads it."""
    from labloop.campaign import text as written

    return written.spread(mean, sd)


def quantity(entry: Mapping[str, Any]) -> str:
    """``{value, unit, sd?}`` of a document as text."""
    from labloop.campaign import text as written
    from labloop.campaign.events import Reading

    return written.plain(written.reading(Reading(**entry), 5))


def outliers(trials: Sequence[int]) -> str:
    """Which trials the model takes for outliers, and what follows."""
    which = f"trial{'s' if len(trials) > 1 else ''} {', '.join(map(str, trials))}"
    return f"outliers, by the model: {which} (not taken for the best; made or measured again, they would tell)"


def pairs(values: Mapping[str, object]) -> str:
    """Settings short: ``q_pva=12.5 q_tot=600``."""
    return " ".join(f"{name}={number(value)}" for name, value in values.items())
