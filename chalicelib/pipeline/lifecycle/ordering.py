"""Keep bans and unbans of one URL in the order in which they were decided (the last word wins).

A chunk that names others in ``after`` waits until all their tasks have ended. An unban takes its URLs out of what has
not been sent yet; what may have been sent must end before the unban is sent, or a late ban would undo it. A URL whose
ban was withdrawn before any task had it needs no unban at the vendor: it leaves the unban as well, and is unbanned by
that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from chalicelib.domain.model import Action, ChunkState, Rule
from chalicelib.domain.packing import Work
from chalicelib.ledger import carriers, chunks, remaining, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ports import Rows


def ready(rows: Rows, work: Work, waiting: Mapping[str, Work]) -> bool:
    """Whether a chunk may be submitted now. ``waiting`` are the account's chunks that are not wholly in tasks.

    Only the account's submitter may ask: an unban's URLs are taken out of waiting and held chunks on the way.
    """
    if work.action is Action.UNBAN:
        return _unban_ready(rows, work, waiting)
    return not unended(rows, work.account, work.after)


def ended(rows: Rows, account: str, chunk: str) -> bool:
    """Whether nothing of a chunk waits and all its tasks, and the tasks that carried them on, have ended."""
    return not unended(rows, account, [chunk])


def unended(rows: Rows, account: str, names: Collection[str]) -> set[str]:
    """Which of these chunks have not ended."""
    found = set(remaining.among(rows, account, names))
    left: dict[str, set[str]] = {}
    for name in names:
        for task_id in _first_tasks(rows, name) if name not in found else ():
            left.setdefault(task_id, set()).add(name)
    while left:
        further: dict[str, set[str]] = {}
        for task in tasks.read(rows, list(left)).values():
            if not task.ended:
                found |= left[task.id]
            for child in task.children:
                further.setdefault(child, set()).update(left[task.id])
        left = further
    return found


def _first_tasks(rows: Rows, chunk: str) -> list[str]:
    return [task_id for task_id, _, _ in carriers.links(rows, chunk)]


def _carried_on(rows: Rows, chunk: str, positions: Iterable[int]) -> bool:
    """Whether a task that has not ended carries some of a chunk's positions."""
    wanted, left = set(positions), _first_tasks(rows, chunk)
    while left:
        found = [
            task
            for task in tasks.read(rows, left).values()
            if any(each.chunk == chunk and wanted.intersection(each.positions()) for each in task.slices)
        ]
        if any(not task.ended for task in found):
            return True
        left = [child for task in found for child in task.children]
    return False


def _unban_ready(rows: Rows, work: Work, waiting: Mapping[str, Work]) -> bool:
    found = chunks.read(rows, [work.chunk, *work.after])
    unban = found.get(work.chunk)
    if unban is None:
        return not unended(rows, work.account, work.after)
    ours = {
        unban.keys[position]: position for position in range(work.next, work.count) if position not in work.excluded
    }
    never: dict[str, set[str]] = {}
    blocked = False
    for each in work.after:
        if each not in found:
            blocked |= not ended(rows, work.account, each)
            continue
        keys = found[each].keys
        positions = [position for position, key in enumerate(keys) if key in ours]
        left = _withdraw(rows, waiting.get(each), positions) or remaining.of_chunk(rows, work.account, each)
        if left is None:  # nothing of it waits: what it had is in tasks
            never[each] = set()
        elif left.state in {ChunkState.WAITING, ChunkState.HELD}:
            never[each] = {keys[position] for position in positions if position in left.excluded}
            blocked |= any(position >= left.next and position not in left.excluded for position in positions)
        else:
            blocked = True
        blocked = blocked or _carried_on(rows, each, positions)
    unsent = [ours[key] for key in ours if _never_sent(key, ours[key], unban, found, never)]
    if unsent:  # after the bans: a crash between the two sends an unban that changes nothing
        remaining.withdraw(rows, work, unsent)
    return not blocked


def _withdraw(rows: Rows, target: Work | None, positions: Iterable[int]) -> Work | None:
    """Take URLs out of what was not sent yet; return what is left, if anything was there to take."""
    if target is not None:  # read again: another unban may have taken some of it out since
        target = remaining.of_chunk(rows, target.account, target.chunk)
    if target is None or target.state not in {ChunkState.WAITING, ChunkState.HELD}:
        return None
    ours = [p for p in positions if p >= target.next and p not in target.excluded]
    if not ours:
        return None
    remaining.withdraw(rows, target, ours)  # does nothing if somebody decides about the hold at this moment
    left = remaining.of_chunk(rows, target.account, target.chunk)
    return left or replace(target, excluded=tuple(sorted({*target.excluded, *ours})))


def _never_sent(
    key: str, position: int, unban: Chunk, found: Mapping[str, Chunk], never: Mapping[str, set[str]]
) -> bool:
    """Whether a URL's ban was withdrawn before any task had it, and nothing older may be in force at the vendor."""
    owner = next((ban for at, ban, _ in unban.before if at == position), "")
    if owner not in never or owner not in found:
        return False
    targets = [each for each in never if key in found[each].keys]
    return all(key in never[each] for each in targets) and _first_ban(found[owner], key)


def _first_ban(chunk: Chunk, key: str) -> bool:
    """Whether a chunk's ban of a URL is the first: it carries on no other, and nobody claimed the URL before."""
    position = chunk.keys.index(key)
    return chunk.rule != Rule.ADOPTED and not chunk.renews and all(at != position for at, _, _ in chunk.before)


def sent(rows: Rows, unban: Chunk, keys: Iterable[str]) -> list[str]:
    """Those of an unban chunk's URLs that are perhaps banned at the vendor: all but those whose ban it never had."""
    owners = {unban.keys[position]: ban for position, ban, _ in unban.before}
    found = chunks.read(rows, list(owners.values()))
    had = {
        (each.chunk, position)
        for owner in found
        for task in carriers.of_chunk(rows, owner)
        if task.vendor_task_id
        for each in task.slices
        for position in each.positions()
    }

    def perhaps(key: str) -> bool:
        owner = owners.get(key, "")
        if owner not in found or found[owner].renews or found[owner].rule == Rule.ADOPTED:
            return True
        return (owner, found[owner].keys.index(key)) in had

    return [key for key in keys if perhaps(key)]
