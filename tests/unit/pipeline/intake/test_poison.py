"""A message that fails or takes too long fails alone: the others of its batch are taken."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import LedgerUnavailable
from chalicelib.domain.urls import url_key
from chalicelib.pipeline.intake.batch import intake_reports
from chalicelib.pipeline.intake.envelopes import Reading
from chalicelib.pipeline.intake.time_limit import TookTooLong, time_limit
from chalicelib.reports.envelope import ObjectReference
from dev.fakes.world import ACCOUNT, SOURCES, World, pages

LISTS = parse_sources({**SOURCES, "queue": {"auth": "none", "format": "plain"}})


def queued(*bodies: str, receives: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "messageId": f"m{number}",
            "body": body,
            "attributes": {"SentTimestamp": "1768465800000", "ApproximateReceiveCount": str(receives)},
            "messageAttributes": {"source": {"stringValue": "queue", "dataType": "String"}},
        }
        for number, body in enumerate(bodies)
    ]


def of_object(key: str) -> str:
    s3 = {"bucket": {"name": "b"}, "object": {"key": key, "size": 9}}
    return json.dumps({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": s3}]})


def test_a_message_that_takes_too_long_to_read_fails_alone_at_its_first_receive() -> None:
    world = World(sources=LISTS)

    def fetch(reference: ObjectReference) -> bytes:
        while "slow" in reference.key:
            sum(range(1_000))
        return pages(1)[0].encode()

    batch = queued(of_object("queue/slow.txt"), of_object("queue/honest.txt"), pages(2)[1])
    taken = intake_reports(world.run(), batch, Reading(LISTS, fetch, seconds=0.1))
    assert taken.failed == ["m0"]
    assert taken.verdicts["ban"] == 2
    (event,) = world.events("message_unreadable")
    assert (event["message_id"], event["problem"]) == ("m0", "TookTooLong")


def test_a_message_that_a_reader_stumbles_over_fails_alone() -> None:
    world = World(sources=LISTS)

    def fetch(_: ObjectReference) -> bytes:
        raise RecursionError

    taken = intake_reports(world.run(), queued(of_object("queue/a"), *pages(3)), Reading(LISTS, fetch))
    assert taken.failed == ["m0"]
    assert taken.verdicts["ban"] == 3


def test_what_was_received_before_is_taken_one_by_one_whatever_made_the_batch_fail() -> None:
    world = World(sources=LISTS)
    poison = (f"url#{url_key(ACCOUNT, pages(5)[2])}", "claim")

    class Torn:
        """A ledger that fails every read that includes the poison."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.rows, name)

        def get(self, keys: Any, **how: Any) -> Any:
            if poison in keys:
                raise OSError("this batch cannot be taken")
            return world.rows.get(keys, **how)

    run = replace(world.run(), rows=Torn())
    with pytest.raises(OSError, match="cannot be taken"):
        intake_reports(run, queued(*pages(5)), Reading(LISTS))
    taken = intake_reports(run, queued(*pages(5), receives=2), Reading(LISTS))
    assert taken.failed == ["m2"]
    assert taken.verdicts["ban"] == 4
    assert [event["message_id"] for event in world.events("message_failed")] == ["m2"]


def test_an_outage_of_the_ledger_is_an_error_of_the_function_however_often_messages_came() -> None:
    world = World(sources=LISTS)

    class Away:
        def __getattr__(self, _: str) -> Any:
            raise LedgerUnavailable("DynamoDB is away")

    run = replace(world.run(), rows=Away())
    with pytest.raises(LedgerUnavailable):
        intake_reports(run, queued(*pages(3), receives=3), Reading(LISTS))


def test_what_is_not_read_when_the_time_is_up_comes_again() -> None:
    world = World(sources=LISTS)
    run = world.run(seconds=0)
    world.clock.now += timedelta(seconds=1)
    assert intake_reports(run, queued(*pages(3)), Reading(LISTS)).failed == ["m0", "m1", "m2"]
    assert intake_reports(run, queued(*pages(3), receives=2), Reading(LISTS)).failed == ["m0", "m1", "m2"]


def test_a_time_limit_passes_what_swallows_every_exception_and_leaves_no_alarm_behind() -> None:
    def busy() -> None:
        while True:
            try:
                sum(range(1_000))
            except Exception:  # noqa: BLE001, as libraries do
                continue

    with pytest.raises(TookTooLong), time_limit(0.05):
        busy()
    with time_limit(0.02):
        pass
    time.sleep(0.04)  # An alarm that was left would end this test.
