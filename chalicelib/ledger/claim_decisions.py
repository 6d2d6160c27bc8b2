"""What people decide about claimed URLs: unbans with their cool-downs, and holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from chalicelib.domain.model import Rule, UrlState
from chalicelib.ledger import KEEP
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claims import NO_WORDS, Claim, Taking, key_of, read, remembered, shared_by_claims, take
from chalicelib.ledger.packed_words import (
    all_words,
    held_only,
    marked,
    no_longer_undone,
    undone_sources,
)
from chalicelib.ledger.row import epoch
from chalicelib.ports import Row, Rows, Update, Value


def unban(
    rows: Rows,
    chunk: Chunk,
    claims_by_key: Mapping[str, Claim],
    *,
    unended: Collection[str] = frozenset(),
    left: Mapping[str, bytes] = NO_WORDS,
) -> set[str]:
    """Mark the URLs of an unban chunk, each by one conditional write; return the keys that it unbans.

    From here on the operator's word is in force, whatever the ledger knew of the URL: reports are suppressed until the
    cool-down ends, at the chunk's ``until``. A URL that the ledger did not know gets a claim whose ``chunk`` is the
    unban chunk. Safe to repeat, as ``claim`` is.

    An earlier cool-down stays in force if it ends later. If a source or a report is undone (``Rule.UNDO``), the
    cool-down binds only the sources that had asked for the ban: each of them leaves a marker until its end. ``left``
    are the words of the other sources. Without ``left``, the words stay that ask for a person's decision. If a source
    withdrew its word (``Rule.WITHDRAWN``), ``left`` holds its marker as well.

    ``unended`` are earlier unbans that are still on their way. A claim remembers those of its URL.
    """
    marked: set[str] = set()
    takings: list[Taking] = []
    change: Row = {
        "outcome": UrlState.UNBANNED.value,
        "unban": chunk.id,
        "reason": chunk.reason[:300],
        "cool_until": epoch(chunk.until),
        "expires_at": epoch(chunk.until + KEEP),
    }
    shared = {**shared_by_claims(chunk, held=False), "until": epoch(chunk.created_at), **change}
    for key, url, origin in zip(chunk.keys, chunk.urls, chunk.origins, strict=True):
        old = claims_by_key.get(key)
        if old is not None and old.unban == chunk.id:
            marked.add(key)
            continue
        row = {"url": url, "report": origin.report, **shared}
        update = None
        if old is not None:
            unchanged: Row = {"chunk": old.chunk, "outcome": old.outcome or None, "unban": old.unban or None}
            set_to = {**change, **_after_unban(chunk, old, left.get(key)), **remembered(old, unended)}
            update = Update(key_of(key), set=set_to, expect=unchanged)
        takings.append(Taking(key, row, update))
    return marked | take(rows, takings, lambda claim: claim.unban == chunk.id)


def _after_unban(chunk: Chunk, old: Claim, left: bytes | None) -> Row:
    """Return the changes of an unban that depend on the claim before it; ``left`` are the words that stay."""
    until = epoch(chunk.until)
    binds_some = undone_sources(old.words, chunk.created_at)
    takes_back = chunk.rule in {Rule.UNDO, Rule.WITHDRAWN}  # what binds some sources alone ends no decision for all
    stands = old.cool_until > (epoch(chunk.created_at) if takes_back else until)
    if stands and not binds_some:
        return {"cool_until": old.cool_until, "expires_at": old.cool_until + int(KEEP.total_seconds())}
    if chunk.rule == Rule.WITHDRAWN and left is not None:
        return {"words": left}
    if takes_back:
        standing = held_only(old.words) if left is None else left
        return {"words": marked(old.words, standing, until=chunk.until)} if old.words else {}
    return {"words": no_longer_undone(old.words, chunk.created_at)} if binds_some else {}


def leave_hold(rows: Rows, claim: Claim, words: bytes) -> bool:
    """End the claim of a URL that left its hold, because no source asks for its ban any more."""
    change: Row = {
        "outcome": UrlState.SUPPRESSED.value,
        "reason": "its sources took their reports back",
        "words": words,
    }
    unchanged: Row = {"chunk": claim.chunk, "outcome": None, "words": claim.words or None, "held": claim.held or None}
    return rows.apply(Update(key_of(claim.key), set=change, expect=unchanged))


def forget_cool_down(rows: Rows, keys: Sequence[str], *, unban: str) -> None:
    """End the cool-down of URLs whose ban was undone before any vendor had it, if the claims still name this unban."""
    rows.write(
        [
            Update(
                key_of(claim.key),
                set={"words": all_words(claim.words)} if claim.words else {},
                expect={"unban": unban, "words": claim.words or None},
                remove=("cool_until",),
            )
            for claim in read(rows, keys, consistent=True).values()
            if claim.unban == unban
        ]
    )


def cool_longer(rows: Rows, unbanned: Sequence[Claim], *, until: datetime) -> set[str]:
    """Extend the cool-downs of URLs to a moment, if it is later; return the keys that are still unbanned as read."""
    shorter = [claim for claim in unbanned if claim.cool_until < epoch(until)]
    change: Row = {"cool_until": epoch(until), "expires_at": epoch(until + KEEP)}
    failed = rows.write([Update(key_of(claim.key), set=change, expect={"unban": claim.unban}) for claim in shorter])
    return {claim.key for claim in unbanned} - {shorter[index].key for index in failed}


def refuse(rows: Rows, keys: Iterable[str], *, chunk: str, reason: str, until: datetime) -> None:
    """Record that a person refused to ban the URLs of a hold: reports of them are suppressed until a moment.

    An earlier decision against the URL stays in force if it ends later.
    """
    claims_by_key = read(rows, list(keys), consistent=True)
    updates = []
    for claim in claims_by_key.values():
        cool_until = max(epoch(until), claim.cool_until)
        change: Row = {
            "outcome": UrlState.REJECTED.value,
            "reason": reason[:300],
            "cool_until": cool_until,
            "expires_at": cool_until + int(KEEP.total_seconds()),
        }
        updates.append(Update(key_of(claim.key), set=change, expect={"chunk": chunk, "outcome": None}))
    rows.write(updates)


def unban_failed(rows: Rows, chunk: Chunk, keys: Iterable[str], *, reason: str) -> None:
    """Record that these URLs of an unban chunk could not be unbanned.

    A ban that was in force stays in force. A URL that was unbanned before stays unbanned. About a URL that the ledger
    did not know, it records only that the unban failed.
    """
    unbans_by_position = {position: unban for position, _, unban in chunk.before}
    unbans_by_key = {chunk.keys[position]: unban for position, unban in unbans_by_position.items()}
    updates = []
    for key in keys:
        change: dict[str, Value] = {"reason": reason[:300]}
        remove: tuple[str, ...] = ()
        if key not in unbans_by_key:
            change["outcome"], remove = UrlState.FAILED.value, ("cool_until", "unban")
        elif not unbans_by_key[key]:
            change["unban_failed"], remove = chunk.id, ("outcome", "cool_until", "unban")
        updates.append(Update(key_of(key), set=change, expect={"unban": chunk.id}, remove=remove))
    rows.write(updates)


def unhold(rows: Rows, keys: Iterable[str], *, chunk: str) -> None:
    """Record that URLs of a chunk no longer wait for a person, because a person approved them."""
    still: Row = {"chunk": chunk, "outcome": None}
    rows.write([Update(key_of(key), expect=still, remove=("held", "cool_until")) for key in keys])


def extend(rows: Rows, keys: Iterable[str], *, chunk: str, until: datetime) -> None:
    """Set the planned end of the bans of a chunk that was held: they begin only now that a person has approved them."""
    change: Row = {"until": epoch(until), "expires_at": epoch(until + KEEP)}
    still: Row = {"chunk": chunk, "outcome": None}
    rows.write([Update(key_of(key), set=change, expect=still, remove=("cool_until",)) for key in keys])
