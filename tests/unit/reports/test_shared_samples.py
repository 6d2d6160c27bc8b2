"""Real samples, with their counts. They are no part of the project: without them, these tests are skipped."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.urls import canonical_url
from chalicelib.reports import ParserOptions, parse

OPTIONS = ParserOptions()


@pytest.fixture
def shared() -> Path:
    root = Path(__file__).parents[3]
    path = Path(os.environ.get("EDGEBAN_SHARED", root.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("no real samples in ../shared/data: set EDGEBAN_SHARED to the folder that holds them")
    return path


def usable(urls: list[str]) -> int:
    count = 0
    for url in urls:
        try:
            canonical_url(url)
        except UnusableUrl:
            continue
        count += 1
    return count


def test_all_32_samples_of_xarf_4_are_read_and_13_name_a_url(shared: Path) -> None:
    paths = sorted((shared / "xarf/samples/v4").glob("*.json"))
    reports = [parse(path.read_bytes(), "xarf", OPTIONS) for path in paths]
    assert len(reports) == 32
    assert Counter(len(report.urls) for report in reports) == {1: 13, 0: 19}
    assert all(bool(report.skipped) is not bool(report.urls) for report in reports)
    assert all(report.correlation_id for report in reports)
    assert usable([url.url for report in reports for url in report.urls]) == 13
    together = b"[" + b",".join(path.read_bytes() for path in paths) + b"]"
    assert len(parse(together, "xarf", OPTIONS).urls) == 13


def test_all_4_samples_of_xarf_3_are_read_and_1_names_a_url(shared: Path) -> None:
    paths = sorted((shared / "xarf/samples/v3").glob("*.json"))
    reports = {path.stem: parse(path.read_bytes(), "xarf", OPTIONS) for path in paths}
    assert len(reports) == 4
    assert [name for name, report in reports.items() if report.urls] == ["phishing_v3_sample"]
    assert all(bool(report.skipped) is not bool(report.urls) for report in reports.values())


def test_the_misp_feed_holds_2699_url_attributes(shared: Path) -> None:
    events = [path for path in sorted((shared / "misp").glob("*.json")) if path.name != "manifest.json"]
    reports = [parse(path.read_bytes(), "misp", OPTIONS) for path in events]
    assert len(reports) == 4
    urls = [url for report in reports for url in report.urls]
    assert len(urls) == 2_699
    assert all(url.reporter == "TweetFeed" and url.reported_at and url.category for url in urls)
    assert usable([url.url for url in urls]) == 2_699


def test_the_stix_bundle_holds_1536_indicators_of_which_683_name_a_url(shared: Path) -> None:
    body = gzip.decompress((shared / "stix/week.json.gz").read_bytes())
    report = parse(body, "stix", OPTIONS)
    assert len(report.urls) == 683
    assert len(report.urls) + len(report.skipped) == 1_536
    assert {part.reason for part in report.skipped} == {"the pattern names no URL"}
    assert usable([url.url for url in report.urls]) == 683


def test_phishunt_holds_778_urls(shared: Path) -> None:
    body = (shared / "phishunt.json").read_bytes()
    report = parse(body, "phishunt", OPTIONS)
    assert len(report.urls) == 778
    assert usable([url.url for url in report.urls]) == 778


def test_the_first_20000_rows_of_tweetfeed_are_urls(shared: Path) -> None:
    with gzip.open(shared / "tweetfeed_2025.csv.gz", "rb") as lines:
        body = b"".join(line for line, _ in zip(lines, range(20_001), strict=False))
    report = parse(body, "tweetfeed", ParserOptions(max_urls=20_000))
    assert len(report.urls) == 20_000
    assert report.skipped == ()
    assert all(url.reporter and url.reported_at for url in report.urls)
    assert usable([url.url for url in report.urls]) == 20_000


def whatwg_cases(shared: Path) -> list[dict[str, object]]:
    cases = json.loads((shared / "wpt/urltestdata.json").read_bytes())
    absolute = [case for case in cases if isinstance(case, dict) and case.get("base") is None]
    return [case for case in absolute if re.match(r"[\0- ]*https?:", str(case["input"]), re.IGNORECASE)]


def test_canonicalisation_agrees_with_all_absolute_cases_of_the_whatwg_data(shared: Path) -> None:
    """Of texts that the standard accepts, only those with invisible signs or without a real host are refused."""
    cases = whatwg_cases(shared)
    refused_here = []
    for case in cases:
        raw = str(case["input"])
        if case.get("failure"):
            with pytest.raises(UnusableUrl):
                canonical_url(raw)
            continue
        href = str(case["href"])
        try:
            canonical = canonical_url(raw)
        except UnusableUrl:
            refused_here.append(raw)
            continue
        userinfo = f"{case['username']}{':' if case['password'] else ''}{case['password']}@"
        expected = href.partition("#")[0].replace(f"//{userinfo}", "//", 1)
        assert canonical == expected, raw
        assert canonical_url(canonical) == canonical
    assert (len(cases), sum(1 for case in cases if case.get("failure"))) == (279, 147)
    assert len(refused_here) == 20
    unseen = re.compile("[\0-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\ufeff\ufff0-\uffff]")
    assert [raw for raw in refused_here if not unseen.search(raw.strip(" \t\r\n\f"))] == [
        "http://!\"$&'()*+,-.;=_`{}~/"
    ]
