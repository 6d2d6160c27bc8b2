"""Keep bans and unbans of one URL in the order in which they were decided (the last word wins).

A chunk that names others in ``after`` waits until all their tasks have ended. An unban takes its URLs out of what has
not been sent yet; what may have been sent must end before the unban is sent, or a late ban would undo it.
"""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.domain.model import Action, ChunkState, TaskState
from chalicelib.ledger import chunks, tasks
from chalicelib.ledger.chunks import Work
from chalicelib.ports import Rows

ENDED = {TaskState.SUCCEEDED, TaskState.FAILED}


def ready(rows: Rows, work: Work, waiting: Mapping[str, Work]) -> bool:
    """Whether a chunk may be submitted now. ``waiting`` are the account's chunks that are not wholly in tasks.

    Only the account's submitter may ask: an unban's URLs are taken out of waiting and held chunks on the way.
    """
    if work.action is Action.UNBAN:
        _withdraw(rows, work, waiting)
    return all(ended(rows, work.account, each) for each in work.after)


def ended(rows: Rows, account: str, chunk: str) -> bool:
    """Whether nothing of a chunk waits and all its tasks, and the tasks that carried them on, have ended."""
    if chunks.work_of(rows, account, chunk):
        return False
    left = [task_id for task_id, _, _ in tasks.of_chunk(rows, chunk)]
    while left:
        found = tasks.read(rows, left)
        if any(task.state not in ENDED for task in found.values()):
            return False
        left = [child for task in found.values() for child in task.children]
    return True


def _withdraw(rows: Rows, work: Work, waiting: Mapping[str, Work]) -> None:
    targets = [waiting[each] for each in work.after if each in waiting]
    targets = [each for each in targets if each.state in {ChunkState.WAITING, ChunkState.HELD}]
    if not targets:
        return
    found = chunks.read(rows, [work.chunk, *(each.chunk for each in targets)])
    ours = {found[work.chunk].keys[position] for position in range(work.count) if position not in work.lost}
    for target in targets:
        keys = found[target.chunk].keys
        positions = [p for p in range(target.next, target.count) if keys[p] in ours and p not in target.lost]
        if positions:
            chunks.withdraw(rows, target, positions)
