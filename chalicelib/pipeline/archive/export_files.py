"""Make the files of one exported day: the file as received, its rows, its rejects, and last the manifest.

Crash order: raw → rows and rejects → reports to the queue → manifest. Everything after the raw file is made only from
it. So a run that continues after a crash, or that comes second, makes the same objects, and does not download a stored
raw file again. One conditional write of the manifest makes the day archived.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from chalicelib.domain.cutting import cut
from chalicelib.domain.errors import ArchiveIncomplete
from chalicelib.domain.model import ReportedUrl
from chalicelib.ledger.export_days import ArchivedDay, ExportDay
from chalicelib.pipeline.archive.files import JSON, Stored, ZippedFile, fetch, json_line, lines, store, unzipped
from chalicelib.pipeline.archive.keys import ExportKeys, export_keys
from chalicelib.ports import Download, ExportRow, ExportVendor, Objects, RejectedRow, ReportQueue
from chalicelib.reports import native

MESSAGE_URLS: Final = 1_000
MESSAGE_BYTES: Final = 200 * 1024
"""Most URLs in one message, and most bytes of them: below the 256 KB that every queue takes."""


@dataclass(frozen=True, slots=True)
class ExportRoute:
    """Where the exports of one account come from, and where they go."""

    vendor_name: str
    vendor: ExportVendor
    download: Download
    objects: Objects
    reports: ReportQueue | None
    """Receives the archived URLs as reports; ``None``: they are not reported."""

    @property
    def source(self) -> str:
        """The source of the reports. It must be among the configured sources."""
        return f"{self.vendor_name}-export"


def archive_day(day: ExportDay, url: str, route: ExportRoute, clock: Callable[[], datetime]) -> ArchivedDay:
    """Archive a day whose export is complete.

    An attempt that confirms an earlier one stores nothing if the content is the same, and returns the earlier one.
    Raises what the download raises, ArchiveIncomplete, and OSError if the disk is full.
    """
    keys = export_keys(route.vendor_name, day.day, day.account, day.attempt)
    if own := _read_manifest(route.objects, keys):
        return own
    earlier = _Earlier(route.objects, export_keys(route.vendor_name, day.day, day.account, day.confirms))
    with TemporaryDirectory(prefix="export-") as directory:
        scratch = Path(directory)
        raw = _raw_file(url, keys, scratch, route, earlier)
        if raw is None:
            return earlier.archived
        content = _Content(raw.path)
        files = _derive(content, keys, scratch, route, archive=f"{day.account}.{day.attempt}")
        reported = _report(lines(files.rows.path), day, route, route.reports) if route.reports else None
        now = clock()
        manifest = {
            **_described(day, route),
            "archived_at": now.isoformat(),
            "rows": files.count,
            "rejected": files.rejected,
            "rows_by_reason": dict(sorted(files.reasons.items())),
            "urls_reported": reported,
            "differs_from": earlier.described(day.confirms) if day.confirms else None,
            "objects": {
                "raw": {**raw.described(), "content_sha256": content.sha256, "content_bytes": content.bytes},
                "rows": files.rows.described(),
                "rejects": files.rejects.described(),
            },
        }
        if route.objects.put_new(keys.manifest, json_line(manifest), content_type=JSON):
            return ArchivedDay(keys.manifest, files.count, files.rejected, now)
    other = _read_manifest(route.objects, keys)
    if other is None:
        raise ArchiveIncomplete(f"{keys.manifest} is being written by another run")
    return other


def _described(day: ExportDay, route: ExportRoute) -> dict[str, Any]:
    """Return what the manifest says of the day and its export."""
    return {
        "kind": "illegal-urls",
        "vendor": route.vendor_name,
        "account": day.account,
        "day": day.day.isoformat(),
        "day_start": route.vendor.calendar.start_of(day.day).isoformat(),
        "attempt": day.attempt,
        "requested_by": day.requested_by or None,
        "task_name": route.vendor.task_name(day.day, day.attempt, day.task),
        "vendor_task_id": day.vendor_task_id,
        "export_created_at": day.created_at.isoformat() if day.created_at else None,
    }


def _read_manifest(objects: Objects, keys: ExportKeys) -> ArchivedDay | None:
    body = objects.get(keys.manifest)
    if body is None:
        return None
    return _archived(keys.manifest, json.loads(body))


def _archived(key: str, manifest: dict[str, Any]) -> ArchivedDay:
    archived_at = datetime.fromisoformat(manifest["archived_at"])
    return ArchivedDay(key, manifest["rows"], manifest["rejected"], archived_at)


class _Earlier:
    """The archived attempt with which a file is compared, if there is one."""

    def __init__(self, objects: Objects, keys: ExportKeys) -> None:
        body = objects.get(keys.manifest)
        self.key = keys.manifest
        self.manifest: dict[str, Any] = json.loads(body) if body else {}

    def is_same(self, path: Path) -> bool:
        """Return whether a file has the same content as the archived one."""
        if not self.manifest:
            return False
        content = _Content(path)
        for _ in content:
            pass
        return bool(content.sha256 == self.manifest["objects"]["raw"]["content_sha256"])

    @property
    def archived(self) -> ArchivedDay:
        """What the earlier attempt archived."""
        return _archived(self.key, self.manifest)

    def described(self, attempt: int) -> dict[str, Any]:
        """Return what the manifest of a new version says of the earlier one."""
        return {"attempt": attempt, "manifest": self.key, "rows": self.manifest.get("rows")}


def _raw_file(url: str, keys: ExportKeys, scratch: Path, route: ExportRoute, earlier: _Earlier) -> Stored | None:
    """Store the file as received: from the vendor, or from the store if an earlier run put it there.

    ``None``: it is the same as that of the earlier attempt, and is not stored again.
    """
    path = scratch / "raw.gz"
    if route.objects.sha256(keys.raw) is not None:
        return fetch(route.objects, keys.raw, path)
    with ZippedFile(path) as file:
        for block in route.download(url):
            file.write(block)
    return None if earlier.is_same(path) else store(route.objects, keys.raw, file)


class _Content:
    """The content of the raw file, hashed and counted while it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self.bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for block in unzipped(self._path):
            self._digest.update(block)
            self.bytes += len(block)
            yield block

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Derived:
    """The files made from the raw one, and the counts of their rows."""

    rows: Stored
    rejects: Stored
    reasons: Counter[str]
    rejected: int

    @property
    def count(self) -> int:
        return self.reasons.total()


def _derive(content: Iterable[bytes], keys: ExportKeys, scratch: Path, route: ExportRoute, *, archive: str) -> _Derived:
    """Make rows and rejects from the raw content, and store them."""
    reasons: Counter[str] = Counter()
    rejected = 0
    with ZippedFile(scratch / "rows.gz") as rows_file, ZippedFile(scratch / "rejects.gz") as rejects_file:
        for row in route.vendor.read_rows(content):
            if isinstance(row, RejectedRow):
                rejected += 1
                rejects_file.write_line({"line": row.line, "reason": row.reason, "raw": row.raw, "archive": archive})
            else:
                reasons[row.reason] += 1
                words, _ = route.vendor.reason_in_words(row.reason)
                rows_file.write_line(_as_json(row, words, archive))
    rows, rejects = store(route.objects, keys.rows, rows_file), store(route.objects, keys.rejects, rejects_file)
    if not (rows.ours and rejects.ours):  # Another version of this code stored them: the manifest describes those.
        reasons = Counter(str(row["reason_code"]) for row in lines(rows.path))
        rejected = sum(1 for _ in lines(rejects.path))
    return _Derived(rows, rejects, reasons, rejected)


def _as_json(row: ExportRow, words: str, archive: str) -> dict[str, Any]:
    return {
        "blocked_at": row.blocked_at.isoformat(timespec="seconds").replace("+00:00", "Z") if row.blocked_at else None,
        "domain": row.domain,
        "url": row.url,
        "canonical_url": row.canonical,
        "account": row.account,
        "reason_code": row.reason,
        "reason": words,
        "line": row.line,
        "archive": archive,
    }


def _report(rows: Iterable[dict[str, Any]], day: ExportDay, route: ExportRoute, queue: ReportQueue) -> int:
    """Send the archived URLs as reports; return how many. A crash sends them again: claims make that harmless."""
    reporter = f"{route.vendor_name}:{day.account}"[:200]

    def reported(row: dict[str, Any]) -> ReportedUrl:
        words, category = route.vendor.reason_in_words(row["reason_code"])
        note = f"{row['reason_code']} {words}"[:200]
        return ReportedUrl(row["canonical_url"], category=category, reporter=reporter, note=note)

    sent = 0
    for urls in cut(map(reported, rows), count=MESSAGE_URLS, size=MESSAGE_BYTES, size_of=_size_of):
        body = native.render(urls, correlation_id=f"{day.account}:{day.day}:{day.attempt}")
        queue.send([(body.decode(), {"source": route.source, "format": "native"})])
        sent += len(urls)
    return sent


def _size_of(url: ReportedUrl) -> int:
    return len(url.url) + len(url.note) + 60
