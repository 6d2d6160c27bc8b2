"""STIX 2.0 and 2.1 indicators of URLs, in bundles, TAXII 2 envelopes and bare arrays.

https://docs.oasis-open.org/cti/stix/v2.1/os/stix-v2.1-os.html (4.7 Indicator, 9 Patterning). A URL is taken only where
its pattern makes the URL alone sufficient: equality, lists and OR. Under AND, NOT, FOLLOWEDBY or a qualifier it is not.
"""

from __future__ import annotations

import re

from chalicelib.domain.errors import UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl
from chalicelib.reports import reading
from chalicelib.reports.reading import Entries, Json, ParserOptions, clipped

_TOKEN = re.compile(
    r"""\s*+(?:
        (?P<text>[thb]?'[^'\\]*+(?:\\.[^'\\]*+)*+')    # 'a string', t'2026-…', h'ff'
      | (?P<path>[a-z0-9-]++:(?:[\w.*-]|\[[\w*]++\]|'[^'\\]*+')++)
      | (?P<word>[A-Za-z]++)
      | (?P<sign>!=|<=|>=|[=<>])
      | (?P<bracket>[][(),])
      | (?P<number>[+-]?[0-9.]++)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_URL_PATH = "url:value"

_Token = tuple[str, str]


class _NotSufficient(Exception):
    """The pattern is not a plain choice of values."""


def parse(body: bytes, options: ParserOptions) -> ParsedReport:
    """Read every indicator; objects of other types describe and are left out. Raises UnreadableReport and TooLarge."""
    objects = _objects(reading.read_json(body, options))
    names = {
        clipped(reading.get(item, "id"), 100): clipped(reading.get(item, "name"), reading.MAX_REPORTER_LENGTH)
        for item in objects
        if reading.get(item, "type") == "identity"
    }
    entries = Entries(options)
    for index, item in enumerate(objects):
        indicator = reading.as_object(item, f"objects[{index}]")
        if indicator.get("type") != "indicator":
            continue
        where = clipped(indicator.get("id"), 100) or f"objects[{index}]"
        reason = _why_not(indicator, options)
        if reason:
            entries.skip(where, reason)
            continue
        created_by = clipped(indicator.get("created_by_ref"), 100)
        for url in _urls(indicator, where, entries):
            entries.add(
                ReportedUrl(
                    url,
                    category=_category(indicator),
                    reporter=names.get(created_by) or created_by,
                    reported_at=reading.lenient_time(indicator.get("created") or indicator.get("valid_from")),
                    note=clipped(indicator.get("description"), reading.MAX_NOTE_LENGTH),
                )
            )
    return entries.report()


def pattern_urls(pattern: str) -> list[str] | None:
    """Return the URLs of which each alone satisfies a STIX pattern, or ``None`` if it is more than a choice."""
    tokens: list[_Token] = []
    end = 0
    pattern = pattern.rstrip()
    while end < len(pattern):
        found = _TOKEN.match(pattern, end)
        if found is None:
            return None
        tokens.append((found.lastgroup or "", found[found.lastgroup or ""]))
        end = found.end()
    try:
        return _choice(tokens)
    except (_NotSufficient, IndexError):  # IndexError: the pattern ends in the middle
        return None


def _choice(tokens: list[_Token]) -> list[str]:
    """Read ``path = value`` and ``path IN (values)`` joined by OR; where all is OR, brackets change nothing."""
    urls: list[str] = []
    at = depth = 0
    while True:
        while tokens[at] in (("bracket", "["), ("bracket", "(")):
            at += 1
            depth += 1
        path = tokens[at]
        values, at = _values(tokens, at + 1)
        if path[0] != "path":
            raise _NotSufficient
        if path[1] == _URL_PATH:
            urls += [_ESCAPE.sub(r"\1", text[1:-1]) for kind, text in values if kind == "text" and text[0] == "'"]
        while at < len(tokens) and tokens[at] in (("bracket", "]"), ("bracket", ")")):
            at += 1
            depth -= 1
        if at == len(tokens) and depth == 0:
            return urls
        if at == len(tokens) or tokens[at] != ("word", "OR"):
            raise _NotSufficient
        at += 1


def _values(tokens: list[_Token], at: int) -> tuple[list[_Token], int]:
    """Read an operator and its operand; return the values and the place behind them."""
    if tokens[at] == ("sign", "="):
        values, behind = [tokens[at + 1]], at + 2
    elif tokens[at : at + 2] == [("word", "IN"), ("bracket", "(")] and ("bracket", ")") in tokens[at:]:
        behind = tokens.index(("bracket", ")"), at) + 1
        values = [token for token in tokens[at + 2 : behind - 1] if token != ("bracket", ",")]
    else:
        raise _NotSufficient
    if any(kind not in ("text", "number", "word") for kind, _ in values):
        raise _NotSufficient
    return values, behind


def _objects(value: Json) -> list[Json]:
    if isinstance(value, list):
        return value
    top = reading.as_object(value, "the body")
    if top.get("type") == "indicator":
        return [top]
    if top.get("type") == "bundle" or "objects" in top or "more" in top:
        return reading.as_list(top.get("objects", []), "objects")  # an empty TAXII page has none
    raise UnreadableReport("the body is no STIX: send a bundle, a TAXII page or an array of objects")


def _why_not(indicator: dict[str, Json], options: ParserOptions) -> str:
    if indicator.get("revoked") is True:
        return "the indicator is revoked"
    until = reading.lenient_time(indicator.get("valid_until"))
    if until and options.now and until <= options.now:
        return f"the indicator was valid until {until:%Y-%m-%d %H:%M} UTC"
    types = reading.listed(indicator.get("indicator_types"))
    if types and all(kind == "benign" for kind in types):
        return "the indicator says that this is benign"
    if indicator.get("pattern_type", "stix") != "stix":
        return f"the pattern is of the type {reading.shown(indicator.get('pattern_type'))}: only stix is read"
    return ""


def _urls(indicator: dict[str, Json], where: str, entries: Entries) -> list[str]:
    pattern = indicator.get("pattern")
    if not isinstance(pattern, str) or _URL_PATH not in pattern:
        entries.skip(where, "the pattern names no URL")
        return []
    urls = pattern_urls(pattern)
    if urls is None:
        entries.skip(where, "the pattern is more than a choice of URLs: none of them is to blame by itself")
    elif not urls:
        entries.skip(where, "the pattern names no URL")
    return urls or []


def _category(indicator: dict[str, Json]) -> str:
    limit = reading.MAX_CATEGORY_LENGTH
    return reading.first_text(indicator.get("labels"), limit) or reading.first_text(
        indicator.get("indicator_types"), limit
    )
