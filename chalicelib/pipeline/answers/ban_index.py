"""The index of bans: a view in S3, made from the journal. It costs no write a URL, and may be deleted at any time.

``index_bans`` runs every minute and writes ``bans/current.json``, which names a place in the journal and an object with
all bans in force at that place. A reader adds the events since then, so that its answer is as new as the journal.

The place stays ``LAG`` behind the clock, because an event is stamped before it is committed. Crash order: the object,
then ``current.json``, only if nobody else has written it since. A crash leaves an object that nothing names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from chalicelib.domain import source_counts
from chalicelib.domain.ban_index import FORMAT, Ban, Index, counted, dump, load
from chalicelib.domain.model import Action, Rule, TaskState
from chalicelib.domain.policy.duration import FOREVER
from chalicelib.domain.source_counts import Bans
from chalicelib.ledger import KEEP, chunks, claim_words, journal, tasks
from chalicelib.ledger.chunks import Chunk
from chalicelib.ledger.journal import Entry
from chalicelib.ledger.row import epoch, stamp
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.answers.end_notices import tell_of_ends
from chalicelib.pipeline.lifecycle import expiry
from chalicelib.pipeline.run import Run
from chalicelib.ports import Notify, Rows, Views

CURRENT: Final = "bans/current.json"
LAG: Final = timedelta(minutes=10)
"""How far the place stays behind the clock: longer than any function takes from an event's time to its commit."""

REST: Final = timedelta(hours=1)
"""How long the view is kept if nothing happens. The bucket deletes objects that are older than three days."""

PAGE: Final = 500
CARRY_ON: Final = frozenset({Rule.RENEWAL, Rule.DRIFT})
"""Rules of chunks that continue bans: such a ban keeps the rule for which it was first made."""

NOT_HELD: Final = frozenset({"", Rule.RENEWAL, Rule.DRIFT, Rule.RELEASED, Rule.RETRY, Rule.TAKEN_OVER})
"""Rules of chunks whose planned end does not move when they are sent. Chunks with other rules were approved holds."""


@dataclass(frozen=True, slots=True)
class View:
    """The index by the journal up to a place. ``version`` is that of ``current.json``; empty: there is none."""

    index: Index
    place: str
    body: str = ""
    """The key of the object that holds the index."""
    version: str = ""
    written_at: datetime | None = None
    ends_told: str = ""
    """The day on which people were last told which bans end (``end_notices``)."""


@dataclass(frozen=True, slots=True)
class Head:
    """How many bans the view holds, at which account, when it was written and up to which place; what sources did."""

    bans: int
    as_of: str
    place: str
    reported: Mapping[str, int]
    by_account: Mapping[str, int] | None = None
    """``None`` in a view that an earlier version wrote."""
    by_source: Mapping[str, Bans] = field(default_factory=dict)
    """The bans of the last 30 days."""


@dataclass(slots=True)
class Reader:
    """Reads the view, and keeps it: an object with an index never changes."""

    views: Views
    last: View | None = None

    def read(self, now: datetime) -> View:
        """Return the view as it was last written. Without one, return an empty view that begins with the journal."""
        found = self.views.get(CURRENT)
        if found is None:
            return View(Index(), stamp(now - KEEP))
        current = json.loads(found[0])
        if current.get("format") != FORMAT:
            return View(Index(), stamp(now - KEEP), version=found[1])
        if self.last is None or self.last.body != current["body"]:
            body = self.views.get(current["body"])
            if body is None:
                return View(Index(), stamp(now - KEEP), version=found[1])
            self.last = View(load(body[0]), current["place"], current["body"])
        return replace(
            self.last,
            place=current["place"],
            version=found[1],
            written_at=datetime.fromisoformat(current["as_of"]),
            ends_told=current.get("ends_told", ""),
        )

    def head(self) -> Head | None:
        """Return the view's own data without its bans; ``None`` if there is no view."""
        found = self.views.get(CURRENT)
        current = json.loads(found[0]) if found else {}
        if current.get("format") != FORMAT:
            return None
        return Head(
            bans=current["bans"],
            as_of=current["as_of"],
            place=current["place"],
            reported=current["reported"],
            by_account=current.get("by_account"),
            by_source={source: Bans(*counts) for source, counts in current.get("by_source", {}).items()},
        )


def index_bans(run: Run, reader: Reader, notify: Notify | None = None) -> int:
    """Bring the view up to date; return how many bans it holds.

    If nothing happens, it is still written every ``REST``, so that the place follows the clock. ``notify`` tells people
    once a day of the bans that end soon; ``None`` tells nobody.
    """
    now = run.clock()
    view = reader.read(now)
    index = view.index.copy()
    place, events = fold(run, index, view.place, until=now - LAG)
    told = tell_of_ends(run, index, notify, told=view.ends_told) if notify else view.ends_told
    if not events and told == view.ends_told and view.written_at and now - view.written_at < REST:
        return len(index)
    index.trim(now)
    changed = replace(view, index=index, place=place, ends_told=told)
    if not write(reader.views, changed, body=f"bans/{place}.txt.gz", now=now):
        run.emit("index_written_elsewhere", place=place)
        return len(index)
    run.emit("bans_indexed", bans=len(index), events=events, place=place)
    return len(index)


def write(views: Views, view: View, *, body: str, now: datetime) -> bool:
    """Write a view with a new name for its body; ``False`` if somebody else has written a view since the read."""
    views.put(body, dump(view.index))
    current = {
        "format": FORMAT,
        "place": view.place,
        "body": body,
        "bans": len(view.index),
        "by_account": dict(counted(view.index.lines.values(), "account")),
        "reported": view.index.reported,
        "by_source": source_counts.summed(view.index.by_day, {}),
        "as_of": now.isoformat(),
        "ends_told": view.ends_told,
    }
    return views.put(CURRENT, json.dumps(current).encode(), version=view.version)


def up_to_now(run: Run, reader: Reader) -> tuple[Index, datetime]:
    """Return the index and the moment for which it is true: now, unless the time ran out before."""
    now = run.clock()
    view = reader.read(now)
    index = view.index.copy()
    place, _ = fold(run, index, view.place, until=now)
    return index, datetime.strptime(place.partition("#")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)


def fold(run: Run, index: Index, place: str, *, until: datetime) -> tuple[str, int]:
    """Apply the events after a place to an index, in order; return the place that it reached, and how many events.

    The place is ``until``, or that of the last event if time ran out.
    """
    count = 0
    while events := journal.following(run.rows, place, until=until, limit=PAGE):
        _fold_page(run.rows, index, events)
        place = events[-1].place
        count += len(events)
        if run.time_is_up:
            return place, count
    return max(place, stamp(until)), count


def _fold_page(rows: Rows, index: Index, events: Sequence[Entry]) -> None:
    tasks_by_id = tasks.read(rows, [event.subject for event in events if event.kind == "task"])
    carried = [part.chunk for task in tasks_by_id.values() for part in task.slices]
    missing = [event.subject for event in events if event.kind == "chunk" and event.fields.get("rule") == Rule.DRIFT]
    chunks_by_id = chunks.read(rows, [*carried, *missing])
    for event in events:
        if event.kind == "words":
            _fold_words(index, event)
        elif event.kind == "taken":
            _fold_taken(index, event)
        elif event.kind == "task" and event.subject in tasks_by_id:
            _fold_task(index, tasks_by_id[event.subject], chunks_by_id)
            assert event.at
            source_counts.add(index.by_day, event.at, event.fields)
        elif event.subject in missing and event.subject in chunks_by_id:  # the vendor's list has lost these
            for key in chunks_by_id[event.subject].keys:
                index.drop(key)


def _fold_words(index: Index, event: Entry) -> None:
    """Move planned ends. Words after a ban has ended are about the next ban, which may be held."""
    assert event.at
    for key, end in claim_words.ends_of(event):
        ban = index.get(key)
        if ban and ban.in_force(event.at):
            index.put(ban._replace(planned_until=_planned(end)))
        else:
            index.ends[key] = end


def _fold_taken(index: Index, event: Entry) -> None:
    """Note when the sources of a batch reported."""
    assert event.at
    sources = event.fields.get("sources")
    for source in sources if isinstance(sources, dict) else ():
        index.reported[source] = epoch(event.at)


def _fold_task(index: Index, task: Task, chunks_by_id: Mapping[str, Chunk]) -> None:
    not_done = task.not_done()
    for part in task.slices:
        chunk = chunks_by_id.get(part.chunk)
        if chunk is None:
            continue
        for position in part.positions():
            if (chunk.id, position) in not_done:  # another task carries it on, or nothing became of it
                continue
            key = chunk.keys[position]
            before = index.get(key)
            if task.action is Action.UNBAN:
                if task.state is TaskState.SUCCEEDED:
                    index.drop(key)
                    index.ends.pop(key, None)
            elif task.state is TaskState.SUCCEEDED:
                index.put(_ban(task, chunk, position, index))
            elif before and not task.children and chunk.rule == Rule.RENEWAL:  # the ban ends when the vendor's does
                index.put(before._replace(planned_until=before.until))


def _planned(end: int) -> int | None:
    return None if end >= epoch(FOREVER) else end


def _ban(task: Task, chunk: Chunk, position: int, index: Index) -> Ban:
    key = chunk.keys[position]
    before, moved = index.get(key), index.ends.pop(key, 0)
    origin, ends = chunk.origins[position], expiry.of_task(task)
    assert task.submitted_at
    assert ends
    planned = chunk.until
    if chunk.until < FOREVER and chunk.rule not in NOT_HELD:
        planned = task.created_at + (chunk.until - chunk.created_at)
    ban = Ban(
        key=key,
        url=chunk.urls[position],
        account=task.account,
        source=origin.source,
        reporter=origin.reporter,
        category=origin.category,
        rule=chunk.rule or Rule.DEFAULT.value,
        report=origin.report,
        chunk=chunk.id,
        task=task.id,
        banned_at=epoch(task.finished_at or task.submitted_at),
        until=epoch(ends),
        planned_until=_planned(max(epoch(planned), moved)),
    )
    if before is not None and chunk.rule in CARRY_ON:
        return ban._replace(banned_at=before.banned_at, rule=before.rule)
    return ban
