"""What a person asks for to ban by hand or to set an end, and the answer for each URL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from chalicelib.domain.model import (
    Verdict,
)
from chalicelib.domain.policy.duration import Plan
from chalicelib.domain.words.word import Effect
from chalicelib.ledger.chunks import OPERATOR
from chalicelib.ledger.claims import Claim


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks for. ``urls`` are canonical. Without ``plan`` and ``end`` the category's plan decides.

    ``end`` is when edgeban lifts the bans, if the vendor has not ended them. ``only_in_force``: the request changes
    ends of bans and bans nothing new.
    """

    actor: str
    person: str
    reason: str
    urls: tuple[str, ...]
    plan: Plan | None = None
    end: datetime | None = None
    category: str = ""
    only_in_force: bool = False
    sources: Collection[str] = ()
    """Names of the sources that are known now."""

    @property
    def source(self) -> str:
        """The name under which the person's word is kept, beside those of sources."""
        return OPERATOR + self.actor


@dataclass(frozen=True, slots=True)
class Item:
    """A URL at an account, its record, and what the request does to it."""

    key: str
    url: str
    account: str
    claim: Claim | None
    effect: Effect


@dataclass(slots=True)
class Answer:
    """The result of a request, or of its preview."""

    until: datetime
    items: list[Item] = field(default_factory=list)
    rejected: list[tuple[str, str, Verdict]] = field(default_factory=list)
    """URL, account (empty if none serves the host), and why the URL is not banned."""
    holds: list[str] = field(default_factory=list)
    """Holds that a second person must approve."""
    waiting: Counter[str] = field(default_factory=Counter)
    """How many URLs of the request wait for a second person, by account, in these holds and in earlier ones."""
