"""Times as people type and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"([0-9]{1,6})\s*([smhdw])")
_CLOCK = re.compile(r"([0-2]?[0-9]):([0-5][0-9])")


def parse(text: str, now: datetime, *, ahead: bool = False) -> str:
    """Return ISO 8601 in UTC of ``2h``, ``12:00``, ``today``, ``tomorrow``, ``yesterday``, a day or a time.

    A span counts back from now, or forward if ``ahead``. ``tomorrow`` and ``today`` mean the end of that day if
    ``ahead``, its begin otherwise. A clock time is that of today in UTC. Raises ``click.BadParameter``.
    """
    text = text.strip().lower()
    span = _AGO.fullmatch(text)
    if span:
        seconds = timedelta(seconds=int(span[1]) * UNITS[span[2]])
        return _iso(now + seconds if ahead else now - seconds)
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"yesterday": -1, "today": 0, "tomorrow": 1}
    if text in days:
        return _iso(midnight + timedelta(days=days[text] + ahead))
    clock = _CLOCK.fullmatch(text)
    if clock and int(clock[1]) < 24:
        return _iso(midnight + timedelta(hours=int(clock[1]), minutes=int(clock[2])))
    try:
        at = datetime.fromisoformat(text.upper())
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time: write 2h, 3d, 12:00 (UTC), today, tomorrow, 2026-11-27 or 2026-11-27T12:00Z"
        ) from None
    return _iso(at if at.tzinfo else at.replace(tzinfo=UTC))


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(text: str | None) -> datetime | None:
    """Read a time of the API; ``None`` if it is no time."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def clock(text: str | None) -> str:
    """Return a time in UTC to the second, as a sentence shows it."""
    at = read(text)
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else text or "–"


def relative(text: str | None, now: datetime) -> str:
    """Return how far a time is from now, such as ``3 h ago`` and ``in 13 days``."""
    at = read(text)
    if at is None:
        return text or "–"
    seconds = (at - now).total_seconds()
    size = span(abs(seconds))
    return f"in {size}" if seconds > 0 else f"{size} ago"


def span(seconds: float) -> str:
    """Return a length of time in one unit."""
    for size, name in ((86_400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size * (2 if name == "day" else 1):
            count = int(seconds // size)
            return f"{count} {name}s" if name == "day" else f"{count} {name}"
    return f"{seconds:.0f} s"


def short(text: str | None, *, utc: bool, now: datetime) -> str:
    """Return a time for a table: relative, or in UTC if asked."""
    at = read(text)
    if at is None:
        return text or "–"
    return clock(text) if utc else relative(text, now)
