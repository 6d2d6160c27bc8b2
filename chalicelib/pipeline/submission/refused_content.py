"""Halve a task whose content the vendor refused, until the refused URLs stand alone.

A single refused URL ends with the vendor's reason. If the vendor refuses a host for now because of the host's state,
the host's URLs are separated from the others and tried again for ``HOST_WAITS``. If the vendor's code is not known, the
cause may pass, or may not be the URL: a ban ends as failed and is sent again, an unban waits as for its host.
"""

from __future__ import annotations

from datetime import timedelta

from chalicelib.domain.errors import ContentRefused, HostNotReady, NotBanned, PermissionRefused, UnknownRefusal
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

UNKNOWN_REFUSALS = 8
"""If so many calls of a drain are refused with codes that we do not know, and none is accepted, the URLs wait."""

HOST_SOONEST, HOST_LATEST = timedelta(minutes=1), timedelta(minutes=15)
"""The URLs of such a host are tried again after half the time that they have waited, within these bounds."""


class Refusals:
    """What a drain has learned from refusals of its calls.

    *Hosts* for which our keys lack the permission wait until it is given, or until the policy takes the host out of the
    account. Each try raises an alarm. If the vendor refuses ``HOSTS_REFUSED`` hosts one by one and accepts none, the
    account is refused. Hosts that were refused before, and wait, say nothing new about the account.

    *Codes that we do not know* count as refusals of single URLs. If the vendor refuses more than ``UNKNOWN_REFUSALS``
    calls so and accepts none, the URLs are hardly the cause: they wait, and people are told.
    """

    def __init__(self, run: Run, vendor: BanVendor, backlog: Backlog, *, pace: Pace, accepted: bool) -> None:
        """Begin a drain. ``accepted`` says whether the vendor took calls a moment ago.

        ``pace`` is the pace of look-ups in the vendor's lists.
        """
        self._run, self._vendor, self._backlog, self._pace = run, vendor, backlog, pace
        self._hosts: set[str] = set()
        self._newly_refused = self._unknown = 0
        self._waited: set[str] = set()
        """Tasks that were refused before: they were postponed."""
        self._accepted_lately, self._accepted = accepted, False

    def accepted(self) -> None:
        """Note that the vendor took a call."""
        self._accepted_lately = self._accepted = True

    def of_host(self, task: Task, error: PermissionRefused) -> bool:
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
        if self._newly_refused >= HOSTS_REFUSED and not self._accepted_lately:
            return False
        vendor_refusals.tell(self._run, error, task_id=task.id, host=host)
        vendor_refusals.tell_refusal(self._run, error, subject=host)
        self._postpone(task)
        return True

    def keep_back(self, task: Task, urls: list[str]) -> bool:
        """Postpone a task that would be refused as others were a moment ago; ``False`` if it may be called."""
        if task.not_before:
            self._waited.add(task.id)
        of_host = self._hosts and all(host_of(url) in self._hosts for url in urls)
        if not of_host and not (task.not_before and self._refuses_everything):
            return False
        self._postpone(task)
        return True

    @property
    def _refuses_everything(self) -> bool:
        return self._unknown > UNKNOWN_REFUSALS and not self._accepted

    def _is_not_to_blame(self, task: Task) -> bool:
        """Whether the URLs of a task are hardly the cause of a refusal for a reason that we do not know."""
        waited = task.id in self._waited and not self._accepted
        return (waited or self._refuses_everything) and self._run.clock() - task.created_at < HOST_WAITS

    def of_content(self, task: Task, error: ContentRefused) -> None:
        """Split a refused task in two, end its single URL, or let it wait."""
        run, reason = self._run, f"{error.code} {error}".strip()
        chunks_by_id = self._backlog.chunks_of(task.slices)
        urls = urls_of(task, chunks_by_id)
        unknown, alone = isinstance(error, UnknownRefusal), task.count == 1
        if unknown:
            self._unknown += 1
            run.emit("vendor_word_unknown", account=run.account, kind=error.code, problem=reason[:300])
        if isinstance(error, HostNotReady) and len(set(map(host_of, urls))) == 1:
            self._wait(task, reason)
        elif unknown and self._is_not_to_blame(task):
            vendor_refusals.tell_refusal(run, error, subject=task.action)
            self._postpone(task)
        elif not alone:
            self._backlog.recorded.add(*split(run, task, reason=reason))
        elif task.action is Action.UNBAN and self._is_lifted(urls[0], error):
            task = attributed(run.rows, task, chunks_by_id)
            tasks.finish(run.rows, task, TaskState.SUCCEEDED, reason=reason, now=run.clock())
            run.emit("unbanned_already", task_id=task.id, account=run.account, code=error.code)
        elif unknown and task.action is Action.UNBAN:
            vendor_refusals.tell_refusal(run, error, subject=task.action)
            self._wait(task, reason)
        elif unknown:
            self._fail(task, reason)
        elif give_up(run, task, UrlState.REJECTED, reason=reason, chunks_by_id=chunks_by_id) is not None:
            run.emit("url_refused", task_id=task.id, account=run.account, code=error.code, problem=reason[:300])

    def _is_lifted(self, url: str, error: ContentRefused) -> bool:
        """Return whether the URL of a refused unban is no longer banned: somebody else may have lifted its ban."""
        return isinstance(error, NotBanned) or not is_banned(self._run, self._vendor, url, pace=self._pace)

    def _wait(self, task: Task, reason: str) -> None:
        """Postpone a task that the vendor refuses for now; end it after ``HOST_WAITS``."""
        if self._run.clock() - task.created_at < HOST_WAITS:
            self._postpone(task)
        else:
            self._fail(task, reason)

    def _fail(self, task: Task, reason: str) -> None:
        """End the URLs of a task as failed: ``lifecycle.retrying`` sends them again."""
        chunks_by_id = self._backlog.chunks_of(task.slices)
        given_up = give_up(self._run, task, UrlState.FAILED, reason=reason, chunks_by_id=chunks_by_id)
        if given_up is not None:
            emit_finished(self._run, task, TaskState.FAILED, given_up=given_up)

    def _postpone(self, task: Task) -> None:
        now = self._run.clock()
        until = now + min(max((now - task.created_at) / 2, HOST_SOONEST), HOST_LATEST)
        postponed = task_repeats.record_postponed(self._run.rows, task, until=until)
        self._backlog.recorded.postpone(postponed, until)
