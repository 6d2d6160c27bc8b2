"""How lists are shown: a table on a terminal, tab-separated lines in a pipe, ``--json`` and ``--csv`` for machines."""

from __future__ import annotations

import csv
import functools
import io
import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from edgeban.cli import times
from edgeban.cli.session import Session

COLOURS = {
    "banned": "red", "held": "yellow", "failed": "bright_red", "rejected": "magenta", "pending": "cyan",
    "processing": "cyan", "paused": "yellow", "blocked": "bright_red", "running": "green", "succeeded": "green",
    "archived": "green",
}  # fmt: skip

_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(text: object) -> str:
    """Return text with every control, bidi and invisible character as an escape, so that a terminal only shows it."""
    return "".join(
        (f"\\x{ord(sign):02x}" if ord(sign) < 256 else f"\\u{{{ord(sign):x}}}")
        if unicodedata.category(sign) in _INVISIBLE
        else sign
        for sign in str(text)
    )


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: ``1 ban``, ``2,000 bans``. ``many`` is for a plural that takes more than an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def cell(text: str) -> str:
    """Return a CSV cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


@dataclass(frozen=True)
class Column:
    """A column: the field of the API's answer, its title, and how it is shown."""

    field: str
    title: str
    kind: str = "text"
    """``text``, ``time``, ``number``, ``share`` of 1, ``state``, or ``url`` and ``id``, which are never cut."""


@dataclass(frozen=True)
class Form:
    """The form of the output that the person chose."""

    json_fields: tuple[str, ...] | None = None
    """``None``: no JSON. Empty: all fields."""
    csv: bool = False
    utc: bool = False

    @property
    def machine(self) -> bool:
        """Whether a program reads the output."""
        return self.csv or self.json_fields is not None


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--json``, ``--csv`` and ``--utc``; the command gets them as ``form``."""

    @click.option(
        "--json",
        "json_fields",
        is_flag=False,
        flag_value="",
        metavar="[FIELDS]",
        help="JSON; with FIELDS only those, separated by commas: --json=url,until.",
    )
    @click.option("--csv", "as_csv", is_flag=True, help="CSV with a header line, safe in spreadsheets.")
    @click.option("--utc", is_flag=True, help="Times in UTC instead of relative to now.")
    @functools.wraps(command)
    def with_form(*args: Any, json_fields: str | None, as_csv: bool, utc: bool, **rest: Any) -> Any:
        if json_fields is not None and as_csv:
            raise click.UsageError("choose one of --json and --csv")
        fields = None if json_fields is None else tuple(name for name in json_fields.split(",") if name)
        return command(*args, form=Form(fields, as_csv, utc), **rest)

    return with_form


def value_of(item: Mapping[str, Any], field: str) -> Any:
    """Return a field; ``a.b`` names a field of a field."""
    value: Any = item
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def plain(value: Any) -> str:
    """Return a value as one text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(plain(part) for part in value)
    if isinstance(value, Mapping):
        if set(value) == {"value", "urls"}:
            return f"{value['value']} {value['urls']}"
        return json.dumps(value)
    return str(value)


def show(
    session: Session, form: Form, items: Iterable[Mapping[str, Any]], columns: Sequence[Column], *, empty: str
) -> int:
    """Write a list in the chosen form and return its length. ``empty`` tells a person that it is empty."""
    if form.json_fields is not None:
        return _json(items, form.json_fields)
    if form.csv:
        return _csv(items, columns)
    if not session.on_terminal:
        return _tsv(items, columns)
    rows = list(items)
    if not rows:
        click.echo(empty)
        return 0
    _table(session, form, rows, columns)
    return len(rows)


def document(session: Session, form: Form, content: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Write one document: as JSON, or as lines for a person."""
    if form.json_fields is not None:
        chosen = {name: content.get(name) for name in form.json_fields} if form.json_fields else content
        click.echo(json.dumps(chosen, indent=2 if session.on_terminal else None))
        return
    for line in lines:
        click.echo(line, color=session.color)


def state(name: str) -> str:
    """Return a state in capitals and in its colour."""
    return click.style(harmless(name).upper(), fg=COLOURS.get(name), bold=True)


def _json(items: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> int:
    """Write a JSON array item by item, so that a long list need not be in memory."""
    count = 0
    sys.stdout.write("[")
    for count, item in enumerate(items, start=1):
        chosen = {name: value_of(item, name) for name in fields} if fields else item
        sys.stdout.write(("," if count > 1 else "") + "\n" + json.dumps(chosen))
    sys.stdout.write("\n]\n" if count else "]\n")
    return count


def _csv(items: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> int:
    count = 0
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([column.field for column in columns])
    for item in items:
        writer.writerow([cell(plain(value_of(item, column.field))) for column in columns])
        count += 1
        sys.stdout.write(buffer.getvalue())
        buffer.seek(0)
        buffer.truncate()
    sys.stdout.write(buffer.getvalue())
    return count


def _tsv(items: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> int:
    count = 0
    for item in items:
        count += 1
        sys.stdout.write("\t".join(harmless(plain(value_of(item, column.field))) for column in columns) + "\n")
    return count


def _table(session: Session, form: Form, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    now = session.now()
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.kind in {"number", "share"} else "left",
            no_wrap=column.kind != "url",
            overflow="fold" if column.kind in {"url", "id"} else "ellipsis",
        )
    for row in rows:
        cells = []
        for column in columns:
            text = _shown(value_of(row, column.field), column, form=form, now=now)
            style = COLOURS.get(text, "") if column.kind == "state" else ""
            cells.append(Text(text, style=style))
        table.add_row(*cells)
    width = None if sys.stdout.isatty() else 160
    console = Console(
        file=sys.stdout, width=width, highlight=False, force_terminal=session.color, no_color=session.color is False
    )
    console.print(table)


def _shown(value: Any, column: Column, *, form: Form, now: datetime) -> str:
    if column.kind == "time":
        return times.short(plain(value), utc=form.utc, now=now)
    if column.kind == "number" and isinstance(value, int | float):
        return f"{value:,}"
    if column.kind == "share" and isinstance(value, int | float):
        return f"{value:.1%}"
    return harmless(plain(value)) or "–"


def progress(session: Session, items: Sequence[Any], what: str) -> Iterator[Any]:
    """Yield items with a progress bar, if a person reads the output and there is more than one item."""
    if not session.on_terminal or len(items) < 2:
        yield from items
        return
    with click.progressbar(items, label=what, file=sys.stderr) as bar:
        yield from bar
