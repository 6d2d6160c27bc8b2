"""Leave out URLs that a source reports and takes back in the same batch: then it says nothing about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from chalicelib.domain.errors import UnusableUrl
from chalicelib.domain.model import ReportedUrl, SchemeVariants, Withdrawal
from chalicelib.domain.policy.model import Policy
from chalicelib.domain.urls import canonical_url, scheme_variant
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.intake.on_record import said_at


def without_taken_back(messages: Sequence[Message], policy: Policy) -> list[Message]:
    """Return the messages without the URLs that the same source takes back in the same batch."""
    moments = _taken_back_up_to(messages, together=policy.scheme_variants is SchemeVariants.TOGETHER)
    if not moments:
        return list(messages)
    left = []
    for message in messages:
        urls = [each for each in message.urls if not _taken_back(message, each, moments)]
        left.append(message if len(urls) == len(message.urls) else replace(message, urls=tuple(urls)))
    return left


def _taken_back_up_to(messages: Sequence[Message], *, together: bool) -> dict[tuple[str, str], datetime]:
    """Map source and canonical URL to the moment up to which the messages of a batch take back what it says.

    ``together``: a withdrawal of one scheme variant of a URL takes back both.
    """
    moments: dict[tuple[str, str], datetime] = {}
    for message in messages:
        reported = reported_urls(message) if message.withdrawals else set()
        for withdrawal in message.withdrawals if not message.test else ():
            with suppress(UnusableUrl):
                url = canonical_url(withdrawal.url)
                moment = up_to(message, withdrawal)
                for spelling in (url, scheme_variant(url) if together else "") if url not in reported else ():
                    key = (message.source.name, spelling)
                    moments[key] = max(moment, moments.get(key, moment))
    return moments


def _taken_back(message: Message, reported: ReportedUrl, moments: Mapping[tuple[str, str], datetime]) -> bool:
    try:
        moment = moments.get((message.source.name, canonical_url(reported.url)))
    except UnusableUrl:
        return False
    return moment is not None and said_at(message, reported) <= moment


def up_to(message: Message, withdrawal: Withdrawal) -> datetime:
    """Return the moment up to which a message takes back what its source says of a URL."""
    return min(withdrawal.said_at or message.received_at, message.received_at)


def reported_urls(message: Message) -> set[str]:
    """Return the URLs that a message reports: it does not withdraw these, but another report of them."""
    urls = set()
    for reported in message.urls:
        with suppress(UnusableUrl):
            urls.add(canonical_url(reported.url))
    return urls
