"""Keep bans and unbans of one URL in the order in which they were decided: the last decision wins.

A chunk that names others in ``after`` waits until all their tasks have ended. An unban does not wait for bans that were
not sent yet: it takes its URLs out of them. A ban that may have been sent must end before the unban is sent; otherwise
the ban could reach the vendor later and undo the unban. If a URL's ban was withdrawn before any task had it, the unban
drops the URL as well: there is nothing to undo at the vendor, and the claim says that the URL is unbanned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from chalicelib.domain.model import Action, ChunkState, Rule
from chalicelib.domain.packing import Work
from chalicelib.ledger import carriers, chunks, claim_decisions, remaining, tasks, waiting_unbans
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.claim_words import NO_CHUNK
from chalicelib.ledger.claims import Claim
from chalicelib.ports import Rows

WITHDRAWABLE = {ChunkState.WAITING, ChunkState.HELD}
"""An unban may take URLs out of chunks in these states: no task has the URLs, and nobody claims or refuses them now."""


def ready(rows: Rows, work: Work) -> bool:
    """Return whether a chunk that names others in ``after`` may be submitted now.

    Only the account's submitter may call this, because it takes an unban's URLs out of waiting and held chunks.
    """
    if work.action is Action.UNBAN:
        return _unban_ready(rows, work)
    return not unended(rows, work.account, work.after)


def ended(rows: Rows, account: str, chunk: str) -> bool:
    """Return whether nothing of a chunk waits and all tasks that carried its URLs have ended."""
    return not unended(rows, account, [chunk])


def unended(rows: Rows, account: str, ids: Collection[str]) -> set[str]:
    """Return which of these chunks have not ended.

    The tasks of all the chunks are walked together, one read for each generation of tasks. A walk for each chunk
    (``carriers.of_chunk``) would read as many times as there are chunks: an unban of many small reports names hundreds.
    """
    not_ended = set(remaining.among(rows, account, ids))
    chunks_by_task: dict[str, set[str]] = {}
    for chunk in ids:
        if chunk not in not_ended:
            for task_id, _, _ in carriers.links(rows, chunk):
                chunks_by_task.setdefault(task_id, set()).add(chunk)
    while chunks_by_task:
        chunks_by_child: dict[str, set[str]] = {}
        for task in tasks.read(rows, chunks_by_task).values():
            if not task.done_at_vendor:
                not_ended |= chunks_by_task[task.id]
            for child in task.children:
                chunks_by_child.setdefault(child, set()).update(chunks_by_task[task.id])
        chunks_by_task = chunks_by_child
    return not_ended


def perhaps_banned(rows: Rows, unban: Chunk, keys: Iterable[str]) -> list[str]:
    """Return the URLs of an unban chunk that may be banned at the vendor: all except those whose ban it never had."""
    bans_by_key = {unban.keys[position]: ban for position, ban, _ in unban.before}
    chunks_by_id = chunks.read(rows, bans_by_key.values())
    sent = {
        (part.chunk, position)
        for ban in chunks_by_id
        for task in carriers.of_chunk(rows, ban)
        if task.vendor_task_id
        for part in task.slices
        for position in part.positions()
    }

    def is_perhaps_banned(key: str) -> bool:
        ban = chunks_by_id.get(bans_by_key.get(key, ""))
        if ban is None or ban.renews or ban.rule == Rule.TAKEN_OVER:
            return True
        return (ban.id, ban.keys.index(key)) in sent

    return [key for key in keys if is_perhaps_banned(key)]


def _unban_ready(rows: Rows, work: Work) -> bool:
    chunks_by_id = chunks.read(rows, [work.chunk, *work.after])
    unban = chunks_by_id.get(work.chunk)
    if unban is None:
        return not unended(rows, work.account, work.after)
    positions_by_key = {
        unban.keys[position]: position for position in range(work.next, work.count) if position not in work.excluded
    }
    withdrawn_by_ban: dict[str, set[str]] = {}
    is_ready = True
    for ban_id in work.after:
        ban = chunks_by_id.get(ban_id)
        if ban is None:
            is_ready = is_ready and ended(rows, work.account, ban_id)
            continue
        positions = [position for position, key in enumerate(ban.keys) if key in positions_by_key]
        rest = _withdraw(rows, ban, positions)
        carried = list(carriers.of_chunk(rows, ban_id, positions))
        if rest is None:  # nothing of it waits: what no task has was withdrawn, perhaps before a crash
            withdrawn_by_ban[ban_id] = {
                ban.keys[position]
                for position in positions
                if not any(carriers.carries(task, ban_id, [position]) for task in carried)
            }
        elif rest.state in WITHDRAWABLE:
            withdrawn_by_ban[ban_id] = {ban.keys[position] for position in positions if position in rest.excluded}
            is_ready = is_ready and not _unsent(rest, positions)
        else:
            is_ready = False
        is_ready = is_ready and all(task.done_at_vendor for task in carried)
    bans_by_position = {position: ban for position, ban, _ in unban.before}
    never_sent = [
        position
        for key, position in positions_by_key.items()
        if _never_sent(key, bans_by_position.get(position, ""), chunks_by_id, withdrawn_by_ban)
    ]
    if never_sent:  # after the bans: a crash between the two sends an unban that changes nothing
        if unban.rule == Rule.UNDO:  # a ban that was never made leaves no cool-down, whatever is killed
            claim_decisions.forget_cool_down(rows, [unban.keys[position] for position in never_sent], unban=unban.id)
        waiting_unbans.withdraw(rows, work, never_sent)
    return is_ready


def _withdraw(rows: Rows, ban: Chunk, positions: Iterable[int]) -> Work | None:
    """Take URLs out of a ban that was not sent yet; return the rest of the ban, ``None`` if tasks have all of it."""
    work = remaining.of_chunk(rows, ban.account, ban.id)
    unsent = _unsent(work, positions) if work and work.state in WITHDRAWABLE else []
    if work is None or not unsent:
        return work
    waiting_unbans.withdraw(rows, work, unsent)  # does nothing if a person decides about the hold at this moment
    rest = remaining.of_chunk(rows, ban.account, ban.id)
    return rest or replace(work, excluded=tuple(sorted({*work.excluded, *unsent})))


def _unsent(work: Work, positions: Iterable[int]) -> list[int]:
    """Return the positions that are still in what remains of a chunk."""
    return [position for position in positions if position >= work.next and position not in work.excluded]


def _never_sent(
    key: str, ban: str, chunks_by_id: Mapping[str, Chunk], withdrawn_by_ban: Mapping[str, set[str]]
) -> bool:
    """Return whether no task had a URL's ban before it was withdrawn, and no older ban can be in force."""
    if ban not in withdrawn_by_ban:
        return False
    bans_of_url = [ban_id for ban_id in withdrawn_by_ban if key in chunks_by_id[ban_id].keys]
    return all(key in withdrawn_by_ban[ban_id] for ban_id in bans_of_url) and _is_first_ban(chunks_by_id[ban], key)


def _is_first_ban(chunk: Chunk, key: str) -> bool:
    """Return whether a chunk was the first to claim a URL, and is no renewal. A withdrawal's marker was no ban."""
    position = chunk.keys.index(key)
    return not chunk.renews and all(at != position or (ban, unban) == (NO_CHUNK, "") for at, ban, unban in chunk.before)


def waits_for(rows: Rows, chunk: Chunk, claims_by_key: Mapping[str, Claim]) -> tuple[str, ...]:
    """List the chunks of the opposite action that must have ended before this one is sent.

    A ban waits for every unban of its URLs, even for ended ones: to find these would cost each report of such a URL a
    read. The chunk that has a URL may drop it before it is sent, as a hold does. Then an older unban may still be on
    its way: the ban waits for that one too. An unban waits for the bans of its URLs that have not ended, and for the
    bans that earlier unbans of its URLs still wait for.
    """
    known = _known_claims(chunk, claims_by_key)
    earlier = _unbans_of(known)
    if chunk.action is Action.BAN:
        asked = {unban for claim in known for unban in claim.unbans}
        gone = asked - unended(rows, chunk.account, asked) if asked else set()
        return tuple(unban for unban in earlier if unban not in gone)
    bans = dict.fromkeys(claim.chunk for claim in known)
    if earlier:
        waiting = remaining.among(rows, chunk.account, earlier).values()
        bans |= dict.fromkeys(ban for work in waiting for ban in work.after)
    on_their_way = unended(rows, chunk.account, bans)
    return tuple(ban for ban in bans if ban in on_their_way)


def _known_claims(chunk: Chunk, claims_by_key: Mapping[str, Claim]) -> list[Claim]:
    """Return the earlier claims of a chunk's URLs, in its order."""
    return [claims_by_key[key] for key in chunk.keys if key in claims_by_key]


def _unbans_of(known: Iterable[Claim]) -> dict[str, None]:
    """List the unbans of URLs, each once."""
    return dict.fromkeys(unban for claim in known for unban in claim.all_unbans)


def unended_unbans(rows: Rows, chunk: Chunk, claims_by_key: Mapping[str, Claim]) -> set[str]:
    """Return the unbans of a chunk's URLs that are still on their way."""
    return unended(rows, chunk.account, _unbans_of(_known_claims(chunk, claims_by_key)))
