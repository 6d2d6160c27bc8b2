"""Reports from the field, by webhook and by queue: the URLs that are banned, and the reasons that refuse the others."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import BadSignature, ConfigurationError, InputError, TooLarge, UnknownFormat
from chalicelib.reports.signature import sign
from dev.fakes.world import SECRET, SOURCES, World

PAGE = "https://www.example.com/login"
SAFELINK = f"https://eur01.safelinks.protection.outlook.com/?url={quote(PAGE, safe='')}&reserved=0"


def world(**source: Any) -> World:
    return World(
        sources=parse_sources({**SOURCES, "desk": {**SOURCES["desk"], **source}, "queue": {"auth": "none", **source}})
    )


def banned(ours: World) -> list[str]:
    """Return the URLs that the vendor was sent, after all functions had their time."""
    ours.minutes(4)
    return sorted(url for _, urls, _ in ours.vendor.calls for url in urls)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://www.example.com./login", "the host ends with a dot: report it as www.example.com"),
        (SAFELINK, "is a link that eur01.safelinks.protection.outlook.com wrapped"),
        ("https://www.example.org/login", "not one of our managed domains"),
    ],
)
def test_the_reason_names_the_real_trouble_of_a_host_that_is_not_ours(url: str, reason: str) -> None:
    ours = world(format="native")
    (refusal,) = ours.post({"urls": [url]}).refusals
    assert refusal.rule == "not_managed"
    assert reason in refusal.reason
    ours.queue({"urls": [url]})
    assert ours.intake().verdicts == {"rejected": 1}


def test_a_wrapped_link_is_unwrapped_where_the_source_says_so() -> None:
    ours = world(format="native", unwrap_links=True)
    assert ours.post({"urls": [SAFELINK]}).accepted == 1
    assert banned(ours) == [PAGE]


def test_a_compressed_report_is_read_and_may_be_signed_as_it_was_before_or_as_it_was_sent() -> None:
    ours = world(format="native")
    body = gzip.compress(json.dumps({"urls": [PAGE]}).encode())
    assert ours.post(body, headers={"Content-Encoding": "gzip"}).accepted == 1
    assert ours.post(body, webhook_id="w2").accepted == 1
    stamp = int(ours.clock().timestamp())
    signature = sign(SECRET, "w4", stamp, gzip.decompress(body))
    by_body = {"Content-Encoding": "gzip", "webhook-signature": signature}
    assert ours.post(body, webhook_id="w4", headers=by_body).accepted == 1
    assert ours.post(gzip.decompress(body), webhook_id="w5", headers={"Content-Encoding": "gzip"}).accepted == 1
    with pytest.raises(BadSignature):
        ours.post(body, webhook_id="w4", headers={"webhook-signature": signature})  # No header names the encoding.
    with pytest.raises(BadSignature):
        ours.post(body[:-9], webhook_id="w4", headers=by_body)
    with pytest.raises(InputError, match="Content-Encoding 'br' is not read"):
        ours.post({"urls": [PAGE]}, webhook_id="w3", headers={"content-encoding": "br"})
    assert banned(ours) == [PAGE]


def test_spelling_is_undone_once_on_the_way_through_the_queue() -> None:
    ours = world(format="plain", html_escaped=True, defanged=True)
    ours.post(b"hxxps://www[.]example[.]com/?a=1&amp;amp;b=2")
    assert banned(ours) == ["https://www.example.com/?a=1&amp;b=2"]


def feed(foreign: int, ours: int) -> str:
    rows = [f"https://www.example.org/{number}" for number in range(foreign)]
    rows[foreign // 2 : foreign // 2] = [f"https://www.example.com/{number}" for number in range(ours)]
    return "\n".join(rows)


def test_a_published_feed_that_is_larger_than_a_report_goes_in_by_what_is_ours() -> None:
    ours = world(format="plain")
    receipt = ours.post(feed(11_125, 1).encode())
    assert receipt.accepted == 1
    assert receipt.refusals == ()
    assert receipt.skipped[-1][1].startswith("11,125 URLs are unusable or not on our hosts")
    assert ours.events("report_received")[0]["elsewhere"] == 11_125
    ours.queue(feed(11_125, 1))
    ours.intake()
    assert ours.events("reports_taken")[-1]["elsewhere"] == 11_125
    assert banned(ours) == ["https://www.example.com/0"]
    with pytest.raises(TooLarge, match="more than 10,000 URLs"):
        ours.post(feed(10, 10_001).encode(), webhook_id="w2")


def test_what_a_parser_skipped_is_counted_by_webhook_and_by_queue() -> None:
    ours = world(format="native")
    report = {"urls": [PAGE, {"url": PAGE, "ban_days": 1}, 7]}
    receipt = ours.post(report)
    assert [where for where, _ in receipt.skipped] == ["urls[1]", "urls[2]"]
    assert ours.events("report_received")[0]["skipped"] == 2
    ours.queue(report)
    ours.intake()
    assert ours.events("reports_taken")[-1]["skipped"] == 2


MANY_PORTS = {"xarf_version": "4.2.0", "category": "connection", "type": "port_scan", "report_id": "r"}


@pytest.mark.parametrize("allowed", [True, False])
def test_a_report_that_names_nothing_is_told_by_webhook_and_by_queue_unless_its_source_may(*, allowed: bool) -> None:
    ours = world(format="xarf", may_name_nothing=allowed)
    ours.post(MANY_PORTS)
    ours.queue(MANY_PORTS)
    ours.queue({**MANY_PORTS, "category": "content", "type": "phishing", "url": PAGE})
    ours.intake()
    told = ours.events("report_names_nothing")
    assert [(event["source"], event["skipped"]) for event in told] == [("desk", 1), ("queue", 1)]
    # The queue's source names a page in the same batch.
    assert [event["unusual"] for event in told] == [0 if allowed else 1, 0]


@pytest.mark.parametrize("way", ["webhook", "queue"])
def test_a_report_that_names_nothing_is_trouble_where_its_source_has_named_nothing_for_a_while(way: str) -> None:
    ours = world(format="xarf")
    named = {**MANY_PORTS, "category": "content", "type": "phishing", "url": PAGE}

    def sent(document: dict[str, Any]) -> int:
        if way == "webhook":
            ours.post(document, webhook_id=f"w{len(ours.emitted)}")
        else:
            ours.queue(document)
        ours.intake()
        told = ours.events("report_names_nothing")
        return int(told[-1]["unusual"]) if told else 0

    assert sent(MANY_PORTS) == 1, "it has never named one"
    sent(named)
    for _ in range(23):
        ours.clock.advance(hours=1)
        assert sent(MANY_PORTS) == 0, "it named one within the day"
    ours.clock.advance(hours=25)
    assert sent(MANY_PORTS) == 1, "it used to name some, and names none"


def test_a_source_whose_pages_are_all_refused_at_once_has_named_some() -> None:
    ours = world(format="native")
    ours.post({"urls": ["https://www.example.org/"]})
    ours.sources = {**ours.sources, "desk": replace(ours.sources["desk"], format="xarf")}
    ours.post(MANY_PORTS, webhook_id="w2")
    assert [event["unusual"] for event in ours.events("report_names_nothing")] == [0]


LETTER = "The genuine site is:\nhttps://www.example.com/genuine\n\nThe fake one is:\nhttps://www.example.com/fake\n"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(LETTER, ""), (f"<html><pre>\n{PAGE}\n</pre>", "text/csv"), (PAGE, "application/octet-stream")],
)
def test_a_report_without_a_format_bans_nothing(body: str, content_type: str) -> None:
    ours = World()
    with pytest.raises(UnknownFormat, match='set the field "format"'):
        ours.post(body.encode(), headers={"Content-Type": content_type})
    assert banned(ours) == []


# --- the cases of the field, where they are at hand -----------------------------------------------------------------

ROOT = Path(__file__).parents[4]
CASES = Path(os.environ.get("EDGEBAN_SHARED", ROOT.parent / "shared" / "data")).parent / "cases" / "intake"
LOGIN = ["https://www.example.com/login"]
FIELD: dict[str, tuple[str, list[str]]] = {
    # File: its format, and the URLs that are banned.
    "xarf_in_feedback_mail.eml": ("feedback-mail", ["https://www.example.com/survey"]),
    "xarf4_attached_to_mail.eml": ("feedback-mail", ["https://www.example.com/survey"]),
    "feedback_7bit.eml": (
        "feedback-mail",
        ["https://www.example.com/login?id=1&next=verify-account-details-of-the-customer-portal-and-more-of-it"],
    ),
    "feedback_qp.eml": (
        "feedback-mail",
        ["https://www.example.com/login?id=1&next=verify-account-details-of-the-customer-portal-and-more-of-it"],
    ),
    "letter_listing_urls.eml": ("feedback-mail", []),
    "misp_attribute_search.json": ("misp", LOGIN),
    "misp_attribute_list.json": ("misp", LOGIN),
    "misp_zmq_attribute.json": ("misp", LOGIN),
    "misp_bare_array.json": ("misp", LOGIN),
    "misp_url_with_words.json": ("misp", []),
    "stix_only_url_objects.json": ("stix", []),
    "stix20_benign_label.json": ("stix", []),
    "stix_later_version_revoked.json": ("stix", []),
    "stix21_valid_from_2099.json": ("stix", []),
    "stix_bad_escape.json": ("stix", []),
    "stix_escaped_quotes.json": ("stix", ["https://www.example.com/params?&message=%27hello%27"]),
    "stix_unescaped_quote.json": ("stix", []),
    "two_urls_on_a_line.txt": ("plain", ["https://www.example.com/a"]),
    "two_urls_in_a_string.json": ("native", []),
    "zero_width_space.json": ("native", []),
    "no_break_space.json": ("native", []),
    "bom_in_the_middle.txt": ("plain", ["https://www.example.com/a", "https://www.example.com/b"]),
    "defanged_dot_words.txt": ("plain", LOGIN),
    "defanged_usual.txt": ("plain", ["http://www.example.com/1", "https://www.example.com/2.exe"]),
    "free_text_letter.txt": ("", []),
    "html_instead_of_csv.html": ("", []),
    "lone_surrogate_in_note.json": ("native", ["https://www.example.com/a", "https://www.example.com/b"]),
    "urlhaus_stray_quote.csv": ("urlhaus", ["https://www.example.com/a.exe", "https://www.example.com/c.exe"]),
    "urlhaus_ip_host.csv": ("urlhaus", ["https://www.example.com/a.exe"]),
    "gzip_native.json.gz": ("native", ["https://www.example.com/gz"]),
    "svix_body.json": ("native", ["https://www.example.com/svix"]),
    "trailing_dot.txt": ("plain", []),
    "safelink.txt": ("plain", []),
    "spa_fragment.txt": ("plain", ["https://shop.example.com/8JxDYs/"]),
    "no_scheme.txt": ("plain", ["https://www.example.com/a"]),
    "same_page_spelled_six_ways.txt": ("plain", ["https://www.example.com/a%20b"]),
}


@pytest.fixture
def cases() -> Path:
    if not CASES.is_dir():
        pytest.skip("no cases of the field in ../shared/cases/intake")
    return CASES


@pytest.mark.parametrize("name", FIELD)
def test_every_case_of_the_field_ends_as_a_user_expects(cases: Path, name: str) -> None:
    format_name, expected = FIELD[name]
    ours = world(**({"format": format_name} if format_name else {}), defanged=name.startswith("defanged"))
    body = (cases / name).read_bytes()
    with contextlib.suppress(InputError) if not expected else contextlib.nullcontext():
        ours.post(body, headers={"Content-Type": "text/csv"})
    assert banned(ours) == expected


def test_the_published_feed_among_the_cases_goes_in_by_its_one_url(cases: Path) -> None:
    ours = world(format="urlhaus")
    body = gzip.decompress((cases / "urlhaus_30_days.csv.gz").read_bytes())
    assert ours.post(body).accepted == 1
    assert len(banned(ours)) == 1


@pytest.mark.parametrize("name", ["source_hub_newline.json", "source_bearer_space.json", "source_v1_whsec.json"])
def test_the_secrets_among_the_cases_are_refused_when_they_are_loaded(cases: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_sources(json.loads((cases / name).read_text()))


def test_the_folder_among_the_cases_is_ignored_and_the_object_inside_sns_is_read(cases: Path) -> None:
    ours = world(format="plain")
    ours.send([((cases / "s3_folder.json").read_text(), {})])
    assert ours.intake().failed == []
