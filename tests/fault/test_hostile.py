"""The worst that strangers may send is refused as declared, within bounds, and without a trace (I9).

``make fuzz`` is the long form of the first two.
"""

from __future__ import annotations

import gzip
import json
from datetime import timedelta

import pytest

from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import BadSignature, ConfigurationError, Conflict, InputError, TooLarge
from chalicelib.reports.signature import sign
from dev.fakes.rows import MemoryRows
from dev.fakes.world import SECRET, SOURCES, World, pages
from dev.fault import fuzz

OTHER_SECRET = "whsec_" + "b3RoZXIh" * 5
BODY = json.dumps({"urls": pages(3)}).encode()


def test_no_mutated_input_gets_anything_but_a_declared_refusal() -> None:
    totals = fuzz.run_batch(7, 0, 6_000)
    assert not totals.findings, "\n".join(totals.findings)
    assert all(totals.inputs[name] > 100 for name in fuzz.READERS)


def test_the_largest_bodies_of_every_evil_kind_are_read_within_256_megabytes() -> None:
    each_way_of_reading = ["parser native", "parser plain", "parser tweetfeed", "parser feedback-mail", "message"]
    totals = fuzz.run_bombs(each_way_of_reading, processes=2)
    assert not totals.findings, "\n".join(totals.findings)
    assert totals.megabytes <= fuzz.MAX_MEGABYTES


def test_every_reader_takes_something_of_what_it_is_tried_with() -> None:
    """Otherwise only the first lines of a reader would be tried."""
    refusing = {"signature", "signed body"}  # ``read_signed`` and ``read_resigned`` refuse all.
    totals = fuzz.Totals()
    for name, reader in fuzz.READERS.items():
        for data in reader.corpus:
            fuzz.try_one(name, data, totals)
    assert not [name for name in fuzz.READERS if not totals.accepted[name] and name not in refusing]


def test_a_secret_that_is_no_text_is_refused_as_configuration() -> None:
    with pytest.raises(ConfigurationError):
        parse_sources({"hub": {"auth": "hub-sha256", "secrets": ["01234567\ud80089abcdef"]}})


# --- the signed door ------------------------------------------------------------------------------------------


def untouched(world: World) -> bool:
    assert isinstance(world.rows, MemoryRows)
    return not world.rows.rows and not world.queued


def left_a_count_alone(world: World, source: str = "desk") -> bool:
    """Whether only a count of refusals is left, of a source with a right signature."""
    assert isinstance(world.rows, MemoryRows)
    return {pk for pk, _ in world.rows.rows} == {f"report#refused#{source}"} and not world.queued


def refused(world: World, **how: object) -> InputError:
    with pytest.raises(InputError) as caught:
        world.post(BODY, **how)  # type: ignore[arg-type]
    assert untouched(world)
    return caught.value


@pytest.mark.parametrize("skew", [-86_400, -301, 301, 86_400, 10**9])
def test_a_timestamp_more_than_five_minutes_off_is_refused(skew: int) -> None:
    world = World()
    assert isinstance(refused(world, at=world.clock() + timedelta(seconds=skew)), BadSignature)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "\0",
        "a\r\nx-injected: 1",
        "a\nb",
        "\ud800",
        "é" * 9,
        "1" * 5_000,
        "v1,",
        "v2," + "A" * 44,
        "-1",
        "1e9",
        "٣",
    ],
)
def test_a_header_that_is_stripped_or_spoilt_is_refused(name: str, value: str) -> None:
    assert isinstance(refused(World(), headers={name: value}), BadSignature)


def test_a_header_that_is_there_twice_is_refused() -> None:
    assert isinstance(refused(World(), headers={"Webhook-Id": "w2"}), BadSignature)


def test_the_secret_of_another_source_opens_nothing() -> None:
    world = World(sources=parse_sources({**SOURCES, "other": {"auth": "standard-webhooks", "secrets": [OTHER_SECRET]}}))
    assert isinstance(refused(world, secret=OTHER_SECRET), BadSignature)
    assert isinstance(refused(world, source="other"), BadSignature)


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "", "authorization": f"Bearer {SECRET}"},
        {"webhook-signature": "", "x-hub-signature-256": "sha256=" + "0" * 64},
    ],
)
def test_no_other_scheme_stands_in_for_a_stripped_signature(headers: dict[str, str]) -> None:
    assert isinstance(refused(World(), headers=headers), BadSignature)


def test_a_source_of_the_queue_alone_cannot_be_posted_to() -> None:
    assert isinstance(refused(World(), source="queue"), BadSignature)


def test_a_replay_within_the_tolerance_is_the_same_report() -> None:
    world = World()
    first = world.post(BODY)
    world.clock.advance(seconds=200)
    assert world.post(BODY, at=world.clock() - timedelta(seconds=200)).report_id == first.report_id
    world.minutes(5)
    assert {world.live_bans(url) for url in pages(3)} == {1}


def test_a_captured_signature_holds_for_no_other_body() -> None:
    world = World()
    captured = sign(SECRET, "w1", int(world.clock().timestamp()), BODY)
    other = json.dumps({"urls": pages(4)}).encode()
    with pytest.raises(BadSignature):
        world.post(other, headers={"webhook-signature": captured})
    assert untouched(world)


def test_a_used_id_takes_no_second_body() -> None:
    world = World()
    world.post(BODY)
    with pytest.raises(Conflict):
        world.post({"urls": pages(4)})
    assert len(world.queued) == 1


def test_a_compressed_body_is_unpacked_and_a_bomb_is_not() -> None:
    world = World()
    bomb = gzip.compress(b'{"urls": ["' + b" " * 11 * 1024 * 1024)
    with pytest.raises(TooLarge, match="when it is unpacked"):
        world.post(bomb, headers={"Content-Encoding": "gzip"})
    assert left_a_count_alone(world)
    assert world.post(gzip.compress(BODY), headers={"Content-Encoding": "gzip"}).accepted == 3


@pytest.mark.parametrize(
    "body",
    [
        b'{"urls": ["https://www.example.com/a"], "correlation_id": "\\ud800"}',
        b'{"urls": ["https://www.example.com/a"], "urls": []}',
        b'{"urls": ["https://www.example.com/a"], "ban_duration": 1e999}',
        b'{"urls": ["https://www.example.com/a"], "ban_duration": ' + b"9" * 5_000 + b"}",
        b'{"urls": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"urls": "https://www.example.com/a"}',
        b"\xff\xfe{",
        b"",
        b"\0" * 100,
    ],
)
def test_a_signed_body_that_cannot_be_trusted_leaves_no_more_than_a_count(body: bytes) -> None:
    world = World()
    with pytest.raises(InputError):
        world.post(body)
    assert left_a_count_alone(world)


def test_a_url_that_could_break_a_line_or_a_header_is_refused_by_itself() -> None:
    world = World()
    evil = ["https://www.example.com/a\r\nHost: b", "https://www.example.com/\0", "https://www.example.com/\u2028"]
    receipt = world.post({"urls": [*evil, *pages(1)]})
    assert receipt.accepted == 1
    world.minutes(5)
    assert [url for _, urls, _ in world.vendor.calls for url in urls] == pages(1)
