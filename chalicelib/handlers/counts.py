"""Routes that count: reports and bans over time, and what each source reported today."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, now
from chalicelib.domain.errors import InputError
from chalicelib.domain.plural import counted
from chalicelib.handlers.activity import LONGEST_SPAN, question
from chalicelib.handlers.http import choice, listed, only, operator
from chalicelib.web import moment, query

if TYPE_CHECKING:
    from chalicelib.domain.series import Series
    from chalicelib.domain.source_counts import Bans
    from chalicelib.pipeline.run import Run

LONGEST_SPANS = {"minute": timedelta(days=1), "hour": LONGEST_SPAN, "day": timedelta(days=92)}
"""The longest span of counts, by bucket: an answer has about a thousand rows, and reads at most one object a day."""

JOURNAL = timedelta(days=39)
"""So far back the journal is certainly complete: its rows expire after 40 days."""


def stats(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/stats``: how many URLs were reported, banned and unbanned in each bucket of a span."""
    from chalicelib.domain import series as counts

    operator(services, request, "reader")
    only(request, "from", "to", "by", "bucket")
    asked_at = now()
    until = moment("to", query(request, "to", needed=False, longest=40)) or asked_at
    since = moment("from", query(request, "from", needed=False, longest=40)) or until - timedelta(days=1)
    by = choice(request, "by", (*counts.BY_REPORTS, *counts.BY_URLS))
    bucket = choice(request, "bucket", counts.BUCKETS, default="hour")
    longest = LONGEST_SPANS[bucket]
    if since >= until:
        raise InputError("from must be earlier than to; without to, it is now")
    if until - since > longest:
        most = counted(longest.days, "day")
        raise InputError(f"from and to must be a span of at most {most} for the bucket {bucket}")
    series, run = counts.Series(by, bucket), question(services)
    if bucket == "day":
        complete, missing = _days(services, run, series, since=since, until=min(until, asked_at))
        if by in {"", "source"}:
            _add_refused_at_once(services, series, since, until, asked_at)
    elif asked_at - since > LONGEST_SPAN:
        raise InputError(
            f"from is more than {LONGEST_SPAN.days} days ago: ask for those days with bucket=day, from the archive"
        )
    else:
        complete, missing = _count(run, series, since=since, until=until), []
    body = {
        "series": series.rows(),
        "from": since.isoformat(),
        "to": until.isoformat(),
        "complete": complete,
        "missing_days": [day.isoformat() for day in missing],
    }
    return listed(request, "series", body, counts.COLUMNS)


def _count(run: Run, series: Series, *, since: datetime, until: datetime) -> bool:
    """Count a span from the ledger, until the time is up."""
    from chalicelib.domain.series import BY_URLS
    from chalicelib.pipeline.answers.stats import read
    from chalicelib.pipeline.archive.series import add_decided_urls

    count = add_decided_urls if series.by in BY_URLS else read
    return count(run, series, since=since, until=until)


def _days(services: Services, run: Run, series: Series, *, since: datetime, until: datetime) -> tuple[bool, list[date]]:
    """Count whole days from their summaries, and days that are not archived from the ledger.

    Return whether all days were counted in time, and the days that have nothing left to count.
    """
    from chalicelib.pipeline.archive.series import add_archived_day

    missing: list[date] = []
    at = since.astimezone(UTC)
    while at < until:
        end = datetime.combine(at.date() + timedelta(days=1), time(), UTC)
        is_whole = at.time() == time() and end <= until
        if not (is_whole and end <= now() and add_archived_day(services.objects, series, at.date())):
            if now() - at > JOURNAL:
                missing.append(at.date())
            elif not _count(run, series, since=at, until=min(end, until)):
                return False, missing
        at = end
    return True, missing


def _add_refused_at_once(services: Services, series: Series, since: datetime, until: datetime, now: datetime) -> None:
    """Count what the webhook refused at once on the whole days of a span, today among them, while the ledger knows."""
    from chalicelib.ledger import refused_at_door

    day = since.astimezone(UTC)
    if day.time() != time():
        day = datetime.combine(day.date() + timedelta(days=1), time(), UTC)
    while day < min(until, now):
        end = day + timedelta(days=1)
        if (end <= until or until >= now) and now - day <= JOURNAL:
            found = refused_at_door.read(services.rows, services.sources, day.date())
            urls = {source: refused_at_door.urls_in(counts) for source, counts in found.items()}
            series.add_refused_at_once(day, {source: count for source, count in urls.items() if count})
        day = end


SOURCE_COLUMNS = (
    "name",
    "auth",
    "format",
    "category",
    "hosts",
    "trust",
    "dry_run",
    "max_per_hour",
    "cap.used",
    "cap.limit",
    "reports_per_minute",
    "callback_host",
    "last_report_at",
    "today.messages",
    "today.reported",
    "today.ban",
    "today.hold",
    "today.duplicate",
    "today.rejected",
    "today.suppressed",
    "refused_today.reports",
    "refused_today.urls",
    "last_30_days.banned",
    "last_30_days.undone",
    "last_30_days.undone_share",
)


def list_sources(services: Services, request: Request) -> Response:
    """Answer ``GET /v1/sources``: how each source is configured, what it reported, what was undone. Never a secret."""
    from chalicelib.domain import source_counts
    from chalicelib.domain.policy.model import NO_RULES
    from chalicelib.domain.series import VERDICTS, Series
    from chalicelib.ledger import ban_counts, refused_at_door
    from chalicelib.ledger.row import stamp
    from chalicelib.pipeline.answers import stats as answers

    operator(services, request, "reader")
    only(request)
    run, policy, at = question(services), services.policy, now()
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    index = services.bans.head()
    behind = answers.Sources(index.place if index else "", dict(index.reported) if index else {})
    if index and index.place < stamp(midnight):  # what came before midnight and is not in the index yet
        answers.read(run, Series("", "day"), since=_moment_of(index.place), until=midnight, sources=behind)
    series = Series("source", "day")
    answers.read(run, series, since=midnight, until=at, sources=behind)
    today = series.counted()
    bans = source_counts.summed(behind.by_day, index.by_source if index else {})
    refused = refused_at_door.read(services.rows, services.sources, at.date())
    usages = ban_counts.read(services.rows, policy.accounts, now=at).values()
    shown = []
    for name, source in sorted(services.sources.items()):
        rules, counts = policy.sources.get(name, NO_RULES), today.get(name, {})
        cap = policy.caps.per_source_per_hour if rules.max_per_hour is None else rules.max_per_hour
        used = max((usage.sources[name] for usage in usages), default=0)
        shown.append(
            {
                "name": name,
                "auth": source.auth.value if source.auth else "none",
                "format": source.format or None,
                "category": source.category or None,
                "hosts": sorted(source.hosts.patterns) if source.hosts else None,
                "trust": "review" if rules.review else "auto",
                "dry_run": rules.dry_run,
                "max_per_hour": rules.max_per_hour,
                "cap": {"used": used, "limit": cap or None},
                "reports_per_minute": source.reports_per_minute,
                "callback_host": urlsplit(source.callback_url).hostname if source.callback_url else None,
                "last_report_at": _time(behind.reported.get(name)),
                "today": {column: counts.get(column, 0) for column in ("messages", "reported", *VERDICTS)},
                "refused_today": _show_refused(refused.get(name, {})),
                "last_30_days": _show_bans(bans.get(name, source_counts.Bans())),
            }
        )
    return listed(request, "sources", {"sources": shown}, SOURCE_COLUMNS)


def _show_refused(counts: Mapping[str, int]) -> dict[str, Any]:
    from chalicelib.ledger.refused_at_door import URLS, urls_in

    urls = urls_in(counts)
    by_code = {kind: count for kind, count in sorted(counts.items()) if not kind.startswith(URLS)}
    return {"reports": sum(by_code.values()), "by_code": by_code, "urls": urls}


def _show_bans(bans: Bans) -> dict[str, int | float | None]:
    return {"banned": bans.banned, "undone": bans.undone, "undone_share": bans.share}


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC).isoformat()


def _moment_of(place: str) -> datetime:
    return datetime.strptime(place.partition("#")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
