"""STIX 2.0 and 2.1 indicators of URLs, in bundles, TAXII 2 envelopes and bare arrays.

https://docs.oasis-open.org/cti/stix/v2.1/os/stix-v2.1-os.html (4.7 Indicator, 9 Patterning). A URL is taken only if the
URL alone satisfies the pattern: by equality, lists and OR. Under AND, NOT, FOLLOWEDBY or a qualifier it does not. Of
several versions of one indicator the latest counts.
"""

from __future__ import annotations

from datetime import datetime

from chalicelib.domain.errors import UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl, Withdrawal
from chalicelib.reports import json_text, reading
from chalicelib.reports.entries import Entries, superseded
from chalicelib.reports.reading import Json, ParserOptions, clipped
from chalicelib.reports.stix_patterns import URL_PATH, pattern_urls

_Indicator = dict[str, Json]


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read every indicator. Objects of other types only describe: they are left out. See ``Parser``."""
    entries = Entries(options)
    objects = list(entries.objects(_objects(json_text.read_json(body, options)), "objects"))
    names = {
        clipped(item.get("id"), 100): clipped(item.get("name"), reading.MAX_REPORTER_LENGTH)
        for _, item in objects
        if item.get("type") == "identity"
    }
    indicators = [(where, item) for where, item in objects if item.get("type") == "indicator"]
    older = superseded((clipped(item.get("id"), 100), _version(item)) for _, item in indicators)
    for index, (place, indicator) in enumerate(indicators):
        where = clipped(indicator.get("id"), 100) or place
        created_by = clipped(indicator.get("created_by_ref"), 100)
        if index in older:
            entries.skip(where, "a later version of this indicator is in the report")
        else:
            _indicator(indicator, where, names.get(created_by) or created_by, entries, options.now)
    if not indicators:
        _say_what_else(objects, entries)
    return entries.report()


def _indicator(indicator: _Indicator, where: str, reporter: str, entries: Entries, now: datetime | None) -> None:
    withdrawn = _why_withdrawn(indicator)
    reason = "" if withdrawn else _why_not(indicator, now)
    if reason:
        entries.skip(where, reason)
        return
    for url in _urls(indicator, where, entries):
        if withdrawn:
            said_at = reading.lenient_time(indicator.get("modified") or indicator.get("created"))
            entries.withdraw(Withdrawal(reading.url_text(url), where, reporter, said_at, withdrawn), where)
            continue
        entries.add(
            ReportedUrl(
                reading.url_text(url),
                category=_category(indicator),
                reporter=reporter,
                reported_at=reading.lenient_time(indicator.get("created") or indicator.get("valid_from")),
                note=clipped(indicator.get("description"), reading.MAX_NOTE_LENGTH),
            )
        )


def _objects(value: Json) -> list[Json]:
    if isinstance(value, list):
        return value
    top = reading.as_object(value, "the body")
    if top.get("type") == "bundle" or "objects" in top or "more" in top:
        return reading.as_list(top.get("objects", []), "objects")  # an empty TAXII page has none
    if isinstance(top.get("type"), str) and isinstance(top.get("id"), str):
        return [top]
    raise UnreadableReport("the body is no STIX: send a bundle, a TAXII page or an array of objects")


def _say_what_else(objects: list[tuple[str, _Indicator]], entries: Entries) -> None:
    """Say that objects of other types were left out, if there is no indicator at all."""
    if objects:
        kinds = sorted({clipped(item.get("type"), 40) or "unknown" for _, item in objects})
        entries.skip(
            "objects", f"{len(objects):,} objects of other types ({', '.join(kinds[:5])}): only indicators accuse a URL"
        )


def _version(indicator: _Indicator) -> str:
    """Return the sort key of an indicator's version: its time of change. At the same time, revoked comes last."""
    changed = reading.lenient_time(indicator.get("modified") or indicator.get("created"))
    return (
        f"{changed.isoformat(timespec='microseconds') if changed else ''} {reading.is_true(indicator.get('revoked'))}"
    )


def _why_withdrawn(indicator: _Indicator) -> str:
    if reading.is_true(indicator.get("revoked")):
        return "the indicator is revoked"
    # In STIX 2.0 the types of an indicator stand in its labels.
    harmless = reading.says_harmless(indicator.get("indicator_types"), indicator.get("labels"))
    return "the indicator says that this is benign" if harmless else ""


def _why_not(indicator: _Indicator, now: datetime | None) -> str:
    for field in ("valid_from", "valid_until"):
        if indicator.get(field) is not None and reading.lenient_time(indicator[field]) is None:
            return f"{field} of the indicator is no time"
    valid_from = reading.lenient_time(indicator.get("valid_from"))
    if valid_from and now and valid_from > now:
        return f"the indicator is not valid before {valid_from:%Y-%m-%d %H:%M} UTC: send it again then"
    until = reading.lenient_time(indicator.get("valid_until"))
    if until and now and until <= now:
        return f"the indicator was valid until {until:%Y-%m-%d %H:%M} UTC"
    if indicator.get("pattern_type", "stix") != "stix":
        return f"the pattern is of the type {reading.shown(indicator.get('pattern_type'))}: only stix is read"
    return ""


def _urls(indicator: _Indicator, where: str, entries: Entries) -> list[str]:
    pattern = indicator.get("pattern")
    if not isinstance(pattern, str) or URL_PATH not in pattern:
        entries.skip(where, "the pattern names no URL")
        return []
    urls = pattern_urls(pattern)
    if urls is None:
        entries.skip(where, "the pattern is not valid, or more than a choice of URLs: none is to blame by itself")
    elif not urls:
        entries.skip(where, "the pattern names no URL")
    return urls or []


def _category(indicator: _Indicator) -> str:
    limit = reading.MAX_CATEGORY_LENGTH
    return reading.first_text(indicator.get("labels"), limit) or reading.first_text(
        indicator.get("indicator_types"), limit
    )
