"""The vendor's export of blocked URLs: which days it can be asked for, and what a row of its file says.

The file's form is hardly documented (five columns and their order), so it is read with open eyes: columns by name where
there is a header, any of the plausible times, and a row that makes no sense is set aside with its reason.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Final

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.export_text import Line, read_lines
from chalicelib.domain.urls import canonical_url

COLUMNS: Final = ("gmt_created", "punish_domain", "punish_url", "user_id", "reason")
"""The documented columns in the documented order, which holds where the file has no header:
https://www.alibabacloud.com/help/en/cdn/developer-reference/api-cdn-2018-05-10-createillegalurlexporttask"""

CHINA: Final = timezone(timedelta(hours=8), "UTC+8")
"""The zone of the vendor's days. Inferred: its example asks for the day that begins at 16:00:00Z."""

MAX_RAW: Final = 2_000
"""Characters of a bad row that are kept."""

MAX_ROW_LINES: Final = 8
"""Lines that a row with line breaks in quotes may span; an unclosed quote must not swallow the rest of the file."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_EPOCH = re.compile(r"[0-9]{9,10}(?:[0-9]{3})?")
_LOOSE_TIME = re.compile(r"([0-9]{4})/([0-9]{1,2})/([0-9]{1,2}) ([0-9]{1,2}):([0-9]{2}(?::[0-9]{2})?)")
"""As spreadsheets write it, without leading zeros."""


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A URL that the vendor blocked. ``line`` counts from 1, the header included.

    ``blocked_at`` is in UTC, and ``None`` where the file does not say. ``url`` is as the file has it; ``canonical`` is
    what it means to us, with ``http`` where the file names no scheme.
    """

    line: int
    blocked_at: datetime | None
    domain: str
    url: str
    canonical: str
    account: str
    reason: str


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that makes no sense, with the reason in words and its text (``MAX_RAW`` characters at the most)."""

    line: int
    reason: str
    raw: str


class _BadRow(ValueError):
    """The reason, in words, why a row is rejected."""


# --- days -------------------------------------------------------------------------------------------


def finished_days(now: datetime, window_days: int = 31) -> list[date]:
    """List the vendor's days (UTC+8) that are over at ``now`` and still inside its window, oldest first.

    The window is counted in whole days, as the vendor says that its granularity is one day; should it count from the
    second, it refuses the oldest of them.
    """
    today = now.astimezone(CHINA).date()
    return [today - timedelta(days=back) for back in range(window_days, 0, -1)]


def time_point(day: date) -> datetime:
    """Return the moment, in UTC, at which a day of the vendor begins."""
    return datetime.combine(day, time(), CHINA).astimezone(UTC)


# --- rows -------------------------------------------------------------------------------------------


def read_rows(blocks: Iterable[bytes]) -> Iterator[ExportRow | RejectedRow]:
    """Read the rows of an export out of its bytes, in order, with a few blocks in memory at the most.

    Never stops for what is in the file: what cannot be read comes out as ``RejectedRow``. For the encoding see
    ``export_text``. Empty lines are no rows.
    """
    columns: dict[str, int] | None = None
    for line, cells in _records(read_lines(blocks)):
        if isinstance(cells, RejectedRow):
            yield cells
            continue
        if columns is None:
            header = _header(cells)
            columns = header or {name: index for index, name in enumerate(COLUMNS)}
            width = len(cells) if header else len(COLUMNS)
            if header:
                continue
        try:
            yield _row(line.number, cells, columns, width)
        except _BadRow as exc:
            yield _rejected(line, str(exc))


def _records(lines: Iterator[Line]) -> Iterator[tuple[Line, Sequence[str] | RejectedRow]]:
    """Cut lines into cells; a quoted cell may hold line breaks."""
    ahead: deque[Line] = deque()
    while True:
        line = ahead.popleft() if ahead else next(lines, None)
        if line is None:
            return
        if line.defect:
            yield line, _rejected(line, line.defect)
            continue
        if not line.text.strip():
            continue
        cells = _cells(line.text)
        if cells is None and line.text.count('"') % 2:
            cells = _spanning_cells(line, ahead, lines)
        yield line, _rejected(line, "the quotes do not match") if cells is None else cells


def _spanning_cells(line: Line, ahead: deque[Line], lines: Iterator[Line]) -> list[str] | None:
    """Add the lines that follow until the quotes match; leave ``ahead`` as it is where they never do."""
    text = line.text
    for extra in range(MAX_ROW_LINES - 1):
        if len(ahead) <= extra:
            following = next(lines, None)
            if following is None:
                return None
            ahead.append(following)
        if ahead[extra].defect:
            return None
        text = f"{text}\n{ahead[extra].text}"
        cells = _cells(text)
        if cells is not None:
            for _ in range(extra + 1):
                ahead.popleft()
            return cells
    return None


def _cells(text: str) -> list[str] | None:
    if '"' not in text:
        return text.split(",")  # the same, in a third of the time
    try:
        rows = list(csv.reader(text.splitlines(keepends=True) if "\n" in text else (text,), strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _header(cells: Sequence[str]) -> dict[str, int] | None:
    """Return the place of each documented column if this is a header: one that has the URL's column."""
    names = {cell.strip().lower(): index for index, cell in enumerate(cells)}
    if "punish_url" not in names:
        return None
    return {name: names[name] for name in COLUMNS if name in names}


def _row(number: int, cells: Sequence[str], columns: dict[str, int], width: int) -> ExportRow:
    if len(cells) != width:
        raise _BadRow(f"{len(cells)} columns where {width} are expected (a comma that is not in quotes?)")
    cell = {name: cells[index].strip() for name, index in columns.items()}
    url, domain = cell["punish_url"], cell.get("punish_domain", "")
    return ExportRow(
        line=number,
        blocked_at=_moment(cell.get("gmt_created", "")),
        domain=domain,
        url=url,
        canonical=_canonical(url, domain),
        account=cell.get("user_id", ""),
        reason=cell.get("reason", ""),
    )


def _canonical(url: str, domain: str) -> str:
    """Return the canonical URL; the vendor's own examples name no scheme, which is taken as http."""
    if not url:
        raise _BadRow("punish_url is empty")
    if url.startswith("//"):
        whole = f"http:{url}"
    elif url.startswith("/"):
        if not domain:
            raise _BadRow("punish_url is a path, and punish_domain is empty")
        whole = f"http://{domain}{url}"
    else:
        whole = url if _SCHEME.match(url) else f"http://{url}"
    try:
        return canonical_url(whole)
    except UnusableUrl as exc:
        raise _BadRow(f"punish_url: {exc.reason}") from None


def _moment(text: str) -> datetime | None:
    """Read a time: with a zone as given, epoch seconds or milliseconds, or plain, which is taken as UTC+8.

    That a plain time is UTC+8 is inferred from the vendor's days; its name, ``gmt_created``, says otherwise in a word
    that is a habit of the vendor's databases and means no zone there.
    """
    if not text:
        return None
    try:
        if _EPOCH.fullmatch(text):
            return datetime.fromtimestamp(int(text) / (1000 if len(text) > 10 else 1), UTC)
        loose = _LOOSE_TIME.fullmatch(text)
        if loose:
            text = "{}-{:0>2}-{:0>2} {:0>2}:{}".format(*loose.groups())
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=CHINA)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise _BadRow(f"gmt_created is not a time: {text[:40]!r}") from None


def _rejected(line: Line, reason: str) -> RejectedRow:
    return RejectedRow(line=line.number, reason=reason, raw=line.text[:MAX_RAW])


# --- what we write --------------------------------------------------------------------------------------

_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"


def neutralise(cell: str) -> str:
    """Return a cell that a spreadsheet shows and does not run: with an apostrophe before what begins a formula.

    A formula begins with ``=``, ``+``, ``-`` or ``@`` (in any width, after any blanks) or a tab or line break.
    """
    first = cell.lstrip().lstrip(_INVISIBLE).lstrip()[:1]
    if cell[:1] in ("\t", "\r", "\n") or (first and unicodedata.normalize("NFKC", first)[0] in "=+-@"):
        return f"'{cell}"
    return cell
