"""A topic: messages to people who subscribed."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.domain.errors import NotNotified

LONGEST_SUBJECT = 99
"""The most characters of a subject: SNS takes fewer than 100, only ASCII, and no line end."""


class Topic:
    """An SNS topic: implements ``ports.Notify``."""

    def __init__(self, client: Any, arn: str) -> None:
        self._client = client
        self._arn = arn

    def __call__(self, subject: str, text: str) -> None:
        """See ``Notify``."""
        plain = "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in subject)
        try:
            self._client.publish(TopicArn=self._arn, Subject=plain[:LONGEST_SUBJECT], Message=text)
        except (BotoCoreError, ClientError) as error:
            raise NotNotified(f"SNS did not take the message: {type(error).__name__}: {error}") from error
