"""What becomes of a task whose content the vendor refused: it is halved until the refused URLs stand alone.

A single refused URL ends with the vendor's reason. A host that the vendor refuses for now, for the host's state, is
taken apart from the others and tried again for ``HOST_WAITS``.
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from chalicelib.domain.errors import ContentRefused, HostNotReady, NotBanned
from chalicelib.domain.model import Action, TaskState, UrlState
from chalicelib.domain.pacing import Pace
from chalicelib.ledger import tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline.lifecycle.splitting import give_up, split, urls_of
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.backlog import Backlog
from chalicelib.pipeline.submission.vendor_tasks import is_banned
from chalicelib.ports import BanVendor

HOST_WAITS = timedelta(hours=6)
"""How long the URLs of a host wait that the vendor refuses for the host's state, before they end as failed."""

HOST_SOONEST, HOST_LATEST = timedelta(minutes=1), timedelta(minutes=15)
"""When they are tried again: after half the time that they have waited, within these bounds."""


def isolate(run: Run, vendor: BanVendor, backlog: Backlog, task: Task, error: ContentRefused, *, pace: Pace) -> None:
    """Split a refused task in two, or end its single URL. ``pace`` is that of look-ups in the vendor's lists."""
    reason = f"{error.code} {error}".strip()
    chunks_by_id = backlog.chunks_of(task.slices)
    urls = urls_of(task, chunks_by_id)
    if isinstance(error, HostNotReady) and len({urlsplit(url).netloc for url in urls}) == 1:
        _wait_for_host(run, backlog, task, reason)
    elif task.count > 1:
        backlog.add(*split(run, task, reason=reason))
    elif task.action is Action.UNBAN and _is_lifted(run, vendor, urls[0], error, pace=pace):
        tasks.finish(run.rows, task, TaskState.SUCCEEDED, reason=reason, now=run.clock())
        run.emit("unbanned_already", task_id=task.id, account=run.account, code=error.code)
    elif give_up(run, task, UrlState.REJECTED, reason=reason, chunks_by_id=chunks_by_id):
        run.emit("url_refused", task_id=task.id, account=run.account, code=error.code, problem=reason[:300])


def _is_lifted(run: Run, vendor: BanVendor, url: str, error: ContentRefused, *, pace: Pace) -> bool:
    """Return whether the URL of a refused unban is banned no more: somebody else may have lifted its ban."""
    return isinstance(error, NotBanned) or not is_banned(run, vendor, url, pace=pace)


def _wait_for_host(run: Run, backlog: Backlog, task: Task, reason: str) -> None:
    """Postpone a task of one host that the vendor refuses for now; end it after ``HOST_WAITS``."""
    now = run.clock()
    age = now - task.created_at
    if age < HOST_WAITS:
        until = now + min(max(age / 2, HOST_SOONEST), HOST_LATEST)
        backlog.postpone(tasks.record_postponed(run.rows, task, until=until), until)
    elif give_up(run, task, UrlState.FAILED, reason=reason, chunks_by_id=backlog.chunks_of(task.slices)):
        run.emit(
            "task_finished",
            task_id=task.id,
            account=task.account,
            action=task.action.value,
            state="failed",
            urls=task.count,
            given_up=task.count,
            seconds=(now - task.received_at).total_seconds(),
        )
