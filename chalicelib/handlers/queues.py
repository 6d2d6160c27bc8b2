"""Functions that a queue starts: take its messages, run the pipeline, answer which of them SQS must deliver again.

The names of the Lambda functions stand in ``app.py``. Each ``MARGIN`` is the time that a run leaves unused at its end,
so that the function ends by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.bootstrap import Services
from chalicelib.pipeline.run import Run, each_account

if TYPE_CHECKING:
    from chalicelib.aws.sqs import HeldMessage

INTAKE_MARGIN = timedelta(seconds=25)
"""Covers one message that takes too long to read, and the writes for the messages that were read."""

MOST_RECEIVES = 500
"""A wake-up is replaced by a new one after so many deliveries. After 1,000 the queue would make it a dead letter."""

SUBMIT_MARGIN = timedelta(seconds=40)
"""One vendor call that times out, writing down its result, and slack."""


def take_queued_reports(services: Services, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Take a batch of messages with reports; answer which of them SQS must deliver again.

    A message that failed for a cause that passes (AWS throttled a call, another intake changed a claim) comes again
    within seconds. A message that cannot be read comes again at the queue's own pace, until it is a dead letter.
    """
    from chalicelib.pipeline.intake.batch import intake_reports
    from chalicelib.pipeline.intake.envelopes import Reading

    records = event["Records"]
    reading = Reading(services.sources, services.intake_bodies())
    try:
        taken = intake_reports(services.run(context, INTAKE_MARGIN), records, reading)
    except Exception:
        services.deliver_soon(records)
        raise
    passing = set(taken.failed) - taken.unreadable
    services.deliver_soon([record for record in records if record["messageId"] in passing])
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in taken.failed]}


def follow_wake_up(services: Services, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Submit what waits at the account that a wake-up names, or follow its young tasks.

    Answers whether SQS must deliver the wake-up again.
    """
    (record,) = event["Records"]
    message = services.held_message("submit_queue_url", record)
    message.beat()
    from chalicelib.pipeline.waking import TRACKER

    account = message.account.removesuffix(TRACKER)
    work = _drain if account == message.account else _track_young
    run = replace(services.run(context, SUBMIT_MARGIN), beat=message.beat)
    (again_after,) = each_account(run, [account], lambda run: work(services, run, message)).values()
    return {"batchItemFailures": []} if again_after is None else message.give_back(again_after)


def _drain(services: Services, run: Run, message: HeldMessage) -> int | None:  # noqa: ARG001, as _track_young
    from chalicelib.pipeline.submission.submit import submit_tasks

    return 0 if submit_tasks(run, services.vendor(run.account)).unfinished else None


def _track_young(services: Services, run: Run, message: HeldMessage) -> int | None:
    """Follow young tasks. A wake-up that has come back often is replaced by a new one, before it counts as poison."""
    from chalicelib.pipeline.submission.track import track_young
    from chalicelib.pipeline.waking import begin_tracking, wake_tracker

    begin_tracking(run, message.id)
    tracked = track_young(run, services.vendor(run.account))
    if tracked.again_after is not None and message.receives >= MOST_RECEIVES:
        wake_tracker(run, run.account)
        return None
    return tracked.again_after
