"""Halve a task whose content the vendor refused, until the refused URLs stand alone.

A single refused URL ends with the vendor's reason. If the vendor refuses a host for now because of the host's state,
the host's URLs are separated from the others and tried again for ``HOST_WAITS``.
"""

from __future__ import annotations

from datetime import timedelta

from chalicelib.domain.errors import ContentRefused, HostNotReady, NotBanned, PermissionRefused
from chalicelib.domain.model import Action, TaskState, UrlState
from chalicelib.domain.pacing import Pace
from chalicelib.ledger import task_repeats, tasks
from chalicelib.ledger.tasks import Task
from chalicelib.pipeline import vendor_refusals
from chalicelib.pipeline.lifecycle.by_source import attributed
from chalicelib.pipeline.lifecycle.splitting import give_up, host_of, split, split_by_host, urls_of
from chalicelib.pipeline.run import Run
from chalicelib.pipeline.submission.backlog import Backlog
from chalicelib.pipeline.submission.vendor_tasks import emit_finished, is_banned
from chalicelib.ports import BanVendor

HOST_WAITS = timedelta(hours=6)
"""How long the URLs of a host that the vendor refuses for its state are tried, before they end as failed."""

HOSTS_REFUSED = 3
"""If so many hosts are refused one after the other, and none is accepted, the account itself counts as refused."""

HOST_SOONEST, HOST_LATEST = timedelta(minutes=1), timedelta(minutes=15)
"""The URLs of such a host are tried again after half the time that they have waited, within these bounds."""


class RefusedHosts:
    """The hosts for which a drain has learned that our keys lack the permission.

    Their URLs wait until the permission is given, or until the policy takes the host out of the account. Each try
    raises an alarm. If the vendor refuses ``HOSTS_REFUSED`` hosts one by one and accepts none, the account is refused.
    Hosts that were refused before, and wait, say nothing new about the account.
    """

    def __init__(self, run: Run, backlog: Backlog, *, accepted: bool) -> None:
        """Begin a drain. ``accepted`` says whether the vendor took calls a moment ago."""
        self._run, self._backlog = run, backlog
        self._hosts: set[str] = set()
        self._newly_refused = 0
        self._waited: set[str] = set()
        """Tasks that were refused before: they were postponed."""
        self._accepted = accepted

    def accepted(self) -> None:
        """Note that the vendor took a call."""
        self._accepted = True

    def meet(self, task: Task, error: PermissionRefused) -> bool:
        """Split a refused task by host, or let its only host wait; ``False`` if the account is refused."""
        urls = urls_of(task, self._backlog.chunks_of(task.slices))
        host = host_of(urls[0])
        if any(host_of(url) != host for url in urls):
            vendor_refusals.tell(self._run, error, task_id=task.id)
            self._backlog.recorded.add_first(
                *split_by_host(self._run, task, urls, reason=f"{error.code} {error}".strip())
            )
            return True
        self._hosts.add(host)
        self._newly_refused += task.id not in self._waited
        if self._newly_refused >= HOSTS_REFUSED and not self._accepted:
            return False
        vendor_refusals.tell(self._run, error, task_id=task.id, host=host)
        vendor_refusals.tell_refusal(self._run, error, subject=host)
        _postpone(self._run, self._backlog, task)
        return True

    def keep_back(self, task: Task, urls: list[str]) -> bool:
        """Postpone a task of a host that was refused a moment ago; ``False`` if it may be called."""
        if task.not_before:
            self._waited.add(task.id)
        if not self._hosts or any(host_of(url) not in self._hosts for url in urls):
            return False
        _postpone(self._run, self._backlog, task)
        return True


def isolate(run: Run, vendor: BanVendor, backlog: Backlog, task: Task, error: ContentRefused, *, pace: Pace) -> None:
    """Split a refused task in two, or end its single URL. ``pace`` is the pace of look-ups in the vendor's lists."""
    reason = f"{error.code} {error}".strip()
    chunks_by_id = backlog.chunks_of(task.slices)
    urls = urls_of(task, chunks_by_id)
    if isinstance(error, HostNotReady) and len(set(map(host_of, urls))) == 1:
        _wait_for_host(run, backlog, task, reason)
    elif task.count > 1:
        backlog.recorded.add(*split(run, task, reason=reason))
    elif task.action is Action.UNBAN and _is_lifted(run, vendor, urls[0], error, pace=pace):
        task = attributed(run.rows, task, chunks_by_id)
        tasks.finish(run.rows, task, TaskState.SUCCEEDED, reason=reason, now=run.clock())
        run.emit("unbanned_already", task_id=task.id, account=run.account, code=error.code)
    elif give_up(run, task, UrlState.REJECTED, reason=reason, chunks_by_id=chunks_by_id) is not None:
        run.emit("url_refused", task_id=task.id, account=run.account, code=error.code, problem=reason[:300])


def _is_lifted(run: Run, vendor: BanVendor, url: str, error: ContentRefused, *, pace: Pace) -> bool:
    """Return whether the URL of a refused unban is no longer banned: somebody else may have lifted its ban."""
    return isinstance(error, NotBanned) or not is_banned(run, vendor, url, pace=pace)


def _wait_for_host(run: Run, backlog: Backlog, task: Task, reason: str) -> None:
    """Postpone a task of one host that the vendor refuses for now; end it after ``HOST_WAITS``."""
    now = run.clock()
    if now - task.created_at < HOST_WAITS:
        _postpone(run, backlog, task)
        return
    given_up = give_up(run, task, UrlState.FAILED, reason=reason, chunks_by_id=backlog.chunks_of(task.slices))
    if given_up is not None:
        emit_finished(run, task, TaskState.FAILED, given_up=given_up)


def _postpone(run: Run, backlog: Backlog, task: Task) -> None:
    now = run.clock()
    until = now + min(max((now - task.created_at) / 2, HOST_SOONEST), HOST_LATEST)
    backlog.recorded.postpone(task_repeats.record_postponed(run.rows, task, until=until), until)
