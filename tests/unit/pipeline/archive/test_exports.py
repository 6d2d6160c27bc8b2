"""Every finished day of the export is archived once and exactly, whatever breaks meanwhile (I3, I8)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ContentRefused,
    DownloadExpired,
    DownloadRefused,
    Throttled,
    Unavailable,
)
from chalicelib.domain.model import ReportedUrl
from chalicelib.ledger import export_days
from chalicelib.ledger.export_days import DayState
from chalicelib.pipeline.archive.export_files import ExportRoute, archive_day
from chalicelib.reports import ParserOptions, native
from dev.fakes.exports import ACCOUNT, HEADER, VENDOR, ExportWorld, file_of
from dev.fakes.world import START, World

DAY = date(2026, 1, 14)


def one_day(day: date = DAY) -> ExportWorld:
    """Make a world in which only one day is not archived yet."""
    world = ExportWorld()
    world.only(day)
    return world


def archived(world: ExportWorld, day: date = DAY, attempt: int = 1) -> dict[str, Any]:
    """Return the manifest of a day, checked against its objects and against what the vendor served."""
    keys = world.keys(day, attempt)
    world.objects.sound(keys.manifest)
    assert gzip.decompress(world.objects.objects[keys.raw]) == file_of(day)
    (manifest,) = world.objects.documents(keys.manifest)
    assert len(world.objects.documents(keys.rows)) == manifest["rows"] == 5
    assert len(world.objects.documents(keys.rejects)) == manifest["rejected"] == 1
    return manifest


# --- the way of a day -------------------------------------------------------------------------------------------


def test_a_day_is_asked_for_awaited_and_archived() -> None:
    world = one_day()
    first = world.run()
    assert (first.created, first.archived, first.open) == (1, 0, 1)
    assert world.clock() - START < timedelta(seconds=30), "a run does not sit and wait for the vendor"
    world.runs(1)
    day = world.days()[DAY]
    assert day.state is DayState.ARCHIVED
    assert (day.rows, day.rejected, day.manifest) == (5, 1, world.keys(DAY).manifest)
    manifest = archived(world)
    assert manifest["rows_by_reason"] == {"PR002": 2, "PR102": 2, "XX9": 1}
    assert manifest["vendor_task_id"] == "tu_1"
    assert manifest["day_start"] == "2026-01-13T16:00:00+00:00"
    assert manifest["urls_reported"] == 5
    assert world.events("export_archived")[0]["rows"] == 5


def test_a_row_says_when_what_and_why_in_words() -> None:
    world = one_day()
    world.runs(2)
    assert world.objects.documents(world.keys(DAY).rows)[1] == {
        "blocked_at": "2026-01-14T00:30:01Z",
        "domain": "www.example.com",
        "url": "https://www.example.com/2026-01-14/1",
        "canonical_url": "https://www.example.com/2026-01-14/1",
        "account": "123",
        "reason_code": "PR002",
        "reason": "gambling",
        "line": 3,
        "archive": "ali-main.1",
    }
    (reject,) = world.objects.documents(world.keys(DAY).rejects)
    assert reject["line"] == 7
    assert "gmt_created is not a time" in reject["reason"]
    assert reject["raw"].startswith("no time,")


def test_each_kind_of_file_has_a_prefix_of_its_own() -> None:
    world = one_day()
    world.runs(2)
    place = "vendor=alibaba/dt=2026-01-14/ali-main.1"
    assert world.objects.keys("") == [
        f"illegal-urls-manifest/{place}.json",
        f"illegal-urls-raw/{place}.csv.gz",
        f"illegal-urls-rejects/{place}.jsonl.gz",
        f"illegal-urls/{place}.jsonl.gz",
    ]
    assert world.objects.puts[-1] == world.keys(DAY).manifest, "the manifest is what makes a day done"


def test_the_same_content_makes_the_same_file() -> None:
    first, second = one_day(), one_day()
    second.clock.advance(hours=3)
    for world in (first, second):
        world.runs(2)
    for key in (first.keys(DAY).raw, first.keys(DAY).rows, first.keys(DAY).rejects):
        flags, time = first.objects.objects[key][3], first.objects.objects[key][4:8]
        assert (flags, time) == (0, bytes(4)), "neither a name nor a time in the header"
        assert first.objects.objects[key] == second.objects.objects[key]


def test_an_archived_day_is_left_alone() -> None:
    world = one_day()
    world.runs(2)
    calls, puts = len(world.vendor.calls), len(world.objects.puts)
    world.runs(3)
    assert (len(world.vendor.calls), len(world.objects.puts)) == (calls, puts)


# --- asked twice ------------------------------------------------------------------------------------------------


def two_days_later(world: ExportWorld) -> None:
    """Let two days pass, of which the world's runs archive none but the one day."""
    world.clock.advance(hours=48)
    for day in world.vendor.calendar.finished_days(world.clock()):
        if day > DAY:
            export_days.want(world.rows, ACCOUNT, [day], now=world.clock(), lost="not of this test")
    world.runs(3)


def test_a_day_that_grew_after_it_was_archived_is_archived_anew_beside_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = one_day()
    with monkeypatch.context() as lagging:
        lagging.setattr("dev.fakes.exports.file_of", lambda day: file_of(day)[: len(HEADER)])
        world.runs(2)
    assert world.days()[DAY].rows == 0
    assert world.events("exports_checked")[-1]["empty"] == 1
    before = dict(world.objects.objects)

    two_days_later(world)
    day = world.days()[DAY]
    assert (day.state, day.attempt, day.rows) == (DayState.ARCHIVED, 2, 5)
    manifest = archived(world, attempt=2)
    assert manifest["differs_from"] == {"attempt": 1, "manifest": world.keys(DAY).manifest, "rows": 0}
    assert {key: world.objects.objects[key] for key in before} == before
    assert world.events("exports_checked")[-1]["empty"] == 0


def test_a_day_that_is_the_same_two_days_later_is_stored_once_and_asked_for_twice() -> None:
    world = one_day()
    world.runs(2)
    before, checked = dict(world.objects.objects), len(world.events("exports_checked"))
    for _ in range(3):
        two_days_later(world)
    day = world.days()[DAY]
    assert (day.state, day.attempt, day.rows) == (DayState.ARCHIVED, 1, 5)
    assert world.objects.objects == before
    assert (
        len([1 for call, _, name in world.vendor.calls if call == "create" and name.startswith("fake-20260114")]) == 2
    )
    assert not any(event["late"] for event in world.events("exports_checked")[checked:])


def test_a_day_that_cannot_be_had_again_stays_archived() -> None:
    world = one_day()
    world.runs(2)
    world.vendor.download_errors = [DownloadRefused("no")]
    two_days_later(world)
    day = world.days()[DAY]
    assert (day.state, day.attempt, day.rows) == (DayState.ARCHIVED, 1, 5)
    assert "not compared" in day.reason
    assert not [event for event in world.events("export_failed") if event["day"] == str(DAY)]


# --- the window -------------------------------------------------------------------------------------------------


def test_a_month_is_caught_up_oldest_first_at_one_call_a_second() -> None:
    world = ExportWorld()
    world.run()
    names = [name for kind, _, name in world.vendor.calls if kind == "create"]
    assert names == [f"fake-{day:%Y%m%d}-1-1" for day in world.window]
    world.runs(2)
    assert {each.state for each in world.days().values()} == {DayState.ARCHIVED}
    assert len(world.days()) == 31
    for day in world.window:
        archived(world, day)
    assert min(world.vendor.gaps("create")) >= 1
    assert min(world.vendor.gaps("describe")) >= 1
    assert sum(kind == "create" for kind, _, _ in world.vendor.calls) == 31


def test_the_rate_holds_from_one_run_to_the_next() -> None:
    world = ExportWorld()
    for _ in range(20):
        world.run(minutes=0.01)
    assert len(world.vendor.gaps("create")) >= 8
    assert min(world.vendor.gaps("create")) >= 1


def test_the_pause_after_a_call_is_counted_from_its_answer() -> None:
    world = ExportWorld()
    world.vendor.seconds = 2
    world.run()
    assert min(world.vendor.gaps("create")) >= 3


def test_the_oldest_day_that_the_vendor_refuses_is_out_of_the_window_for_good() -> None:
    world = ExportWorld()
    oldest = world.window[0]
    world.vendor.outside = {oldest}
    world.runs(3)
    assert world.days()[oldest].state is DayState.FAILED
    assert world.days()[oldest].reason == "out_of_window"
    assert [each["day"] for each in world.events("export_failed")] == [oldest.isoformat()]
    assert sum(kind == "create" for kind, _, _ in world.vendor.calls) == 31, "asked for once, and not again"


def test_another_day_that_the_vendor_refuses_is_asked_for_again_every_hour_until_it_is_too_old() -> None:
    world = one_day()
    world.vendor.create_errors = [ContentRefused("not now")]
    world.runs(3)
    assert len(world.vendor.calls) == 1
    assert world.events("vendor_error")[0]["day"] == "2026-01-14"
    world.runs(13)
    assert world.days()[DAY].state is DayState.ARCHIVED


def test_a_day_that_left_the_window_unarchived_is_told_as_lost() -> None:
    world = one_day()
    world.vendor.create_errors = [Unavailable("down")] * 10_000
    world.runs(1)
    world.clock.advance(days=32)
    world.vendor.create_errors = []
    world.runs(1)
    assert world.days()[DAY].state is DayState.FAILED
    assert world.days()[DAY].reason == "out_of_window"
    assert {"account": ACCOUNT, "day": "2026-01-14", "problem": "out_of_window"} in world.events("export_failed")


def test_days_that_passed_by_while_nothing_ran_are_told_as_lost() -> None:
    world = ExportWorld()
    world.runs(3)
    last = world.window[-1]
    world.clock.advance(days=40)
    world.runs(1)
    lost = [last + timedelta(days=n) for n in range(1, 10)]
    assert [each["day"] for each in world.events("export_failed")] == [day.isoformat() for day in lost]
    assert {world.days()[day].reason for day in lost} == {"out_of_window"}
    world.runs(1)
    assert len(world.events("export_failed")) == 9, "told once"


def test_an_export_asked_for_in_time_is_archived_though_its_day_has_left_the_window() -> None:
    world = ExportWorld()
    oldest = world.window[0]
    world.run()
    world.clock.now = datetime.combine(world.window[-1] + timedelta(days=1), world.clock().timetz()).replace(hour=16)
    world.runs(2)
    assert oldest < world.window[0]
    assert world.days()[oldest].state is DayState.ARCHIVED


def test_a_day_is_late_half_a_day_after_its_end() -> None:
    world = one_day()
    world.vendor.never = {DAY}
    assert world.run().late == 1  # The day ended at 16:00 UTC; now it is half past eight.
    assert world.events("exports_checked")[-1]["oldest"] == "2026-01-14"
    world.vendor.never = set()
    world.runs(2)
    assert world.events("exports_checked")[-1]["late"] == 0


# --- what breaks ------------------------------------------------------------------------------------------------


def test_an_export_that_never_completes_is_replaced_after_an_hour_and_told() -> None:
    world = one_day()
    world.vendor.never = {DAY}
    world.runs(13)
    (told,) = world.events("export_overdue")
    assert told["day"] == "2026-01-14"
    world.vendor.never = set()
    world.runs(3)
    assert [name for kind, _, name in world.vendor.calls if kind == "create"] == [
        "fake-20260114-1-1",
        "fake-20260114-1-2",
    ]
    assert archived(world)["vendor_task_id"] == "tu_2"


@pytest.mark.parametrize(
    ("error", "calls_in_run"),
    [
        (Throttled("slow", retry_after=3), 2),
        (Throttled("slow", retry_after=30), 1),
        (Unavailable("down"), 1),
        (AnswerUnknown("lost"), 1),
        (AccessRefused("key"), 1),
    ],
)
def test_an_error_of_the_vendor_delays_and_loses_nothing(error: Exception, calls_in_run: int) -> None:
    world = one_day()
    world.vendor.create_errors = [error]
    world.run()
    creates = [at for kind, at, _ in world.vendor.calls if kind == "create"]
    assert len(creates) == calls_in_run
    if isinstance(error, Throttled) and calls_in_run == 2:
        assert (creates[1] - creates[0]).total_seconds() >= 3
    world.vendor.describe_errors = [None, error, error]
    world.runs(8)
    archived(world)


def test_refused_access_keeps_every_run_from_calling_until_the_block_ends() -> None:
    world = one_day()
    world.vendor.create_errors = [AccessRefused("no such key"), *[None] * 9]
    assert world.run().why == "access_refused"
    world.clock.advance(minutes=5)
    assert world.run().why == "blocked"
    assert len(world.vendor.calls) == 1
    assert world.events("exports_blocked")
    world.clock.advance(minutes=6)
    world.runs(3)
    archived(world)


def test_an_account_that_is_refused_is_not_asked_for_every_day() -> None:
    world = ExportWorld()
    world.vendor.create_errors = [AccessRefused("no permission")]
    assert world.run().why == "access_refused"
    assert len(world.vendor.calls) == 1


@pytest.mark.parametrize("error", [DownloadExpired("403"), AnswerUnknown("truncated"), Unavailable("503")])
def test_a_download_that_breaks_leaves_nothing_and_is_made_again(error: Exception) -> None:
    world = one_day()
    world.run()
    world.clock.advance(minutes=5)
    world.vendor.download_errors = [error]
    describes = sum(kind == "describe" for kind, _, _ in world.vendor.calls)
    world.run()
    if not isinstance(error, DownloadExpired):
        assert world.objects.puts == []
        world.runs(1)
    archived(world)
    assert len(world.vendor.downloads) == 2
    assert sum(kind == "describe" for kind, _, _ in world.vendor.calls) == describes + 2, "for a new URL"


def test_a_file_that_cannot_be_had_for_an_hour_is_made_anew() -> None:
    world = one_day()
    world.vendor.download_errors = [AnswerUnknown("truncated")] * 14
    world.runs(20)
    assert world.events("export_overdue")
    archived(world)


def test_a_refused_download_is_a_persons_to_look_at() -> None:
    world = one_day()
    world.vendor.download_errors = [DownloadRefused("169.254.169.254")]
    world.runs(4)
    assert world.days()[DAY].state is DayState.FAILED
    assert world.days()[DAY].reason == "download_refused: 169.254.169.254"
    assert len(world.vendor.downloads) == 1
    assert world.events("export_failed")


def test_a_full_disk_is_told_and_tried_again() -> None:
    world = one_day()
    world.run()
    world.clock.advance(minutes=5)
    world.vendor.download_errors = [OSError("no space left")]
    world.run()
    assert world.events("export_not_stored")[0]["problem"] == "no space left"
    world.runs(1)
    archived(world)


def test_a_run_that_nears_its_end_leaves_the_download_to_the_next() -> None:
    world = one_day()
    world.run()
    world.clock.advance(minutes=5)
    assert world.run(minutes=3.9).why == "deadline"
    assert world.vendor.downloads == []
    world.run()
    archived(world)


# --- crashes and company ----------------------------------------------------------------------------------------


def _created(world: ExportWorld) -> None:
    world.run()
    world.clock.advance(minutes=5)


def _nothing(_: ExportWorld) -> None:
    pass


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("prepare", [_nothing, _created])
def test_a_run_killed_at_any_call_is_taken_up_by_the_next(prepare: Callable[[ExportWorld], None], after: bool) -> None:
    counting = one_day()
    prepare(counting)
    counting.crasher.calls = 0
    counting.run()
    calls = counting.crasher.calls
    assert calls >= 10
    for at in range(1, calls + 1):
        world = one_day()
        prepare(world)
        with world.crash(at, after=after):
            world.run()
        world.runs(6)  # Its lease ends within 16 minutes.
        assert world.days()[DAY].state is DayState.ARCHIVED, at
        archived(world)
        assert len(world.objects.puts) == len(set(world.objects.puts)) == 4
        assert {url for body, _ in world.sent for url in reported(body)} == set(urls_of(DAY)), at


def test_a_day_whose_raw_file_is_stored_is_not_downloaded_again() -> None:
    world = one_day()
    world.run()
    world.clock.advance(minutes=5)
    stored = ExportWorld(objects=world.objects)
    stored.only(DAY)
    stored.runs(2)
    del world.objects.objects[world.keys(DAY).manifest]
    world.run()
    assert world.vendor.downloads == []
    archived(world)


def test_a_day_whose_manifest_is_there_needs_nothing_more() -> None:
    world = one_day()
    world.runs(2)
    again = ExportWorld(objects=world.objects)
    again.only(DAY)
    again.runs(2)
    assert again.days()[DAY].state is DayState.ARCHIVED
    assert again.days()[DAY].archived_at == world.days()[DAY].archived_at
    assert again.vendor.downloads == []
    assert again.sent == []


def test_what_another_version_has_stored_is_described_as_it_lies_there() -> None:
    world = one_day()
    rows = b'{"canonical_url":"https://www.example.com/","reason_code":"PR001"}\n'
    world.objects.put_new(world.keys(DAY).rows, gzip.compress(rows, mtime=0), content_type="")
    world.runs(2)
    (manifest,) = world.objects.documents(world.keys(DAY).manifest)
    assert (manifest["rows"], manifest["rejected"], manifest["rows_by_reason"]) == (1, 1, {"PR001": 1})
    world.objects.sound(world.keys(DAY).manifest)


def test_runs_at_the_same_time_share_the_days_and_the_rate() -> None:
    world = ExportWorld()
    other = ExportWorld(world.rows, world.clock, world.objects, emitted=world.emitted)
    other.vendor = world.vendor
    inner: list[int] = []
    sleep = world.clock.sleep

    def meanwhile(seconds: float) -> None:
        sleep(seconds)
        if not inner:  # While one run waits or calls, another one runs from end to end.
            inner.append(1)
            other.run()
            inner.clear()

    world.clock.sleep = meanwhile  # type: ignore[method-assign]
    world.runs(4)
    assert {each.state for each in world.days().values()} == {DayState.ARCHIVED}
    creates = [name for kind, _, name in world.vendor.calls if kind == "create"]
    assert len(creates) == len(set(creates)) == 31
    assert len(world.vendor.downloads) == 31
    assert len(world.objects.puts) == 31 * 4
    assert len(world.events("export_archived")) == 31
    assert min(world.vendor.gaps("create")) >= 1


def test_one_of_two_runs_that_take_a_day_works_on_it() -> None:
    world = one_day()
    world.run()
    seen = world.days()[DAY]
    lease, now = timedelta(minutes=2), world.clock()
    first = export_days.take(world.rows, seen, DayState.DOWNLOADING, lease=lease, now=now)
    assert first
    assert export_days.take(world.rows, seen, DayState.DOWNLOADING, lease=lease, now=now) is None
    assert export_days.give_back(world.rows, seen, DayState.WANTED, until=now) is None, "it was taken since"
    assert export_days.give_back(world.rows, first, DayState.POLLING, until=now)


def test_two_that_archive_the_same_day_at_once_leave_one_archive() -> None:
    world = one_day()
    world.run()
    world.clock.advance(minutes=5)
    day = world.days()[DAY]
    outcomes: list[Any] = []

    def download(url: str) -> Any:
        if not outcomes:  # The other run is quicker, from end to end.
            outcomes.append(None)
            outcomes[0] = archive(world.vendor.download)
        yield from world.vendor.download(url)

    def archive(download: Any) -> Any:
        world.clock.advance(seconds=1)
        route = ExportRoute(VENDOR, world.vendor, download, world.objects, reports=None)
        return archive_day(day, "https://files.example.com/tu_1", route, world.clock)

    second = archive(download)
    assert (second.manifest, second.archived_at) == (outcomes[0].manifest, outcomes[0].archived_at)
    assert len(world.objects.puts) == 4
    archived(world)


# --- asked for again --------------------------------------------------------------------------------------------


def test_a_day_asked_for_again_is_archived_beside_its_first_archive() -> None:
    world = one_day()
    world.runs(2)
    before = dict(world.objects.objects)
    asked = export_days.ask_again(world.rows, ACCOUNT, DAY, actor="rosa", now=world.clock())
    assert (asked.state, asked.attempt) == (DayState.WANTED, 2)
    world.runs(2)
    manifest = archived(world, attempt=2)
    assert (manifest["attempt"], manifest["requested_by"]) == (2, "rosa")
    assert manifest["task_name"] == "fake-20260114-2-1"
    assert {key: world.objects.objects[key] for key in before} == before
    assert len(world.objects.objects) == 8


def test_a_day_under_way_is_not_begun_anew() -> None:
    world = one_day()
    world.run()
    asked = export_days.ask_again(world.rows, ACCOUNT, DAY, actor="rosa", now=world.clock())
    assert (asked.state, asked.attempt) == (DayState.POLLING, 1)


def test_a_failed_day_may_be_asked_for_again() -> None:
    world = one_day()
    world.vendor.download_errors = [DownloadRefused("no")]
    world.runs(2)
    export_days.ask_again(world.rows, ACCOUNT, DAY, actor="rosa", now=world.clock())
    world.runs(2)
    archived(world, attempt=2)


# --- the loop closed --------------------------------------------------------------------------------------------


def reported(body: str) -> list[str]:
    return [each.url for each in native.parse(body.encode(), ParserOptions()).urls]


def urls_of(day: date) -> list[str]:
    return [f"https://www.example.com/{day}/{n}" for n in range(5)]


def test_archived_urls_are_reported_with_their_reasons_as_categories() -> None:
    world = one_day()
    world.runs(2)
    ((body, attributes),) = world.sent
    assert attributes == {"source": "alibaba-export", "format": "native"}
    parsed = native.parse(body.encode(), ParserOptions())
    assert parsed.correlation_id == "ali-main:2026-01-14:1"
    assert parsed.urls[0] == ReportedUrl(
        "https://www.example.com/2026-01-14/0", category="phishing", reporter="alibaba:ali-main", note="PR102 phishing"
    )
    assert [each.category for each in parsed.urls] == ["phishing", "gambling", "other", "phishing", "gambling"]


def test_what_one_vendor_blocked_is_banned_at_the_other_on_managed_domains_alone() -> None:
    world = one_day()
    rows = [f"2026-01-14 01:00:00,{host},https://{host}/bad,1,PR102\r\n" for host in ("www.example.com", "else.test")]
    world.vendor.download = lambda url: iter(["".join(rows).encode()])  # type: ignore[method-assign]
    world.runs(2)
    banning = World(sources=parse_sources({"alibaba-export": {"auth": "none", "format": "native"}}))
    for _ in range(2):  # The run sends it again after a crash.
        banning.send(world.sent)
    banning.minutes(5)
    assert banning.state("https://www.example.com/bad") == "banned"
    assert banning.state("https://else.test/bad") == "unknown"
    assert banning.live_bans("https://www.example.com/bad") == 1


def test_urls_are_reported_before_the_day_counts_as_archived() -> None:
    world = one_day()
    world.run()
    world.clock.advance(minutes=5)

    class Down:
        def send(self, messages: object) -> None:
            raise ConnectionError("the queue does not answer")

    send = world.send
    world.send = Down().send  # type: ignore[method-assign]
    world.run()
    assert world.keys(DAY).manifest not in world.objects.objects
    world.send = send  # type: ignore[method-assign]
    world.runs(1)
    archived(world)
    assert len(world.sent) == 1


def test_urls_are_reported_only_where_that_is_wanted() -> None:
    world = one_day()
    world.reporting = False
    world.runs(2)
    assert world.sent == []
    assert archived(world)["urls_reported"] is None


def test_a_message_holds_a_thousand_urls_and_200_kilobytes_at_the_most() -> None:
    world = one_day()
    rows = [f"2026-01-14 01:00:00,a.example.com,https://a.example.com/{n},1,PR102\r\n" for n in range(2_500)]
    rows += [f"2026-01-14 01:00:00,a.example.com,https://a.example.com/{n}{'x' * 1000},1,PR102\r\n" for n in range(300)]
    world.vendor.download = lambda url: iter(["".join(rows).encode()])  # type: ignore[method-assign]
    world.runs(2)
    sizes = [len(reported(body)) for body, _ in world.sent]
    assert sum(sizes) == 2_800
    assert max(sizes) == 1_000
    assert max(len(body) for body, _ in world.sent) < 256 * 1024
    assert json.loads(world.sent[0][0])["category"] == "phishing"
