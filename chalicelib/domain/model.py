"""The words of edgeban as types. See README, "Words"."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

CHUNK_URLS = 1_000
"""The most URLs in a chunk: a chunk never needs more than one ban task."""

CHUNK_BYTES = 256 * 1024
"""The most bytes of URLs and their origins in a chunk: its compressed row stays below 400 KB."""


class Action(StrEnum):
    """What a task asks of the vendor."""

    BAN = "ban"
    UNBAN = "unban"


class TaskState(StrEnum):
    """States of a ban task: ``submitting`` until the vendor's task id is recorded, then what the vendor says."""

    SUBMITTING = "submitting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether the task has ended."""
        return self in {TaskState.SUCCEEDED, TaskState.FAILED}


class ChunkState(StrEnum):
    """States of a chunk that is not yet wholly in tasks."""

    OPEN = "open"  # its URLs are being claimed, under a lease
    WAITING = "waiting"  # sealed: the submitter may pack it
    HELD = "held"  # sealed: a person decides
    REFUSED = "refused"  # a person refused it: its URLs are about to end


class UrlState(StrEnum):
    """The state of one reported URL at one vendor account. All states except PENDING and PROCESSING are final."""

    PENDING = "pending"  # claimed, not at the vendor yet
    PROCESSING = "processing"  # the vendor works on it
    BANNED = "banned"
    REJECTED = "rejected"
    HELD = "held"
    SUPPRESSED = "suppressed"
    FAILED = "failed"
    UNBANNED = "unbanned"
    EXPIRED = "expired"  # the ban came to its planned end


# --- what comes in ---------------------------------------------------------------------------------------


class ReportedUrl(NamedTuple):
    """One URL as a report names it. Empty or ``None``: the report does not say, and the source's default counts.

    ``ban_days`` is in days; ``reported_at`` is aware (UTC).
    """

    url: str
    category: str = ""
    reporter: str = ""
    ban_days: int | None = None
    reported_at: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A part of a report that names nothing to ban, with the reason in words. ``where`` is a line or a path."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A source takes back its own word for a URL, found by the id that it gave or by URL and reporter.

    ``said_at`` is aware (UTC): only words that were said by then are taken back. ``reason`` is in words.
    """

    url: str
    id: str = ""
    reporter: str = ""
    said_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ParsedReport:
    """What a parser reads from one body. ``test`` reports take the whole way, but never reach a vendor.

    ``parts_skipped`` counts all parts that name nothing to ban; ``skipped`` lists the first of them. ``elsewhere``
    counts URLs that are not on our hosts, which a report of this size does not list.
    """

    urls: tuple[ReportedUrl, ...]
    skipped: tuple[Skipped, ...] = ()
    correlation_id: str = ""
    test: bool = False
    withdrawals: tuple[Withdrawal, ...] = ()
    parts_skipped: int = 0
    elsewhere: int = 0

    @property
    def names_nothing(self) -> bool:
        """Whether the report names no URL at all: neither to ban, nor elsewhere, nor to withdraw."""
        return not (self.urls or self.elsewhere or self.withdrawals)


# --- vendors -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VendorLimits:
    """What a vendor allows and how its bans behave. Each vendor's client names the source of each figure."""

    urls_per_task: int
    creates_per_second: float
    lists_per_second: float
    """Calls a second for each of the two lists: tasks, and banned URLs."""
    task_window: timedelta
    """The longest span between start and end of one query of the task list."""
    longest_ban: timedelta | None
    """The longest ban that the vendor grants; ``None``: the vendor ends no ban, so edgeban lifts it."""
    parallel: int = 40
    """How many calls may overlap: enough for ten calls a second of three seconds each, and for recording them."""
    declarative: bool = False
    """Whether an answered call is done and may safely be repeated: there is no task to follow."""
    urls_per_day: int = 0
    """URLs that may be banned a day; 0: no such limit is known."""
    unbans_per_day: int = 0
    """URLs that may be unbanned a day; 0: no such limit is known."""
    utc_offset: timedelta = timedelta()
    """How far ahead of UTC the vendor's day begins."""
    capacity: int = 0
    """URLs that the vendor's store holds; 0: no such limit is known."""
    settles: timedelta = timedelta()
    """How long after "done" the edge may still serve a banned URL."""
    longest_key: int = 0
    """The store takes URLs of so many bytes unchanged; 0: of any length."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A task that the vendor accepted: the vendor's id, and the span of time in which the vendor created it."""

    id: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class VendorTask:
    """A task as the vendor shows it. ``state`` is ``None`` if we do not know the vendor's word for it."""

    id: str
    action: Action | None
    state: TaskState | None
    urls: tuple[str, ...]
    created_at: datetime
    failed: tuple[str, ...] = ()
    """The ``urls`` that the vendor names as failed; empty if it says nothing about single URLs."""
    by_url: bool = False
    """Whether the list tells the state of each URL, so that it may show a part of a task."""


@dataclass(frozen=True, slots=True)
class VendorAccount:
    """How to reach one account at one vendor. ``credentials`` never appears in a repr."""

    name: str
    vendor: str
    endpoint: str
    credentials: dict[str, str] = field(repr=False, default_factory=dict)


# --- words of the policy ---------------------------------------------------------------------------------------


class BareHosts(StrEnum):
    """What happens to a report of the root of a host: its ban would take a site's front page down."""

    BAN = "ban"  # as of any page
    HOLD = "hold"  # a person decides
    REJECT = "reject"  # the source is told to report the page


class SchemeVariants(StrEnum):
    """Whether the http and the https variant of a URL are banned with each other."""

    APART = "apart"  # only as reported
    TOGETHER = "together"  # both, whichever is reported


# --- decisions ----------------------------------------------------------------------------------------------------


class VerdictKind(StrEnum):
    """What is decided about one reported URL at one account."""

    BAN = "ban"
    HOLD = "hold"  # a person decides
    DUPLICATE = "duplicate"  # it is banned, or on its way
    REJECTED = "rejected"  # never sent: unusable, or not ours
    SUPPRESSED = "suppressed"  # not sent now: protected, cooling down, dry run


CLAIMING = frozenset({VerdictKind.BAN, VerdictKind.HOLD})
"""A URL with one of these verdicts is claimed: its report asks for a ban."""


class Rule(StrEnum):
    """Why a verdict was given or a chunk was made: the name by which operators and sources see it."""

    # The policy's verdicts
    DEFAULT = "default"  # nothing speaks against the ban
    UNUSABLE_URL = "unusable_url"  # not an absolute http or https URL
    NOT_MANAGED = "not_managed"  # the host is not ours
    PROTECTED = "protected"
    BARE_HOST = "bare_host"  # the URL is the root of its host
    COOL_DOWN = "cool_down"  # unbanned a short while ago
    REFUSED = "refused"  # a person decided not to ban it, and the decision has not ended
    DECIDED_BEFORE = "decided_before"  # a person decided against it, and another source reports it
    WITHDRAWN = "withdrawn"  # its source took its word back
    LIVE = "live"  # banned already, or on its way
    DRY_RUN = "dry_run"
    CORROBORATION = "corroboration"  # more independent reporters are needed
    REVIEW = "review"  # a person decides about all that this source reports
    SOURCE_CAP = "source_cap"
    HOST_CAP = "host_cap"
    ACCOUNT_CAP = "account_cap"
    SHARE_CAP = "share_cap"  # too large a share of the account's live bans
    # Intake's
    CONTENTION = "contention"  # holds of version 1: it could not count the bans against the caps
    TEST = "test"  # the report is a test
    # Answers to a person who bans by hand
    NOT_IN_FORCE = "not_in_force"  # there is no ban whose end could be changed
    # Chunks that no report asked for
    RENEWAL = "renewal"  # renews bans that last longer than the vendor grants
    RELEASED = "released"  # bans URLs that were held, since a report came that needs no approval
    BY_HAND = "by_hand"  # a person banned it, without a report
    TAKEN_OVER = "taken_over"  # the vendor banned it before edgeban knew of it
    RETRY = "retry"  # sends URLs again that the vendor failed or refused
    DRIFT = "drift"  # bans URLs again that the vendor's list has lost
    UNBAN = "unban"  # an operator's word
    ENDED = "ended"  # lifts bans at their planned end, if the vendor does not
    UNDO = "undo"  # an operator took back what a source, a report or a task said


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, the rule that made it, and the reason in words for the source. The vendor gets ``ban_days``."""

    kind: VerdictKind
    rule: Rule
    reason: str = ""
    ban_days: int = 0
