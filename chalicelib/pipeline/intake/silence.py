"""Tell of queued reports that name nothing: a source that used to name URLs and stops has changed what it sends."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.ledger import naming
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.intake.ours import tell_silence
from chalicelib.pipeline.run import Run


def look_at(run: Run, messages: Sequence[Message]) -> None:
    """Note which sources of a batch named URLs, and tell of the messages that name nothing."""
    now = run.clock()
    naming_now = {message.source.name for message in messages if not message.names_nothing}
    silent = [message for message in messages if message.names_nothing]
    naming.note(run.rows, naming_now, now=now)
    usual = naming_now | naming.lately(run.rows, {message.source.name for message in silent} - naming_now, now=now)
    for message in silent:
        is_usual = message.source.name in usual or message.source.may_name_nothing
        tell_silence(run, message.source.name, message.report_id, skipped=message.skipped, usual=is_usual)
