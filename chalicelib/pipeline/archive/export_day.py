"""Archive one day of a vendor's export: the file as received, its rows, its rejects, and last the manifest.

Crash order: raw → rows and rejects → reports to the queue → manifest. All that follows the raw file is made from it
alone, so whoever goes on after a crash, or comes second, makes the same objects; a day whose raw file is stored is
not downloaded again. The manifest's one conditional write makes the day archived.
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
from chalicelib.domain.exports import ExportRow, RejectedRow, read_rows, time_point
from chalicelib.domain.model import ReportedUrl
from chalicelib.domain.reasons import reason_in_words
from chalicelib.ledger.export_days import ExportDay
from chalicelib.pipeline.archive.files import JSON, Stored, ZippedFile, fetch, json_line, lines, store, unzipped
from chalicelib.pipeline.archive.keys import ExportKeys, export_keys
from chalicelib.ports import Download, Objects, ReportQueue
from chalicelib.reports import native

SOURCE: Final = "alibaba-export"
"""The source under which archived URLs are reported; it must be among the configured sources."""

MESSAGE_URLS: Final = 1_000
MESSAGE_BYTES: Final = 200 * 1024
"""URLs, and bytes of them, in one message at the most: below the 256 KB that every queue takes."""


@dataclass(frozen=True, slots=True)
class ArchivedDay:
    """What the manifest of a day says."""

    manifest: str
    rows: int
    rejected: int
    archived_at: datetime
    new: bool = True
    """Whether it was archived just now, and not found archived."""


def archive_day(
    day: ExportDay,
    url: str,
    *,
    vendor: str,
    download: Download,
    objects: Objects,
    queue: ReportQueue | None,
    clock: Callable[[], datetime],
    directory: Path | None = None,
) -> ArchivedDay:
    """Archive a day whose export is complete, through files in ``directory`` (of the system, where not given).

    ``queue`` receives the URLs as reports; ``None``: nobody does. Raises what the download raises, ArchiveIncomplete,
    and OSError if the disk is full.
    """
    keys = export_keys(vendor, day.day, day.account, day.attempt)
    found = _archived(objects, keys)
    if found:
        return found
    with TemporaryDirectory(prefix="export-", dir=directory) as scratch:
        raw = _raw(url, keys, Path(scratch), download=download, objects=objects)
        content = _Content(raw.path)
        rows, rejects, counted = _derive(
            content, keys, Path(scratch), objects=objects, name=f"{day.account}.{day.attempt}"
        )
        reported = _report(lines(rows.path), day, vendor=vendor, queue=queue) if queue else None
        now = clock()
        manifest = {
            "kind": "illegal-urls",
            "vendor": vendor,
            "account": day.account,
            "day": day.day.isoformat(),
            "day_start": time_point(day.day).isoformat(),
            "attempt": day.attempt,
            "requested_by": day.requested_by or None,
            "task_name": day.task_name,
            "vendor_task_id": day.vendor_task_id,
            "export_created_at": day.created_at.isoformat() if day.created_at else None,
            "archived_at": now.isoformat(),
            "rows": counted.rows,
            "rejected": counted.rejected,
            "rows_by_reason": dict(sorted(counted.reasons.items())),
            "urls_reported": reported,
            "objects": {
                "raw": {**raw.described(), "content_sha256": content.sha256, "content_bytes": content.bytes},
                "rows": rows.described(),
                "rejects": rejects.described(),
            },
        }
        if objects.put_new(keys.manifest, json_line(manifest), content_type=JSON):
            return ArchivedDay(keys.manifest, counted.rows, counted.rejected, now)
    found = _archived(objects, keys)
    if found is None:
        raise ArchiveIncomplete(f"{keys.manifest} is being written by somebody else")
    return found


def _archived(objects: Objects, keys: ExportKeys) -> ArchivedDay | None:
    body = objects.get(keys.manifest)
    if body is None:
        return None
    said = json.loads(body)
    at = datetime.fromisoformat(said["archived_at"])
    return ArchivedDay(keys.manifest, said["rows"], said["rejected"], at, new=False)


def _raw(url: str, keys: ExportKeys, scratch: Path, *, download: Download, objects: Objects) -> Stored:
    """The file as received, stored and on disk: from the vendor, or from the store if it came that far before."""
    path = scratch / "raw.gz"
    if objects.sha256(keys.raw) is not None:
        return fetch(objects, keys.raw, path)
    with ZippedFile(path) as file:
        for block in download(url):
            file.write(block)
    return store(objects, keys.raw, file)


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


@dataclass(slots=True)
class _Counted:
    rows: int
    rejected: int
    reasons: Counter[str]


def _derive(
    content: Iterable[bytes], keys: ExportKeys, scratch: Path, *, objects: Objects, name: str
) -> tuple[Stored, Stored, _Counted]:
    """Make rows and rejects out of the raw content, and store them."""
    counted = _Counted(0, 0, Counter())
    with ZippedFile(scratch / "rows.gz") as good, ZippedFile(scratch / "rejects.gz") as bad:
        for each in read_rows(content):
            if isinstance(each, RejectedRow):
                counted.rejected += 1
                bad.write_line({"line": each.line, "reason": each.reason, "raw": each.raw, "archive": name})
            else:
                counted.rows += 1
                counted.reasons[each.reason] += 1
                good.write_line(_plain(each, name))
    rows, rejects = store(objects, keys.rows, good), store(objects, keys.rejects, bad)
    if not (rows.ours and rejects.ours):  # made by another version of this code: the manifest is to describe those
        reasons = Counter(str(row["reason_code"]) for row in lines(rows.path))
        counted = _Counted(reasons.total(), sum(1 for _ in lines(rejects.path)), reasons)
    return rows, rejects, counted


def _plain(row: ExportRow, name: str) -> dict[str, Any]:
    return {
        "blocked_at": row.blocked_at.isoformat(timespec="seconds").replace("+00:00", "Z") if row.blocked_at else None,
        "domain": row.domain,
        "url": row.url,
        "canonical_url": row.canonical,
        "account": row.account,
        "reason_code": row.reason,
        "reason": reason_in_words(row.reason)[0],
        "line": row.line,
        "archive": name,
    }


def _report(rows: Iterable[dict[str, Any]], day: ExportDay, *, vendor: str, queue: ReportQueue) -> int:
    """Send the archived URLs as reports; return how many. Sent again after a crash: claims make that harmless."""
    sent = 0
    for part in _messages(rows, reporter=f"{vendor}:{day.account}"):
        body = native.render(part, correlation_id=f"{day.account}:{day.day}:{day.attempt}")
        queue.send([(body.decode(), {"source": SOURCE, "format": "native"})])
        sent += len(part)
    return sent


def _messages(rows: Iterable[dict[str, Any]], *, reporter: str) -> Iterator[list[ReportedUrl]]:
    def reported(row: dict[str, Any]) -> ReportedUrl:
        words, category = reason_in_words(row["reason_code"])
        note = f"{row['reason_code']} {words}"[:200]
        return ReportedUrl(row["canonical_url"], category=category, reporter=reporter[:200], note=note)

    return cut(
        map(reported, rows),
        count=MESSAGE_URLS,
        size=MESSAGE_BYTES,
        size_of=lambda url: len(url.url) + len(url.note) + 60,
    )
