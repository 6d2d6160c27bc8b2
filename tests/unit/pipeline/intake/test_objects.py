"""S3 events name bodies in our own intake bucket alone; the prefix of a key names the source of the report."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.aws.s3 import MAX_OBJECT, IntakeBodies
from chalicelib.config.sources import parse as parse_sources
from chalicelib.domain.errors import InputError, TooLarge, TooManyRequests
from chalicelib.pipeline.intake.batch import Taken, intake_reports
from chalicelib.pipeline.intake.envelopes import Reading
from chalicelib.reports.envelope import ObjectReference, unwrap
from dev.fakes.world import SOURCES, World, pages

BUCKET = "our-intake"


class FakeS3:
    """Objects by key and version; an error under a key is raised."""

    def __init__(self, **objects: bytes | Exception) -> None:
        self.objects: dict[str, bytes | Exception] = dict(objects)
        self.asked: list[dict[str, str]] = []

    def get_object(self, **asked: str) -> dict[str, Any]:
        self.asked.append(asked)
        found = self.objects[asked["Key"]]
        if isinstance(found, Exception):
            raise found
        return {"Body": io.BytesIO(found), "ContentLength": len(found)}


def lists() -> World:
    """Make a world whose source ``queue`` puts lists of URLs into the bucket."""
    return World(sources=parse_sources({**SOURCES, "queue": {"auth": "none", "format": "plain"}}))


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "GetObject")


def notification(*keys: str, bucket: str = BUCKET, size: int | None = 20) -> str:
    records = [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": size, "versionId": "v1"}},
        }
        for key in keys
    ]
    return json.dumps({"Records": records})


def take(world: World, s3: FakeS3, *bodies: str, **attributes: str) -> Taken:
    world.send([(body, attributes) for body in bodies])
    batch, world.queued = world.queued, []
    return intake_reports(world.run(), batch, Reading(world.sources, IntakeBodies(s3, BUCKET)))


def test_an_object_in_the_intake_bucket_is_a_report_of_the_source_that_its_key_begins_with() -> None:
    world, s3 = lists(), FakeS3(**{"queue/today/list.txt": "\n".join(pages(3)).encode()})
    outcome = take(world, s3, notification("queue/today/list.txt"))
    assert outcome.failed == []
    assert outcome.verdicts["ban"] == 3
    assert s3.asked == [{"Bucket": BUCKET, "Key": "queue/today/list.txt", "VersionId": "v1"}]
    world.drain()
    world.minutes(3)
    assert world.states(pages(3)) == {"banned": 3}


class Chunked(FakeS3):
    """Answers in chunks, and so without a length, as S3 may behind a proxy."""

    def get_object(self, **asked: str) -> dict[str, Any]:
        answer = super().get_object(**asked)
        del answer["ContentLength"]
        return answer


def test_an_answer_without_a_length_is_read_and_bounded_by_what_is_read() -> None:
    world, s3 = lists(), Chunked(**{"queue/list.txt": "\n".join(pages(3)).encode(), "queue/big.txt": b"x" * 30})
    assert take(world, s3, notification("queue/list.txt")).verdicts["ban"] == 3
    world.send([(notification("queue/big.txt"), {})])
    batch, world.queued = world.queued, []
    fetch = IntakeBodies(s3, BUCKET, max_bytes=29)
    assert intake_reports(world.run(), batch, Reading(world.sources, fetch)).failed == [batch[0]["messageId"]]


def test_an_event_of_eventbridge_names_an_object_as_well() -> None:
    detail = {"bucket": {"name": BUCKET}, "object": {"key": "queue/a b.txt", "size": 40}}
    event = json.dumps({"detail-type": "Object Created", "source": "aws.s3", "detail": detail})
    world, s3 = lists(), FakeS3(**{"queue/a b.txt": pages(1)[0].encode()})
    assert take(world, s3, event).verdicts["ban"] == 1


def test_the_key_says_who_reports_an_object_and_no_attribute_can_name_another_source() -> None:
    source = {"auth": "none", "format": "plain"}
    world = World(sources=parse_sources({"queue": source, "other": {**source, "hosts": ["img.example.com"]}}))
    s3 = FakeS3(**{"queue/list.txt": pages(1)[0].encode(), "nobody/list.txt": pages(1)[0].encode()})
    assert take(world, s3, notification("nobody/list.txt"), source="queue").failed == ["m1"]
    assert take(world, s3, notification("queue/list.txt"), source="other").verdicts["ban"] == 1


def test_folders_and_what_services_put_into_the_bucket_are_ignored() -> None:
    world, s3 = lists(), FakeS3(**{"queue/a.txt": pages(1)[0].encode()})
    keys = ["queue/day/", "queue/AWSLogs/1/x.gz", "queue/_SUCCESS", "queue/.DS_Store", "queue/day_$folder$"]
    outcome = take(world, s3, *[notification(key, size=0) for key in keys], notification(*keys, "queue/a.txt", size=0))
    assert outcome.failed == []
    assert outcome.verdicts["ban"] == 1
    assert [asked["Key"] for asked in s3.asked] == ["queue/a.txt"]
    assert not world.events("message_unreadable")


@pytest.mark.parametrize("stated", [None, 0, -5, True])
def test_the_size_that_s3_states_counts_and_not_the_one_of_the_event(stated: Any) -> None:
    bodies = IntakeBodies(FakeS3(one=b"x" * 1_000, two=b"x" * 1_000), BUCKET, batch_urls=70)
    event = json.loads(notification("one", size=stated))
    (reference,) = unwrap(json.dumps(event), {}).objects
    assert bodies(reference)
    with pytest.raises(TooManyRequests):
        bodies(ObjectReference(BUCKET, "two", size=0))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (notification("nobody/list.txt"), "the first part of the object's key is 'nobody'"),
        (notification("list.txt"), "the first part of the object's key is 'list.txt'"),
        (notification("queue/a.txt", "desk/a.txt"), "several sources"),
        (notification("queue/a.txt", bucket="somebody-elses"), "'somebody-elses' is not the intake bucket"),
        (notification("queue/a.txt", size=MAX_OBJECT + 1), "more than 10,485,760 bytes"),
        (notification("queue/gone.txt"), "cannot be read: NoSuchKey"),
        (notification("queue/unreachable.txt"), "cannot be read: EndpointConnectionError"),
    ],
)
def test_an_object_that_must_not_or_cannot_be_read_fails_its_own_message_alone(body: str, problem: str) -> None:
    s3 = FakeS3(**{"queue/fine.txt": pages(1)[0].encode()})
    s3.objects["queue/gone.txt"] = refused("NoSuchKey")
    s3.objects["queue/unreachable.txt"] = EndpointConnectionError(endpoint_url="https://s3")
    world = lists()
    outcome = take(world, s3, body, notification("queue/fine.txt"))
    assert outcome.failed == ["m1"]
    assert outcome.verdicts["ban"] == 1
    assert problem in world.events("message_unreadable")[0]["problem"]


def test_an_object_that_is_larger_than_its_event_says_is_not_read_to_its_end() -> None:
    bodies = IntakeBodies(FakeS3(big=b"x" * 101), BUCKET, max_bytes=100)
    for said in (None, 5):
        with pytest.raises(TooLarge, match="more than 100 bytes"):
            bodies(ObjectReference(BUCKET, "big", size=said))


def test_a_batch_takes_no_more_objects_than_fit_into_it_and_the_rest_comes_again() -> None:
    s3 = FakeS3(one=b"x" * 1_000, two=b"x" * 1_000)
    bodies = IntakeBodies(s3, BUCKET, batch_urls=70)
    assert bodies(ObjectReference(BUCKET, "one", size=1_000))
    with pytest.raises(TooManyRequests, match="delivered again"):
        bodies(ObjectReference(BUCKET, "two", size=1_000))
    with pytest.raises(TooManyRequests, match="delivered again"):
        bodies(ObjectReference(BUCKET, "two"))


def test_without_an_intake_bucket_no_object_is_read() -> None:
    world = lists()
    world.send([(notification("queue/list.txt"), {})])
    assert world.intake().failed == ["m1"]
    assert "no intake bucket" in world.events("message_unreadable")[0]["problem"]


@pytest.mark.parametrize("event", ["s3:TestEvent", "ObjectRemoved:Delete"])
def test_an_event_that_carries_no_report_is_acknowledged(event: str) -> None:
    body = {"Service": "Amazon S3", "Event": event, "Bucket": BUCKET}
    if event != "s3:TestEvent":
        body = {"Records": [{"eventSource": "aws:s3", "eventName": event, "s3": {}}]}  # type: ignore[dict-item]
    world = lists()
    assert take(world, FakeS3(), json.dumps(body)).failed == []
    assert not world.events("message_unreadable")


def test_an_error_of_ours_is_not_taken_for_one_of_the_message() -> None:
    with pytest.raises(KeyError):
        IntakeBodies(FakeS3(), BUCKET)(ObjectReference(BUCKET, "never-put", size=1))
    assert issubclass(TooManyRequests, InputError)
