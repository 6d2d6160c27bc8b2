"""Every format on the hand-written samples."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.domain.model import ParsedReport, ReportedUrl
from chalicelib.reports import PARSERS, ParserOptions, native, parse, xarf
from chalicelib.reports.stix_patterns import pattern_urls

SAMPLES = Path(__file__).parents[2] / "samples"
SHOP = "https://shop.example.com"


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 3, 1, hour, minute, second, tzinfo=UTC)


NOW = at(12)


def read(name: str, format_name: str, **options: Any) -> ParsedReport:
    return parse((SAMPLES / name).read_bytes(), format_name, ParserOptions(now=NOW, **options))


def urls(report: ParsedReport) -> list[str]:
    return [url.url for url in report.urls]


def test_native_keeps_what_is_said_of_each_url() -> None:
    report = read("native.json", "native")
    assert report.correlation_id == "case-17"
    assert report.urls == (
        ReportedUrl(f"{SHOP}/login.php?id=1", "phishing", "abuse-desk", 14, at(10), "campaign 42"),
        ReportedUrl("http://shop.example.com:8080/malware.exe", "malware", "abuse-desk", 30, at(10), "second stage"),
        ReportedUrl("https://www.example.com/a", "phishing", "second-desk", 14, at(12), "campaign 42"),
    )


def test_xarf_takes_the_abusive_url_and_never_those_of_victims_and_evidence() -> None:
    report = read("xarf_v4.json", "xarf")
    assert report.urls == (
        ReportedUrl("https://login.shop.example.com/bank", "phishing", "Desk One", None, at(10), "Imitates a bank"),
        ReportedUrl("https://cdn.shop.example.com/removed/1", "csam", "desk-two.example", None, at(10, 1)),
        ReportedUrl("https://links.shop.example.com/film", "copyright", "Desk One", None, at(10, 2)),
        ReportedUrl("https://files.shop.example.com/film.mp4", "copyright", "Desk One", None, at(10, 2)),
    )
    assert [(part.where, part.reason) for part in report.skipped] == [
        ("[3]", "a report of connection/sql_injection names no URL: there is nothing to ban")
    ]


def test_nothing_of_a_report_of_child_abuse_is_kept_but_its_url() -> None:
    assert "SECRET" not in repr(read("xarf_v4.json", "xarf"))
    assert "U0VDUkVU" not in repr(read("xarf_v4.json", "xarf"))


def test_both_shapes_of_xarf_3_are_read() -> None:
    report = read("xarf_v3.json", "xarf")
    assert report.urls == (
        ReportedUrl(f"{SHOP}/v3", "phishing", "Desk One", None, at(10)),
        ReportedUrl(f"{SHOP}/v3-flat", "malware", "desk-two.example", None, at(10, 1)),
    )
    assert [part.where for part in report.skipped] == ["[2]"]


def xarf_report(**fields: object) -> dict[str, object]:
    return {"xarf_version": "4.2.0", "category": "content", "type": "fraud", "url": SHOP, **fields}


def read_xarf(value: object) -> ParsedReport:
    return xarf.parse(json.dumps(value).encode(), ParserOptions())


def test_a_single_xarf_report_is_found_again_by_its_id() -> None:
    assert read_xarf(xarf_report(report_id="r-1")).correlation_id == "r-1"
    assert read_xarf([xarf_report(report_id="r-1"), xarf_report(report_id="r-2")]).correlation_id == ""


def test_a_xarf_report_tagged_as_a_test_is_one_and_may_not_be_mixed_with_real_ones() -> None:
    test = xarf_report(tags=["a:b", "lifecycle:test"])
    assert read_xarf(test).test
    assert read_xarf([test, test]).test
    assert not read_xarf(xarf_report(tags=["a:b"])).test
    for tags in ("lifecycle:test", ["Lifecycle:Test "], [{"name": "lifecycle:test"}]):
        assert read_xarf(xarf_report(tags=tags)).test, tags
    with pytest.raises(UnreadableReport, match="lifecycle:test"):
        read_xarf([test, xarf_report()])


@pytest.mark.parametrize("kind", sorted(xarf.TYPES))
def test_each_xarf_type_yields_its_url_or_says_that_there_is_nothing_to_ban(kind: str) -> None:
    category, _, name = kind.partition("/")
    fields = {
        "url": f"{SHOP}/url",
        "infringing_url": f"{SHOP}/infringing",
        "spam_indicators": {"suspicious_links": [f"{SHOP}/spam"]},
        "linked_content": [{"target_url": f"{SHOP}/linked"}],
        "nzb_info": {"nzb_url": f"{SHOP}/nzb"},
        "target_url": "https://victim.example.org/",
        "cloned_site": "https://victim.example.org/",
        "swarm_info": {"magnet_uri": "magnet:?xt=urn:btih:00"},
    }
    report = read_xarf(xarf_report(**fields) | {"category": category, "type": name})
    expected = {
        "content": ["url"],
        "copyright": {"link_site": ["infringing", "linked"], "usenet": ["nzb"], "p2p": []}.get(name, ["infringing"]),
        "messaging": {"spam": ["spam"]}.get(name, []),
    }.get(category, [])
    assert urls(report) == [f"{SHOP}/{end}" for end in expected]
    assert bool(report.skipped) is not bool(expected)


@pytest.mark.parametrize("tags", [["false-positive"], ["status:false_positive"], "benign"])
def test_a_xarf_report_tagged_as_harmless_is_a_withdrawal(tags: object) -> None:
    report = read_xarf(xarf_report(tags=tags))
    assert report.urls == ()
    assert len(report.withdrawals) == 1


def test_a_xarf_report_names_its_type_in_letters_of_any_size() -> None:
    assert [url.category for url in read_xarf(xarf_report(category="Content", type="Phishing")).urls] == ["phishing"]


@pytest.mark.parametrize("verified", ["No", "NO ", "false", "", None, 0, "n"])
def test_phishtanks_entries_are_taken_only_where_they_say_that_they_are_verified(verified: object) -> None:
    entry = {"url": f"{SHOP}/a", "submission_time": "2026-01-01T00:00:00+00:00", "verified": verified}
    report = PARSERS["phishtank"](json.dumps([entry]).encode(), ParserOptions())
    assert [part.reason for part in report.skipped] == ["the entry is not verified"]


@pytest.mark.parametrize("tags", ["exe,false-positive", "#whitelist #x", ["Benign"]])
@pytest.mark.parametrize("feed", ["urlhaus", "phishtank", "phishunt", "tweetfeed"])
def test_an_entry_of_any_feed_that_is_tagged_as_harmless_is_skipped(feed: str, tags: object) -> None:
    entry = {"url": f"{SHOP}/a", "type": "url", "verified": "yes", "tags": tags}
    report = PARSERS[feed](json.dumps([entry]).encode(), ParserOptions())
    assert [part.reason for part in report.skipped] == ["the entry is tagged as harmless"]


def test_there_are_32_xarf_types() -> None:
    assert len(xarf.TYPES) == 32


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "array is empty"),
        ([1], r"\[0\] must be an object"),
        ({"url": SHOP}, "neither xarf_version"),
        (xarf_report(xarf_version="5.0.0"), 'of XARF version "5.0.0"'),
        (xarf_report(xarf_version=4), "of XARF version 4"),
    ],
)
def test_what_is_no_xarf_is_refused(value: object, message: str) -> None:
    with pytest.raises(UnreadableReport, match=message):
        read_xarf(value)


@pytest.mark.parametrize("fields", [{"url": None}, {"url": ""}, {"url": ["a"]}, {"type": "new"}, {"type": {}}])
def test_a_xarf_report_without_its_url_is_skipped_beside_the_others(fields: dict[str, object]) -> None:
    report = read_xarf([xarf_report(**fields), xarf_report()])
    assert urls(report) == [SHOP]
    assert [part.where for part in report.skipped] == ["[0]"]


def test_stix_takes_urls_that_alone_satisfy_a_pattern_which_is_in_force() -> None:
    report = read("stix.json", "stix")
    assert report.urls[0] == ReportedUrl(f"{SHOP}/o'hare", "phishing", "Desk One", None, at(10), "Imitates a shop")
    assert urls(report)[1:] == [f"{SHOP}/{number}" for number in (1, 2, 3, 4)]
    assert report.urls[1].category == "malicious-activity"
    assert [(part.where[-1], part.reason.partition(":")[0]) for part in report.skipped] == [
        ("3", "the pattern is not valid, or more than a choice of URLs"),
        ("4", "the indicator is revoked"),
        ("5", "the indicator was valid until 2026-03-01 00"),
        ("6", "the pattern names no URL"),
        ("7", "the indicator says that this is benign"),
        ("8", 'the pattern is of the type "suricata"'),
    ]


def test_taxii_pages_and_bare_arrays_are_read_like_bundles() -> None:
    bundle = json.loads((SAMPLES / "stix.json").read_bytes())
    whole = read("stix.json", "stix")
    for page in ({"more": True, "next": "1", "objects": bundle["objects"]}, bundle["objects"]):
        assert PARSERS["stix"](json.dumps(page).encode(), ParserOptions(now=NOW)) == whole
    assert PARSERS["stix"](b'{"more": false}', ParserOptions()) == ParsedReport(())
    assert len(PARSERS["stix"](json.dumps(bundle["objects"][1]).encode(), ParserOptions()).urls) == 1
    with pytest.raises(UnreadableReport, match="no STIX"):
        PARSERS["stix"](b'{"urls": []}', ParserOptions())


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("[url:value = 'a']", ["a"]),
        ("[url:value='a']", ["a"]),
        ("  [ url:value = 'a' ]  ", ["a"]),
        (r"[url:value = 'a\'b\\c']", [r"a'b\c"]),
        ("[url:value = 'a AND b]']", ["a AND b]"]),
        ("[url:value = 'a' OR (url:value = 'b' OR url:value = 'c')]", ["a", "b", "c"]),
        ("([url:value = 'a'] OR [url:value IN ('b','c')])", ["a", "b", "c"]),
        ("[url:value = 'a' OR network-traffic:dst_port = 80]", ["a"]),
        ("[file:hashes.'SHA-256' = 'a' OR url:value = 'b']", ["b"]),
        ("[url:value = t'2026-01-01T00:00:00Z']", []),
        ("[x-url:value = 'a']", []),
        ("[url:value != 'a']", None),
        ("[NOT url:value = 'a']", None),
        ("[url:value NOT = 'a']", None),
        ("[url:value LIKE 'a%']", None),
        ("[url:value MATCHES 'a.*']", None),
        ("[url:value = 'a' AND url:value = 'b']", None),
        ("[url:value = 'a'] AND [url:value = 'b']", None),
        ("[url:value = 'a'] FOLLOWEDBY [url:value = 'b']", None),
        ("[url:value = 'a'] REPEATS 5 TIMES", None),
        ("[url:value = 'a'] WITHIN 5 SECONDS", None),
        ("[url:value = 'a'", None),
        ("[url:value = 'a", None),
        ("[url:value = ]", None),
        ("[url:value IN 'a']", None),
        ("[url:value IN ('a'", None),
        ("url:value", None),
        ("", None),
        ("[", None),
    ],
)
def test_a_pattern_gives_urls_only_where_each_alone_is_to_blame(pattern: str, found: list[str] | None) -> None:
    assert pattern_urls(pattern) == found


def test_misp_respects_to_ids_and_never_takes_links() -> None:
    report = read("misp.json", "misp")
    assert report.urls == (
        ReportedUrl(f"{SHOP}/kit", "phishing", "Desk One", None, at(11), "landing page"),
        ReportedUrl(f"{SHOP}/old-server", "Payload delivery", "Desk One", None, at(10)),
        ReportedUrl(f"{SHOP}/object", "Network activity", "Desk One", None, at(10)),
    )
    assert [part.reason for part in report.skipped] == [
        "the attribute is not meant for detection (to_ids is not true)",
        "the attribute is deleted",
        "the attribute is deleted",
        "2 attributes of other types (link, domain) name no URL",
    ]
    assert [(gone.url, gone.id, gone.reporter) for gone in report.withdrawals] == [
        (f"{SHOP}/deleted", "a6", "Desk One"),
        (f"{SHOP}/deleted-object", "a8", "Desk One"),
    ]


def test_misp_events_come_alone_in_arrays_and_in_search_results() -> None:
    event = json.loads((SAMPLES / "misp.json").read_bytes())
    alone = read("misp.json", "misp")
    for value in ([event], {"response": [event]}, event["Event"], [event["Event"]]):
        assert PARSERS["misp"](json.dumps(value).encode(), ParserOptions()) == alone
    with pytest.raises(UnreadableReport, match="manifest of a MISP feed"):
        PARSERS["misp"](b'{"e0": {"info": "x", "timestamp": "1"}}', ParserOptions())
    with pytest.raises(UnreadableReport, match="no MISP"):
        PARSERS["misp"](b"{}", ParserOptions())


@pytest.mark.parametrize("name", ["urlhaus.csv", "urlhaus.json"])
def test_urlhaus_is_read_as_csv_and_json(name: str) -> None:
    assert read(name, "urlhaus").urls == (
        ReportedUrl("http://192.0.2.7:8080/i", "malware", "desk-one", None, at(10), "https://feed.example.org/url/1/"),
        ReportedUrl(f"{SHOP}/a,b.exe", "malware", "desk-two", None, at(10, 1), "https://feed.example.org/url/2/"),
    )


def test_urlhaus_without_its_comments_is_known_by_its_nine_columns() -> None:
    lines = (SAMPLES / "urlhaus.csv").read_bytes().split(b"\r\n")
    assert PARSERS["urlhaus"](b"\n".join(lines[4:]), ParserOptions()).urls == read("urlhaus.csv", "urlhaus").urls
    with pytest.raises(UnreadableReport, match="line 1 is no header"):
        PARSERS["urlhaus"](b"1,2,3\n", ParserOptions())


@pytest.mark.parametrize("name", ["phishtank.csv", "phishtank.json"])
def test_phishtank_is_unescaped_as_its_publisher_escapes_and_unverified_entries_are_skipped(name: str) -> None:
    expected = ReportedUrl(
        f"{SHOP}/login?a=1&b=2", "phishing", reported_at=at(10), note="https://feed.example.org/phish/101"
    )
    report = read(name, "phishtank")
    assert report.urls == (expected,)
    assert [part.reason for part in report.skipped] == ["the entry is not verified"]
    assert read(name, "phishtank", html_escaped=True) == report, "it is unescaped once"


def test_phishunt_takes_the_time_when_it_first_saw_a_url() -> None:
    report = read("phishunt.json", "phishunt")
    seen = datetime(2026, 3, 1, 9, 0, 0, 123_456, tzinfo=UTC)
    assert report.urls == (ReportedUrl("https://bank.shop.example.com", "phishing", reported_at=seen, note="bank"),)
    assert [(part.where, part.reason) for part in report.skipped] == [("[1]", "the entry has no url")]


def test_tweetfeed_takes_only_entries_of_the_type_url() -> None:
    report = read("tweetfeed.csv", "tweetfeed")
    assert report.urls == (
        ReportedUrl(f"{SHOP}/t1", "phishing", "desk_one", None, at(10), "https://social.example.org/1"),
        ReportedUrl(f"{SHOP}/t2,3", "", "desk_two", None, at(10, 2), "https://social.example.org/3"),
    )
    assert [part.where for part in report.skipped] == ["line 2"]
    in_json = read("tweetfeed.json", "tweetfeed")
    assert in_json.urls == report.urls[:1]
    assert in_json.skipped[0].reason == "the entry is of the type ip: it names no URL"


def test_tweetfeed_with_a_header_is_read_by_its_names_and_short_rows_are_skipped() -> None:
    report = read("tweetfeed_header.csv", "tweetfeed")
    assert report.urls == (ReportedUrl(f"{SHOP}/t1", "c2", "r1", None, at(10)),)
    assert [(part.where, part.reason) for part in report.skipped] == [("line 3", "line 3 has 3 columns instead of 4")]


def test_plain_text_is_one_url_a_line_and_a_bad_line_does_not_spoil_the_others() -> None:
    assert urls(read("plain.txt", "plain")) == [f"{SHOP}/p1", "http://shop.example.com/p2#section", "not a url"]
    assert PARSERS["plain"](b"\xef\xbb\xbf" + SHOP.encode() + b"\r\n", ParserOptions()).urls == (ReportedUrl(SHOP),)


def test_a_feedback_mail_gives_its_reported_uris_and_nothing_of_the_enclosed_mail() -> None:
    report = read("feedback.eml", "feedback-mail")
    assert report.urls == (
        ReportedUrl(f"{SHOP}/earn", "abuse", "reports@desk-one.example", None, at(10)),
        ReportedUrl(f"{SHOP}/a-very-long-path/that-was-folded", "abuse", "reports@desk-one.example", None, at(10)),
    )
    assert [part.reason for part in report.skipped] == ["a Reported-URI is a mail address: there is nothing to ban"]


def test_a_feedback_mail_in_quoted_printable_gives_the_uri_as_it_was_reported() -> None:
    report = read("feedback_encoded.eml", "feedback-mail")
    assert urls(report) == [f"{SHOP}/login?id=1&next=the-rest-of-a-line-that-was-too-long"]


def test_a_feedback_mail_whose_report_is_an_attachment_gives_the_url_of_the_attachment() -> None:
    report = read("feedback_xarf.eml", "feedback-mail")
    assert report.urls == (ReportedUrl(f"{SHOP}/survey", "phishing", "Desk One", None, at(10)),)
    assert report.correlation_id == "7e0dd09e-28d3-4e7c-9a45-0c6d3b0f8a21"


def test_an_attribute_of_misp_beside_its_event_is_read() -> None:
    report = read("misp_attribute.json", "misp")
    assert report.urls == (ReportedUrl(f"{SHOP}/zmq", "Network activity", "Desk One", None, at(10)),)


def test_a_row_with_a_stray_quotation_mark_is_skipped_with_its_line_and_the_others_are_taken() -> None:
    report = read("urlhaus_stray_quote.csv", "urlhaus")
    assert urls(report) == [f"{SHOP}/1.exe", f"{SHOP}/3.exe"]
    assert [part.where for part in report.skipped] == ["line 3"]


def test_a_forwarded_feedback_mail_is_read_too() -> None:
    mail = (SAMPLES / "feedback.eml").read_bytes()
    forwarded = b"From: desk@forwarder.example\nContent-Type: message/rfc822\n\n" + mail
    assert PARSERS["feedback-mail"](forwarded, ParserOptions()) == read("feedback.eml", "feedback-mail")
    part = b'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: message/rfc822\n\n' + mail + b"\n--b--\n"
    assert PARSERS["feedback-mail"](part, ParserOptions()) == read("feedback.eml", "feedback-mail")


def test_a_bare_feedback_report_is_read_and_an_opt_out_accuses_no_page() -> None:
    report = read("feedback_opt_out.eml", "feedback-mail")
    assert report.urls == ()
    assert report.skipped[0].reason == 'feedback of the type "opt-out" accuses no page'


def test_mails_that_are_no_feedback_or_nest_too_deep_are_refused() -> None:
    with pytest.raises(UnreadableReport, match="no message/feedback-report"):
        PARSERS["feedback-mail"](b"Subject: hello\n\nhttps://shop.example.com/", ParserOptions())
    for depth in (20, 2_000):
        with pytest.raises(UnreadableReport, match="nests deeper than 8"):
            PARSERS["feedback-mail"](b"Content-Type: message/rfc822\n\n" * depth, ParserOptions())
    with pytest.raises(TooLarge):
        PARSERS["feedback-mail"](b"a" * 11, ParserOptions(max_bytes=10))


def test_cloudflare_is_read_in_the_shape_that_is_submitted() -> None:
    assert read("cloudflare_submit.json", "cloudflare").urls == (
        ReportedUrl(f"{SHOP}/c1", "phishing", "Desk One", note="Imitates a shop"),
        ReportedUrl(f"{SHOP}/c2", "phishing", "Desk One", note="Imitates a shop"),
    )


def test_cloudflare_is_read_in_the_shape_that_is_read_back() -> None:
    report = read("cloudflare_read.json", "cloudflare")
    assert report.urls == (ReportedUrl(f"{SHOP}/c3", "threat", "A. Person", None, at(10)),)
    assert report.skipped[0].reason == 'reports of the kind "REG_WHO" name no page to ban'
    with pytest.raises(UnreadableReport, match="neither act nor type"):
        PARSERS["cloudflare"](b"{}", ParserOptions())


def test_cloudflare_reports_of_child_abuse_leave_no_free_text() -> None:
    body = {"act": "abuse_children", "urls": SHOP, "justification": "SECRET", "id": "r9"}
    report = PARSERS["cloudflare"](json.dumps(body).encode(), ParserOptions())
    assert report.urls == (ReportedUrl(SHOP, "csam"),)
    assert report.correlation_id == "r9"


SAMPLE_FORMATS = {
    "cloudflare_read.json": "cloudflare",
    "cloudflare_submit.json": "cloudflare",
    "feedback.eml": "feedback-mail",
    "feedback_encoded.eml": "feedback-mail",
    "feedback_opt_out.eml": "feedback-mail",
    "feedback_xarf.eml": "feedback-mail",
    "misp.json": "misp",
    "misp_attribute.json": "misp",
    "native.json": "native",
    "phishtank.csv": "phishtank",
    "phishtank.json": "phishtank",
    "phishunt.json": "phishunt",
    "plain.txt": "plain",
    "stix.json": "stix",
    "tweetfeed.csv": "tweetfeed",
    "tweetfeed.json": "tweetfeed",
    "tweetfeed_header.csv": "tweetfeed",
    "urlhaus.csv": "urlhaus",
    "urlhaus.json": "urlhaus",
    "urlhaus_stray_quote.csv": "urlhaus",
    "xarf_v3.json": "xarf",
    "xarf_v4.json": "xarf",
}


def test_there_is_a_sample_of_every_format() -> None:
    assert set(SAMPLE_FORMATS.values()) == set(PARSERS)


@pytest.mark.parametrize(("name", "format_name"), SAMPLE_FORMATS.items())
def test_what_any_format_yields_survives_the_way_through_the_queue(name: str, format_name: str) -> None:
    report = read(name, format_name)
    if report.urls:
        again = native.parse(native.render(report.urls, correlation_id=report.correlation_id), ParserOptions())
        assert again.urls == report.urls
        assert again.correlation_id == report.correlation_id


@pytest.mark.parametrize(("name", "format_name"), SAMPLE_FORMATS.items())
def test_more_urls_than_allowed_are_too_large_in_every_format(name: str, format_name: str) -> None:
    body = (SAMPLES / name).read_bytes()
    count = len(read(name, format_name).urls)
    if count:
        with pytest.raises(TooLarge):
            parse(body, format_name, ParserOptions(max_urls=count - 1, now=NOW))
        assert len(parse(body, format_name, ParserOptions(max_urls=count, now=NOW)).urls) == count
