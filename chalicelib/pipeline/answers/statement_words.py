"""Find the words of the policy for a statement of reasons: those that were in force when its ban was decided.

The sweep records the words within a minute of a change. A statement about a decision in that minute may use either
version. If the policy had no word at the time, the first later version with the word is used. A statement says since
when its words are known to be in force, so that nobody takes them for older ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

from chalicelib.domain.policy.statement_words import StatementWords, dump, load, words_of
from chalicelib.ledger import policy_versions
from chalicelib.ledger.row import compress, decompress
from chalicelib.pipeline.run import Run

T = TypeVar("T")


def digest(document: str) -> str:
    """Return what tells one version of the policy's document from another."""
    return hashlib.sha256(document.encode()).hexdigest()


def keep(run: Run, known: bytes, document: str) -> bytes:
    """Record when the policy's document, and its words for statements, took effect, if they changed.

    ``known`` is what this returned before, so that nothing is read where nothing changed.
    """
    words, version = compress(dump(words_of(run.policy))), digest(document)
    if known != version.encode() + words:
        if policy_versions.latest_words(run.rows) != words:
            policy_versions.record_words(run.rows, words, since=run.clock())
        if policy_versions.in_use_since(run.rows, version) is None:
            policy_versions.record_document(run.rows, version, since=run.clock())
    return version.encode() + words


class Version(NamedTuple):
    """Words, and the first moment at which they are known to be in force."""

    since: datetime
    words: StatementWords


@dataclass(frozen=True, slots=True)
class History:
    """All versions, oldest first. There is always one."""

    versions: Sequence[Version]

    def find(self, at: datetime, word: Callable[[StatementWords], T | None]) -> tuple[T | None, datetime | None]:
        """Return a word as it was at a moment, or the first one given later; and from which moment it is known."""
        for version in self._from(at):
            if (found := word(version.words)) is not None:
                return found, version.since
        return None, None

    def at(self, at: datetime) -> StatementWords:
        """Return the version that was in force at a moment, or the first one that is known."""
        return self._from(at)[0].words

    def _from(self, at: datetime) -> Sequence[Version]:
        in_force = max((index for index, version in enumerate(self.versions) if version.since <= at), default=0)
        return self.versions[in_force:]


def history(run: Run) -> History:
    """Read all versions of the words. The last one is the policy in force, even before the sweep has recorded it."""
    recorded = [Version(since, load(decompress(words))) for since, words in policy_versions.all_words(run.rows)]
    current = words_of(run.policy)
    if not recorded or recorded[-1].words != current:
        recorded.append(Version(run.clock(), current))
    return History(recorded)
