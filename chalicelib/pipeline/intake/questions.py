"""Ask a person whether bans are to be lifted, since all their sources took their words back: a hold asks.

The claim of a URL names the hold that asks about it, so that a later withdrawal finds it. The hold is on record before
the claims name it. If the function dies in between, the message comes again, and finds the hold among the chunks that
were made since the message was received.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from chalicelib.domain.model import Action, ChunkState, Rule
from chalicelib.ledger import chunks, remaining
from chalicelib.ledger.chunks import Chunk, Origin
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.row import stamp
from chalicelib.pipeline.intake.messages import Message
from chalicelib.pipeline.lifecycle import claiming
from chalicelib.pipeline.run import Run

ASKING = frozenset({ChunkState.OPEN, ChunkState.HELD})
"""States of a question that a person has not answered."""


def chunk_of(message: Message, account: str, selected: Collection[Claim], action: Action, now: datetime) -> Chunk:
    """Make the chunk of URLs whose last word a message takes back: an unban, or a hold that asks about the bans."""
    why = "the source took its report back"
    origin = Origin(message.report_id, message.source.name, "", "", why)
    return Chunk(
        account=account,
        action=action,
        ban_days=1,
        rule=Rule.WITHDRAWN,
        urls=tuple(claim.url for claim in selected),
        keys=tuple(claim.key for claim in selected),
        origins=(origin,) * len(selected),
        created_at=now,
        received_at=message.received_at,
        until=now,
        actor=f"source:{message.source.name}",
        reason=why,
    )


class Questions:
    """The questions about bans at one account whose last word a message takes back."""

    def __init__(self, run: Run, message: Message, account: str, *, again: bool) -> None:
        self._run = run
        self._message = message
        self._account = account
        self._again = again
        """Whether the message was received before."""

    def ask(self, selected: Sequence[Claim]) -> str:
        """Ask about these bans; return the id of the hold, empty if there are none."""
        if not selected:
            return ""
        chunk = chunk_of(self._message, self._account, selected, Action.BAN, self._run.clock())
        claiming.begin(self._run, chunk, {}, then=ChunkState.HELD)
        return chunk.id

    def open_about(self, selected: Sequence[Claim]) -> dict[str, str]:
        """Return the open question about each URL that has one. The sweep seals one whose maker was killed.

        A question that a person has answered is not open: the answer may have read the claims before the words are
        taken back.
        """
        rows, account = self._run.rows, self._account
        works = [*remaining.among(rows, account, {claim.asked for claim in selected if claim.asked}).values()]
        if self._again:
            works += remaining.of_account(rows, account, after=stamp(self._message.received_at))
        questions = {
            work.chunk: work
            for work in works
            if work.rule == Rule.WITHDRAWN and work.action is Action.BAN and work.state in ASKING and not work.approving
        }
        chunks_by_id = chunks.read(rows, questions) if questions else {}
        return {
            key: chunk.id
            for chunk in chunks_by_id.values()
            for position, key in enumerate(chunk.keys)
            if position not in questions[chunk.id].excluded
        }
