"""What must be true of one URL at one account, by what was said of it: written from docs/policy.md, not from the code.

The model knows nothing of chunks, tasks and claims. It covers reports, withdrawals, refusals, approvals, unbans and
undoing; not caps, protection, corroboration and what vendors refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

DAY = timedelta(days=1)
MARKED = timedelta(days=14)
REFUSAL, COOL_DOWN = timedelta(days=30), timedelta(days=7)


@dataclass
class Said:
    """What one source says: until when, and whether that is banned by itself."""

    until: datetime
    bans: bool


@dataclass
class UrlModel:
    """One URL. ``state`` is nothing, banned, held, refused or cooling."""

    state: str = "nothing"
    until: datetime | None = None
    words: dict[str, Said] = field(default_factory=dict)
    spoken: set[str] = field(default_factory=set)
    """Who had spoken when a person decided."""
    decided_until: datetime | None = None
    undone: dict[str, datetime] = field(default_factory=dict)
    withdrawn: dict[str, datetime] = field(default_factory=dict)
    """When a source last took its word back: for 14 days it is known that it had spoken."""
    held_for: timedelta = timedelta()
    questions: int = 0
    """Holds that ask whether a ban is to be lifted whose sources took it back."""

    def pass_time(self, now: datetime) -> None:
        """Let what has come to its end end."""
        if self.state == "banned" and self.until and self.until <= now:
            self.state = "nothing"
        if self.decided_until and self.decided_until <= now:
            self.decided_until = None
            if self.state in {"refused", "cooling"}:
                self.state = "nothing"

    def report(self, source: str, days: int, now: datetime, *, bans: bool) -> None:
        """Let a source report the URL."""
        if self.undone.get(source, now) > now:
            return
        said = Said(now + days * DAY, bans)
        if self.state in {"refused", "cooling"}:
            if bans and source not in self.spoken | self.words.keys():
                self._add(source, said)
                self.state, self.held_for = "held", days * DAY
        elif self.state == "nothing":
            self.words, self.spoken = {source: said}, set()
            self.state, self.until, self.held_for = "banned" if bans else "held", said.until, days * DAY
        elif self.state == "held" and bans and not self.decided_until:
            self._add(source, said)
            self.state, self.until = "banned", max(each.until for each in self.words.values() if each.bans)
        elif self.state == "banned":
            assert self.until
            if said.until < self.until + DAY:  # an end that would move by less than a day stays
                said = Said(min(said.until, self.until), bans)
            self._add(source, said)
            if bans:
                self.until = max(self.until, said.until)
        else:
            self._add(source, said)

    def _add(self, source: str, said: Said) -> None:
        before = self.words.get(source)
        stronger = before is None or (said.bans, said.until) > (before.bans, before.until)
        self.words[source] = said if stronger or before is None else before

    def withdraw(self, source: str, now: datetime) -> None:
        """Let a source take its word back; what is left stands, else a person is asked."""
        self.withdrawn[source] = now
        had = self.words.pop(source, None)
        if had is None:
            return
        self.spoken.add(source)
        if self.state == "held" and not self.words:
            self.state, self.decided_until = "nothing", None
        elif self.state == "banned":
            if ends := [each.until for each in self.words.values() if each.bans and each.until > now]:
                assert self.until
                self.until = min(self.until, max(ends))
            else:
                self.questions += 1

    def _note_who_had_spoken(self, now: datetime) -> None:
        known = {source for source, at in self.withdrawn.items() if now - at <= MARKED}
        self.spoken |= (
            self.words.keys() | known | {source for source, until in self.undone.items() if until > now - MARKED}
        )

    def refuse(self, now: datetime) -> None:
        """Let a person refuse the hold."""
        self._note_who_had_spoken(now)
        self.state, self.decided_until = "refused", max(now + REFUSAL, self.decided_until or now)

    def approve(self, now: datetime) -> None:
        """Let a person approve the hold: the ban begins only now."""
        self.state, self.until, self.decided_until = "banned", now + self.held_for, None

    def unban(self, now: datetime) -> None:
        """Let a person lift the URL, whatever the ledger knows of it."""
        self._note_who_had_spoken(now)
        self.undone = {}
        self.state, self.decided_until = "cooling", max(now + COOL_DOWN, self.decided_until or now)

    def undo(self, source: str, now: datetime) -> None:
        """Let a person undo a source: what others said stays, and only the source is bound."""
        if self.state != "banned" or source not in self.words:
            return
        del self.words[source]
        if ends := [each.until for each in self.words.values() if each.bans and each.until > now]:
            assert self.until
            self.until = min(self.until, max(ends))
        else:
            self.state = "nothing"
        self.undone[source] = now + COOL_DOWN
