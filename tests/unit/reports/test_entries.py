"""The parts of a report are taken, withdrawn, skipped or named as flaws, within the limits."""

from __future__ import annotations

import pytest

from chalicelib.domain.errors import TooLarge, UnreadableReport
from chalicelib.domain.model import ReportedUrl, Withdrawal
from chalicelib.reports.entries import MAX_SKIPPED, Entries, superseded
from chalicelib.reports.reading import ParserOptions

OPTIONS = ParserOptions()


def ours(url: str) -> bool:
    return "example.com" in url


def test_only_so_many_skipped_parts_are_listed_and_all_are_counted() -> None:
    entries = Entries(OPTIONS)
    for number in range(MAX_SKIPPED + 5):
        entries.skip(f"line {number}", "no URL")
    report = entries.report()
    assert len(report.skipped) == MAX_SKIPPED + 1
    assert report.skipped[-1].reason == "5 more parts name nothing to ban"
    assert report.parts_skipped == MAX_SKIPPED + 5


def test_the_first_url_too_many_is_too_large() -> None:
    entries = Entries(ParserOptions(max_urls=1))
    entries.add(ReportedUrl("a"))
    with pytest.raises(TooLarge, match="more than 1 URL:"):
        entries.add(ReportedUrl("b"))


def test_within_the_limit_every_url_is_kept_whatever_its_host() -> None:
    entries = Entries(ParserOptions(max_urls=2, is_ours=ours))
    entries.add(ReportedUrl("https://example.org/"))
    entries.add(ReportedUrl("https://example.com/"))
    report = entries.report()
    assert (len(report.urls), report.elsewhere, report.skipped) == (2, 0, ())


def test_only_urls_of_our_hosts_count_in_a_feed_larger_than_a_report() -> None:
    entries = Entries(ParserOptions(max_urls=3, is_ours=ours))
    for number in range(100):
        entries.add(ReportedUrl(f"https://example.org/{number}"))
        if number % 50 == 0:
            entries.add(ReportedUrl(f"https://example.com/{number}"))
    report = entries.report()
    assert [entry.url for entry in report.urls] == ["https://example.com/0", "https://example.com/50"]
    assert report.elsewhere == 100
    assert "100 URLs" in report.skipped[-1].reason


def test_too_many_urls_of_our_hosts_are_too_large_beside_any_number_of_others() -> None:
    entries = Entries(ParserOptions(max_urls=3, is_ours=ours))
    for number in range(3):
        entries.add(ReportedUrl(f"https://example.org/{number}"))
        entries.add(ReportedUrl(f"https://example.com/{number}"))
    with pytest.raises(TooLarge, match="more than 3 URLs"):
        entries.add(ReportedUrl("https://example.com/one-too-many"))


def test_a_flaw_is_told_beside_what_could_be_read_and_refuses_a_body_of_nothing_else() -> None:
    entries = Entries(OPTIONS)
    entries.flaw("[0]", "[0] must be an object, not null")
    with pytest.raises(UnreadableReport, match=r"\[0\] must be an object, not null"):
        entries.report()
    entries.add(ReportedUrl("https://example.com/"))
    assert [part.where for part in entries.report().skipped] == ["[0]"]


def test_a_withdrawal_names_no_url_to_ban_and_is_respelled_like_one() -> None:
    entries = Entries(ParserOptions(defanged=True))
    entries.withdraw(Withdrawal("hxxps://www[.]example[.]com/", reason="revoked"), "indicator 1")
    report = entries.report()
    assert report.urls == ()
    assert report.withdrawals == (Withdrawal("https://www.example.com/", reason="revoked"),)
    assert [(part.where, part.reason) for part in report.skipped] == [("indicator 1", "revoked")]


def test_the_latest_version_of_an_id_stands() -> None:
    assert superseded([("a", "2"), ("b", "1"), ("a", "1"), ("", "1"), ("", "2"), ("a", "3")]) == {0, 2}
    assert superseded([("a", "1"), ("a", "1")]) == {0}
    assert superseded([]) == set()
