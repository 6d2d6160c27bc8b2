"""Messages to people: a topic of the local AWS and the fake take the same ones and refuse the same ones."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.aws.sns import Topic
from chalicelib.domain.errors import NotNotified
from chalicelib.ports import Notify
from dev.fakes.world import World
from dev.local_aws import LocalAws


@pytest.fixture(params=["fake", "topic"])
def notify(request: pytest.FixtureRequest) -> Notify:
    if request.param == "fake":
        return World().notify
    aws: LocalAws = request.getfixturevalue("bare_aws")
    return Topic(aws.sns, aws.sns.create_topic(Name="holds")["TopicArn"])


def test_a_message_of_many_lines_and_any_letters_is_taken(notify: Notify) -> None:
    notify("edgeban: 1 new hold with 1 URL to decide", "one\ntwo — Ünïcödé \N{PILE OF POO}")


class Publishing:
    """A client that keeps what is published."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []

    def publish(self, **message: Any) -> None:
        self.published.append(message)


def test_a_subject_is_one_line_of_ascii_below_a_hundred_characters() -> None:
    client = Publishing()
    Topic(client, "arn")("edgeban:\n Ü" + "x" * 200, "text")
    (message,) = client.published
    assert message["Subject"].startswith("edgeban:? ?x")
    assert len(message["Subject"]) == 99


def test_a_topic_that_is_gone_is_told_as_not_notified(bare_aws: LocalAws) -> None:
    topic = Topic(bare_aws.sns, "arn:aws:sns:us-east-1:000000000000:gone")
    with pytest.raises(NotNotified, match="SNS did not take the message"):
        topic("subject", "text")
