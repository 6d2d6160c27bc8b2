"""The claims that a request to undo bans selects, whatever it names. They are read from the ledger, group by group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chalicelib.domain.cutting import cut
from chalicelib.domain.model import CHUNK_URLS
from chalicelib.ledger import chunks, claims, packed_words
from chalicelib.ledger.claims import Claim
from chalicelib.ledger.unban_jobs import Job
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.pipeline.run import Run
from chalicelib.ports import Rows


@dataclass(frozen=True, slots=True)
class Group:
    """Claims to unban together, and the place where the walk through the journal goes on after that.

    A claim without a chunk stands for a URL that the ledger does not know.
    """

    claims: list[Claim]
    place: str = ""


def of_owners(run: Run, keys: Sequence[str], owners: set[str]) -> Iterator[Group]:
    """Find the bans in force of some chunks, and of the chunks that continue their bans."""
    for some_keys in cut(keys, count=CHUNK_URLS):
        in_force = claims_in_force(run, some_keys)
        carrying_on = carrying_on_from(run.rows, {claim.chunk for claim in in_force}, owners)
        yield Group([claim for claim in in_force if claim.chunk in carrying_on])


def carrying_on_from(rows: Rows, chunk_ids: set[str], owners: set[str]) -> set[str]:
    """Return those of the chunks that are owners, or that continue an owner's bans over one or more renewals."""
    carrying_on, earlier = set[str](), {chunk_id: chunk_id for chunk_id in chunk_ids}
    while earlier:
        carrying_on |= {chunk_id for chunk_id, ancestor in earlier.items() if ancestor in owners}
        ancestors = chunks.read(rows, [ancestor for ancestor in earlier.values() if ancestor not in owners])
        earlier = {
            chunk_id: ancestors[ancestor].renews[0]
            for chunk_id, ancestor in earlier.items()
            if ancestor in ancestors and ancestors[ancestor].renews
        }
    return carrying_on


def has_word(claim: Claim, job: Job) -> bool:
    """Return whether a word of a claim is of the job's source, or is as the job's report said it."""
    if job.source:
        return bool(packed_words.spoken_by(claim.words, job.source).end)
    return bool(job.report) and packed_words.without_report(claim.words, job.report) != claim.words


def took_back(claim: Claim, source: str) -> bool:
    """Return whether a source took back what it said of a claim's URL, and has said nothing since."""
    spoken = packed_words.spoken_by(claim.words, source)
    return spoken.up_to > 0 and not spoken.end


def claims_in_force(run: Run, keys: Sequence[str]) -> list[Claim]:
    """Return the claims of these keys whose bans have not ended, in the order of the keys."""
    claims_by_key, now = read_claims(run, keys), run.clock()
    existing = [claims_by_key[key] for key in dict.fromkeys(keys) if key in claims_by_key]
    return [claim for claim in existing if not claim.needs_new_ban(now)]


def read_claims(run: Run, keys: Sequence[str]) -> dict[str, Claim]:
    """Read claims with the true end of their bans."""
    return expiry.corrected(run, claims.read(run.rows, keys, consistent=True, whole=True))
