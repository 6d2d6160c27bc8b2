"""Who may do what: the fakes hold each action of a function against the policy that the function has on AWS.

The function that acts is found on the stack: it is the outermost of ``ENTRIES`` between the fake and the test, or the
``World``, that called it. Thus whatever a test calls is held against a policy; what a test does by itself, or in the
middle of a function, is nobody's. An action that the policy does not allow
raises the ``ClientError`` of AWS. ``USES`` collects what the functions did, for the comparison the other way round.
Nothing is noted until ``switch_on`` was called: the walk costs some microseconds a call.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Protocol

from dev.fakes.limits import refusal
from dev.package import ROOT
from dev.policies import Allowed, Use, allowed_to, functions

ENTRIES: dict[str, dict[str, str]] = {
    "handlers/queues.py": {"take_queued_reports": "intake_reports", "follow_wake_up": "submit_tasks"},
    "pipeline/intake/receive.py": {"receive_report": "receive_report"},
    "pipeline/intake/batch.py": {"intake_reports": "intake_reports"},
    "pipeline/submission/submit.py": {"submit_tasks": "submit_tasks"},
    "pipeline/submission/track.py": {"track_tasks": "track_tasks"},
    "pipeline/submission/sweep.py": {"sweep": "sweep"},
    "pipeline/decisions/unban.py": {"carry_on": "sweep", "carry_out": "api_handler"},
    "pipeline/decisions/ban_by_hand.py": {"ban": "api_handler", "preview": "api_handler"},
    "pipeline/decisions/holds.py": {"approve": "api_handler", "refuse": "api_handler"},
    "pipeline/answers/url_status.py": {"of_url": "api_handler", "of_report": "api_handler"},
    "pipeline/answers/outcomes.py": {"deliver_outcomes": "deliver_outcomes"},
    "pipeline/answers/due_outcomes.py": {"name_due_reports": "sweep"},
    "pipeline/answers/statement_words.py": {"keep": "sweep"},
    "pipeline/upkeep/renew.py": {"renew_bans": "renew_bans"},
    "pipeline/upkeep/left_accounts.py": {"tell_of_left_accounts": "renew_bans"},
    "pipeline/upkeep/drift.py": {"detect_drift": "detect_drift"},
    "pipeline/upkeep/take_over.py": {"take_over": "detect_drift"},
    "pipeline/upkeep/canary.py": {"fly": "verify_bans"},
    "pipeline/upkeep/verify.py": {"verify_bans": "verify_bans"},
    "pipeline/archive/exports.py": {"archive_exports": "archive_exports"},
    "pipeline/archive/ledger.py": {"archive_ledger": "archive_ledger"},
    "handlers/reports.py": {"read": "api_handler", "find": "api_handler"},
    "handlers/urls.py": {"*": "api_handler"},
    "handlers/operators.py": {"*": "api_handler"},
    "handlers/unbans.py": {"*": "api_handler"},
    "handlers/activity.py": {"*": "api_handler"},
    "handlers/counts.py": {"*": "api_handler"},
    "handlers/ban_list.py": {"*": "api_handler"},
    "handlers/callbacks.py": {"*": "api_handler"},
    "handlers/ban_by_hand.py": {"*": "api_handler"},
    "handlers/exports.py": {"*": "api_handler"},
    "handlers/holds.py": {"*": "api_handler"},
    "handlers/second_person.py": {"*": "api_handler"},
    "handlers/statements.py": {"*": "api_handler"},
    "handlers/trials.py": {"*": "api_handler"},
    "pipeline/answers/ban_index.py": {"index_bans": "index_bans"},
    "pipeline/answers/index_check.py": {"check_index": "detect_drift"},
}
"""File of ``chalicelib`` → function in it (``*``: any) → the function of ``app.py`` whose role it works with."""

USES: defaultdict[str, set[Use]] = defaultdict(set)
"""Function of ``app.py`` → what it did. A row's key is cut after its kind: ``report#`` for ``report#r-1``."""

PASSED = {"rows.py", "objects.py", "wrappers.py", "rights.py", "fifo.py"}
"""Files of this directory that stand between a function and what it calls: the search goes on behind them."""

_on = False


class Note(Protocol):
    """Is told of every action of a fake."""

    def __call__(self, action: str, resource: str, key: str = "") -> None:
        """Note an action on a resource, and on rows of a partition."""


def switch_on() -> None:
    """Hold actions against policies from now on."""
    global _on  # noqa: PLW0603, the fakes are made in a thousand places
    _on = True


@contextmanager
def unattributed() -> Iterator[None]:
    """Note nothing in this context: what happens in it is the late effect of another function's call."""
    global _on  # noqa: PLW0603, see above
    was, _on = _on, False
    try:
        yield
    finally:
        _on = was


def note(action: str, resource: str, key: str = "") -> None:
    """Note what the function at work does. Raises ClientError where its policy does not allow it."""
    function = function_at_work() if _on else ""
    if not function:
        return
    kind, separator, _ = key.partition("#")
    use = Use(action, resource, kind + separator)
    if use in USES[function]:
        return
    if not any(allowed.allows(use) for allowed in _allowed_to(function)):
        message = f"the policy of {function} does not allow {action} on {resource} {use.key}".strip()
        raise refusal(action, message, code="AccessDeniedException")
    USES[function].add(use)


def function_at_work() -> str:
    """Name the function of ``app.py`` that called a method of a fake, which called ``note``; empty where none did."""
    function = ""
    frame: FrameType | None = sys._getframe(3)  # noqa: SLF001, a list of all frames would take ten times as long
    while frame is not None:
        names = _names_in(frame.f_code.co_filename)
        if names is None:
            break
        if names:
            function = names.get(frame.f_code.co_name) or names.get("*") or function
        frame = frame.f_back
    return function


def unused() -> set[tuple[str, str]]:
    """Return what policies allow on table, queues, topic and archive, and no function did.

    What the platform and ``bootstrap`` do for a function is left out: logs, its own queue, documents and secrets.
    """
    return {
        (function, f"{allowed.action} {allowed.resource} {' '.join(allowed.keys)}".strip())
        for function in functions()
        for allowed in allowed_to(function)
        if allowed.action.startswith(("dynamodb:", "s3:", "sqs:Send", "sns:"))
        and not allowed.resource.startswith("Archive/policy/")
        and not any(allowed.allows(use) for use in USES[function])
    }


@cache
def _names_in(filename: str) -> dict[str, str] | None:
    """Return the entries in a file; ``None`` for a file at which the search ends."""
    path = Path(filename)
    if not path.is_relative_to(ROOT):
        return {}
    place = path.relative_to(ROOT).parts
    if place[0] == "chalicelib":
        return ENTRIES.get("/".join(place[1:]), {})
    if place[0] in {"tests", "bench", "dev"} and not (place[:2] == ("dev", "fakes") and place[-1] in PASSED):
        return None
    return {}


@cache
def _allowed_to(function: str) -> list[Allowed]:
    return allowed_to(function)
