"""Claims: who owns a URL at a vendor account. The claim is what makes a ban single (I2).

``claim_decisions`` records what people decide about a claimed URL, ``claim_words`` what sources say of it, and
``claim_ends`` how a claim ends without a task.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from chalicelib.domain.model import Rule, UrlState
from chalicelib.domain.words.word import SourceWord
from chalicelib.ledger import KEEP
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.due_chunks import lifted_at
from chalicelib.ledger.packed_words import pack, report_id
from chalicelib.ledger.row import epoch, texts
from chalicelib.ports import Insert, Key, Row, Rows, Update, Value

NO_WORDS: Mapping[str, bytes] = {}


class Claim(NamedTuple):
    """What the ledger holds of one URL at one account.

    ``until`` is the planned end of the ban in epoch seconds. ``outcome`` is set only where the URL's end is not that of
    its task: rejected, suppressed, failed alone, unbanned, expired. Until ``cool_until`` reports are suppressed,
    because a person unbanned the URL or refused its hold.
    """

    key: str
    chunk: str
    until: int
    outcome: str = ""
    cool_until: int = 0
    report: str = ""
    url: str = ""
    account: str = ""
    reason: str = ""
    unban: str = ""
    """The chunk that unbans the URL, or has unbanned it."""
    unban_failed: str = ""
    """The unban chunk that the vendor refused. edgeban neither renews nor repeats the ban after that."""
    words: bytes = b""
    """What each source says of the URL (``packed_words``). Version 1 wrote none: its chunk's origin is the one word."""
    held: str = ""
    """The rule for which the URL waits for a person."""
    asked: str = ""
    """The hold that asks a person whether to lift the ban, since the sources took their words back."""
    lifted_at: int = 0
    """When edgeban lifts the ban, though the vendor would ban for longer. It counts only while it equals ``until``."""
    unbans: tuple[str, ...] = ()
    """Earlier unban chunks that had not ended when another chunk took the URL. Later chunks wait for these too, since
    the chunk that has the URL may end before it is sent."""
    tries: int = 0
    """How often the vendor failed at the ban, or refused the URL; 0 once it is not tried again (``tried``)."""
    failed_since: int = 0
    """When the vendor first did so, in epoch seconds."""
    retry_at: int = 0
    """When edgeban sends the URL again by itself, in epoch seconds; 0: never."""

    @property
    def all_unbans(self) -> tuple[str, ...]:
        """All unban chunks of the URL. Any of them may still be on its way."""
        return (self.unban, *self.unbans) if self.unban else self.unbans

    def belongs_to(self, chunk: str) -> bool:
        """Whether the chunk still has the URL: no other chunk took it over, and the claim has not ended."""
        return self.chunk == chunk and not self.outcome

    def needs_new_ban(self, now: datetime) -> bool:
        """Whether a new report of the URL leads to a new ban: it is free, and no failed ban of it may be sent again."""
        return self.free(now) and not (self.tried and self.until > epoch(now))

    def free(self, now: datetime) -> bool:
        """Whether another chunk may take the URL: no ban is in force, and none is on its way."""
        return self.until <= epoch(now) or self.outcome in FREE_OUTCOMES

    @property
    def tried(self) -> bool:
        """Whether the vendor failed at the URL or refused it, and its words stand, so that it may be sent again."""
        return self.tries > 0 and self.outcome in {UrlState.FAILED, UrlState.REJECTED}

    def cooling(self, now: datetime) -> bool:
        """Whether a person unbanned the URL or refused its hold, so that reports of it are suppressed now."""
        return self.cool_until > 0 and self.cool_until > epoch(now)

    def waits(self, now: datetime) -> bool:
        """Whether the URL waits for a person."""
        return bool(self.held) and not self.needs_new_ban(now)

    @property
    def refused(self) -> bool:
        """Whether a person refused to ban the URL. Version 1 wrote who refused, and no end of the refusal."""
        return self.outcome == UrlState.REJECTED and (self.cool_until > 0 or self.reason.startswith("refused by "))

    @property
    def sent_again(self) -> bool:
        """Whether edgeban sends the URL again by itself."""
        return self.tried and self.retry_at > 0


ATTRIBUTES = frozenset(Claim._fields) - {"key"}
READ = tuple(sorted(ATTRIBUTES - {"url", "reason", "report"}))
"""The attributes of a claim that a decision about a reported URL needs."""

FREE_OUTCOMES = frozenset({UrlState.REJECTED, UrlState.SUPPRESSED, UrlState.FAILED, UrlState.UNBANNED})
"""Another chunk may take a URL whose claim has one of these outcomes."""


def key_of(url_key: str) -> Key:
    """Return the key of a URL's claim."""
    return (f"url#{url_key}", "claim")


def _claim(key: str, row: Mapping[str, Value]) -> Claim:
    known: dict[str, Any] = {**row}
    del known["pk"], known["sk"]
    if not known.keys() <= ATTRIBUTES:  # the whole row was read, or a later version wrote it
        known = {name: value for name, value in known.items() if name in ATTRIBUTES}
    if "unbans" in known:
        known["unbans"] = texts(row, "unbans")
    return Claim(key, **known)


def read(rows: Rows, keys: Sequence[str], *, consistent: bool = False, whole: bool = False) -> dict[str, Claim]:
    """Read claims by URL key: half a read unit each unless ``consistent``. ``whole`` reads the URL as well."""
    found = rows.get([key_of(key) for key in keys], consistent=consistent, attributes=() if whole else READ)
    return {(key := pk[4:]): _claim(key, row) for (pk, _), row in found.items()}


def claim(
    rows: Rows,
    chunk: Chunk,
    claims_by_key: Mapping[str, Claim],
    *,
    now: datetime,
    held: bool = False,
    words: Mapping[str, bytes] = NO_WORDS,
) -> set[str]:
    """Claim each URL of a chunk by one conditional write; return the keys that are the chunk's now.

    ``claims_by_key`` holds the claims as they were read. The chunk takes over a claim whose ban has ended, and a claim
    of a chunk that it renews. The claims of a ``held`` chunk are kept as long as the chunk, since a person may decide
    late. ``words`` are what sources say of a URL, if they say more than the one word of the chunk's origin. A renewal
    keeps the words as they are. A claim remembers the unbans of its URL that the chunk waits for.

    Safe to repeat: a URL that the chunk has already counts as claimed. So a crash between any two of these writes is
    healed by claiming again for the same chunk.
    """
    bans = not held or chunk.rule == Rule.DECIDED_BEFORE  # but for a person's decision this URL would be banned at once
    word_of = cache(
        lambda source, report: pack(
            [SourceWord(source, chunk.received_at, chunk.until, bans=bans, said_in=report_id(report))]
        )
    )
    shared = {**shared_by_claims(chunk, held=held), **({} if held else lifted_at(chunk))}
    claimed: set[str] = set()
    takings: list[Taking] = []
    for key, url, origin in zip(chunk.keys, chunk.urls, chunk.origins, strict=True):
        old = claims_by_key.get(key)
        if old is not None and old.chunk == chunk.id:
            claimed.add(key)
        elif old is None or old.free(now) or (old.chunk in chunk.renews and not old.outcome):
            row = {"url": url, "report": origin.report, **shared}
            carried_on = old.words if old is not None and old.chunk in chunk.renews else b""
            row["words"] = words.get(key) or carried_on or word_of(origin.source, origin.report)
            update = None
            if old is not None:
                unchanged: dict[str, Value] = {
                    "chunk": old.chunk,
                    "outcome": old.outcome or None,
                    "unban": old.unban or None,
                }
                if carried_on:  # a word that came meanwhile is not overwritten
                    unchanged["words"] = carried_on
                removed: tuple[str, ...] = OVERRIDES if held else (*OVERRIDES, "held")
                if held and chunk.rule in STANDING:
                    removed = tuple(name for name in OVERRIDES if name != "cool_until")
                if old.tries:
                    removed += ("retry_at",) if chunk.rule == Rule.RETRY else TRIES
                unended = remembered(old, chunk.after)
                forgotten = ("unbans",) if old.unbans and not unended else ()
                update = Update(key_of(key), set={**row, **unended}, expect=unchanged, remove=(*removed, *forgotten))
            takings.append(Taking(key, row, update))
    return claimed | take(rows, takings, lambda claim: claim.chunk == chunk.id)


def remembered(old: Claim, unended: Collection[str]) -> Row:
    """Return the earlier unbans of a URL that a later chunk waits for, as an attribute of its claim."""
    earlier: list[Value] = [unban for unban in old.all_unbans if unban in unended]
    return {"unbans": earlier} if earlier else {}


TAKE_TRIES = 3
"""Attempts to take a URL. A second one takes a URL whose claim was deleted since the read."""

STANDING = frozenset({Rule.DECIDED_BEFORE, Rule.BY_HAND})
"""Rules of holds that leave an earlier decision of a person in force until a person approves the hold."""

TRIES = ("tries", "failed_since", "retry_at")
"""Attributes that tell how often the vendor failed. Only a chunk that edgeban sends again by itself keeps them."""

OVERRIDES = ("outcome", "reason", "cool_until", "unban", "unban_failed")
"""Attributes of the old claim that a new claim of the URL removes."""


class Taking(NamedTuple):
    """One URL that a chunk takes: ``row`` as a new claim, or ``update`` of the claim that a read showed."""

    key: str
    row: Row
    update: Update | None

    @property
    def write(self) -> Insert | Update:
        """The write that takes the URL."""
        return self.update or Insert({"pk": f"url#{self.key}", "sk": "claim", **self.row})


def take(rows: Rows, takings: Sequence[Taking], ours: Callable[[Claim], bool]) -> set[str]:
    """Take URLs, each by one conditional write; return the keys that are taken now.

    A condition fails because somebody else was quicker, because we did it before a crash, or because DynamoDB's TTL
    deleted the claim since it was read. A URL without a claim is free and is taken as a new one.
    """
    taken: set[str] = set()
    for _ in range(TAKE_TRIES):
        failed = rows.write([taking.write for taking in takings])
        taken |= {taking.key for index, taking in enumerate(takings) if index not in failed}
        if not failed:
            break
        seen = read(rows, [takings[index].key for index in failed], consistent=True)
        taken |= {key for key, claim in seen.items() if ours(claim)}
        takings = [takings[index]._replace(update=None) for index in failed if takings[index].key not in seen]
        if not takings:
            break
    return taken


def shared_by_claims(chunk: Chunk, *, held: bool) -> dict[str, Value]:
    """Return the attributes of a new claim that all URLs of its chunk share."""
    row: dict[str, Value] = {
        "account": chunk.account,
        "chunk": chunk.id,
        "until": epoch(chunk.until),
        "expires_at": max(epoch(chunk.until + KEEP), chunk.expires_at if held else 0),
    }
    if held:
        row["held"] = chunk.rule
    return row
