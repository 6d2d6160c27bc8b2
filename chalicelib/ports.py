"""All that the pipeline needs from outside. ``aws``, ``vendors`` and ``outbound`` implement it, tests fake it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from chalicelib.domain.export_calendar import ExportCalendar
from chalicelib.domain.model import Action, Sent, VendorLimits, VendorTask

Value = str | int | bytes | None | list["Value"] | dict[str, "Value"]
"""What a row's attribute may hold. ``None`` in an expectation means: the attribute is absent."""

Row = Mapping[str, Value]
Key = tuple[str, str]
"""Partition key and sort key: the attributes ``pk`` and ``sk`` of every row."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Write a row that must not exist yet."""

    row: Row


@dataclass(frozen=True, slots=True)
class Put:
    """Write a row whether or not it exists."""

    row: Row


@dataclass(frozen=True, slots=True)
class Update:
    """Change attributes of an existing row if ``expect`` holds (attribute → value; ``None``: absent)."""

    key: Key
    set: Row = field(default_factory=dict)
    expect: Row = field(default_factory=dict)
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a row. With ``expect`` it must be there with these values, so that one of several deciders succeeds.

    Without ``expect``, a row that is gone is no failure.
    """

    key: Key
    expect: Row = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """Demand that a row exists with these values, without changing it. Only in a transaction."""

    key: Key
    expect: Row


Write = Insert | Put | Update | Delete | Check


class Rows(Protocol):
    """The ledger's table: single-row conditional writes, small transactions, queries in one partition."""

    def get(
        self, keys: Sequence[Key], *, consistent: bool = False, attributes: Sequence[str] = ()
    ) -> dict[Key, dict[str, Value]]:
        """Read rows by key; keys without a row are absent from the answer. ``attributes``: only these (and the key)."""

    def query(
        self, pk: str, *, prefix: str = "", after: str = "", limit: int = 0, newest_first: bool = False
    ) -> list[dict[str, Value]]:
        """Read a partition in order of the sort key, consistently; ``limit`` 0 means all; ``after`` is exclusive."""

    def write(self, writes: Sequence[Write]) -> set[int]:
        """Do each write on its own, in any order; return the indices of those whose condition failed.

        A row may appear once in a call. Raises on every failure except a failed condition; some writes are done then.
        """

    def apply(self, write: Write) -> bool:
        """Do one write; ``False`` if its condition failed."""

    def transact(self, writes: Sequence[Write]) -> bool:
        """Do all writes or none (100 at most); ``False`` if a condition failed."""

    def add(self, key: Key, amounts: Mapping[str, int], *, beside: Row | None = None) -> dict[str, Value]:
        """Add to numbers by attribute, creating row and numbers as needed, and set attributes beside them.

        Return the whole new row. Additions of several callers never conflict.
        """


class BanVendor(Protocol):
    """A CDN account where URLs can be banned.

    Every call has a timeout. A vendor's client neither repeats nor paces its calls. An iterator makes one call for each
    step that is read: the pipeline waits for the vendor's rate before each step. Calls and steps raise ``VendorError``.
    """

    limits: VendorLimits

    def create_task(self, action: Action, urls: Sequence[str], ban_days: int) -> str:
        """Ask for a ban or unban of at most ``limits.urls_per_task`` URLs; return the vendor's task id.

        Raises ``UrlsFailed`` if the answer already names URLs that failed.
        """

    def find_task(self, action: Action, urls: Sequence[str], since: datetime, until: datetime) -> Iterator[str]:
        """Look for tasks of exactly these URLs, created between ``since`` and ``until``.

        Yield the id of each; an empty id for a call that showed none. Not called if the vendor is declarative.
        """

    def follow(self, tasks: Sequence[Sent]) -> Iterator[Sequence[VendorTask]]:
        """Yield what each call shows of these tasks; other tasks of the account may be among them."""

    def banned(self, url: str = "") -> Iterator[Sequence[str]] | None:
        """Yield the URLs that are banned now, or ``url`` alone if it is; ``None``: the vendor has no such list."""


class Wake(Protocol):
    """Wake the submitter or the tracker of an account. The pipeline sends wake-ups only through ``pipeline.waking``."""

    def __call__(self, group: str, *, mark: str) -> None:
        """Send a wake-up to an account's group. It is dropped if its mark was sent in the last five minutes."""


class Notify(Protocol):
    """Tell people who asked to be told."""

    def __call__(self, subject: str, text: str) -> None:
        """Send a message. Raises NotNotified if it was not taken."""


class CallBack(Protocol):
    """Have a source called back about reports. ``pipeline.lifecycle.calling_back`` says when."""

    def __call__(self, source: str, reports: Sequence[str], *, mark: str) -> None:
        """Have ``deliver_outcomes`` check soon whether these reports have ended. With the same mark this happens once.

        Never raises: a report that is not checked now is checked when its row in the ledger is due.
        """


class Emit(Protocol):
    """Say what happened: one log line per outcome, and the metrics that belong to it. Never a secret."""

    def __call__(self, event: str, /, **fields: object) -> None:
        """Emit one event by its name, with ids and counts as fields."""


class Post(Protocol):
    """Send a body to somebody outside. One call with a timeout; no retries, no redirects, only public addresses."""

    def __call__(self, url: str, *, headers: Mapping[str, str], body: bytes) -> int:
        """Send a body and return the status of the answer.

        Raises ``ConfigurationError`` (the URL or its address must not be called), ``Unavailable`` (nothing was sent)
        and ``AnswerUnknown`` (it may have arrived).
        """


class Probe(Protocol):
    """Ask the edge for a URL as a visitor would. No redirects, only public addresses; the body is not read."""

    def __call__(self, url: str, *, edge: str = "") -> int:
        """Return the status of the answer. Raises as ``Post`` does.

        ``edge`` is the host whose address is asked for the URL; empty: that of the URL's own host.
        """


class ReportQueue(Protocol):
    """The queue of reports."""

    def send(self, messages: Sequence[tuple[str, Mapping[str, str]]]) -> None:
        """Send bodies with their string attributes. Raises if any was not taken; some may have been."""


class Objects(Protocol):
    """Write-once objects in a bucket."""

    def put_new(self, key: str, body: bytes, *, content_type: str) -> bool:
        """Write an object with its SHA-256 checked by the store; ``False`` if the key exists already."""

    def put_new_file(self, key: str, path: Path, *, sha256: str, content_type: str) -> bool:
        """Write a file as ``put_new`` does, never held in memory; ``sha256`` (hexadecimal) is what it must have."""

    def get(self, key: str) -> bytes | None:
        """Read an object; ``None`` if there is none."""

    def blocks(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an object that is there, a block at a time."""

    def sha256(self, key: str) -> str | None:
        """Return an object's SHA-256 as the store verified it, hexadecimal; ``None`` if there is no object."""

    def keys(self, prefix: str) -> list[str]:
        """Return all keys that begin with ``prefix``, sorted."""


class Views(Protocol):
    """Objects that can be made again if they are gone: none of them is the only record of anything."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Read an object and its version; ``None`` if there is none."""

    def put(self, key: str, body: bytes, *, version: str | None = None) -> bool:
        """Write an object. With ``version`` only if the object has it still (empty: there is none); else ``False``."""


@dataclass(frozen=True, slots=True)
class ExportLimits:
    """How often a vendor lets its exports be called, in calls a second; each with its source in the vendor's file."""

    creates_per_second: float
    describes_per_second: float


@dataclass(frozen=True, slots=True)
class ExportStatus:
    """How far an export is. ``status`` is the vendor's word; ``download_url`` is empty until it is ``complete``."""

    status: str
    complete: bool
    download_url: str = field(default="", repr=False)  # may carry a signature in its query


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A URL that the vendor blocked by itself. ``line`` counts from 1, the header included.

    ``blocked_at`` is in UTC; ``None`` means that the file does not say. ``url`` is as the file has it; ``canonical`` is
    its canonical form. ``reason`` is the vendor's code.
    """

    line: int
    blocked_at: datetime | None
    domain: str
    url: str
    canonical: str
    account: str
    reason: str


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of an export that cannot be read: the reason in words, and the row's text, cut to some 2,000 characters."""

    line: int
    reason: str
    raw: str


class ExportVendor(Protocol):
    """A CDN account that tells which URLs the vendor blocked by itself, a day at a time. One call each, no retries."""

    limits: ExportLimits
    calendar: ExportCalendar
    download_hosts: tuple[str, ...]
    """Hosts that serve the vendor's files; ``*.`` stands for every name below a domain."""

    def task_name(self, day: date, attempt: int, task: int) -> str:
        """Name an export at the vendor. The same day, attempt and task give the same name."""

    def create_export(self, task_name: str, day_start: datetime) -> str:
        """Ask for the export of the day that begins at ``day_start`` (aware); return the vendor's task id.

        Raises every class of ``VendorError``; ``ContentRefused`` means that the vendor will not take this day.
        """

    def describe_export(self, task_id: str) -> ExportStatus:
        """Ask how far an export is. Raises as ``create_export`` does; ``ContentRefused``: the task is not known."""

    def read_rows(self, blocks: Iterable[bytes]) -> Iterator[ExportRow | RejectedRow]:
        """Read the rows of an export's file in order, with a few blocks in memory at most.

        No content stops the reading: a row that cannot be read is yielded as ``RejectedRow``.
        """

    def reason_in_words(self, code: str) -> tuple[str, str]:
        """Return the words and the report category of a reason code. For an unknown code the words are the code."""


class Download(Protocol):
    """Fetch the file of an export."""

    def __call__(self, url: str) -> Iterator[bytes]:
        """Yield the file's bytes as received, in blocks of at most 64 KiB; nothing is opened before the first.

        Raises while it is read: ``DownloadRefused`` (never again), ``DownloadExpired`` (describe the export again for
        a new URL), ``Unavailable`` or ``AnswerUnknown`` (later, from the beginning; the blocks so far are worthless).
        """
