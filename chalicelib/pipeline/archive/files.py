"""Files of an archive: made on disk with their SHA-256, and put into the store once.

The objects in the store are the truth. A run that comes second reads the first run's object and continues with it. So a
manifest describes exactly the objects beside it, whatever crashed or ran at the same time.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, cast

from chalicelib.domain.errors import ArchiveIncomplete
from chalicelib.ports import Objects

BLOCK: Final = 256 * 1024
LEVEL: Final = 6
"""Level of gzip. 9, Python's default, takes about twice the time and makes the files 7 % smaller."""

GZIP: Final = "application/gzip"
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it lies in the store, with a copy on disk. ``ours``: this run made these bytes."""

    key: str
    path: Path
    sha256: str
    bytes: int
    ours: bool

    def described(self) -> dict[str, Any]:
        """Return what a manifest says of the object."""
        return {"key": self.key, "sha256": self.sha256, "bytes": self.bytes}


class _Hashed:
    """A file that knows the SHA-256 of its content."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


class ZippedFile:
    """A gzip file that is being written. It has neither name nor time in its header: same content, same bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hashed = _Hashed(path)
        self._gzip = gzip.GzipFile(
            filename="", mode="wb", fileobj=cast("IO[bytes]", self._hashed), mtime=0, compresslevel=LEVEL
        )
        self._lines: list[bytes] = []
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._gzip.close()
        self._hashed.file.close()

    def write(self, data: bytes) -> None:
        """Add content."""
        self._lines.append(data)
        self._waiting += len(data)
        if self._waiting >= BLOCK:  # A call of gzip for every line would cost as much as everything else together.
            self._flush()

    def _flush(self) -> None:
        self._gzip.write(b"".join(self._lines))
        self._lines.clear()
        self._waiting = 0

    def write_line(self, document: Mapping[str, Any]) -> None:
        """Add a JSON document as a line."""
        self.write(json_line(document))

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, once it is closed."""
        return self._hashed.digest.hexdigest()


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def json_line(document: Mapping[str, Any]) -> bytes:
    """Write a JSON document on one line, as Athena reads it."""
    return _encode(document).encode("utf-8", "replace") + b"\n"


def store(objects: Objects, key: str, file: ZippedFile) -> Stored:
    """Put a closed file, or take the one that lies there already. Raises as ``fetch`` does."""
    if objects.put_new_file(key, file.path, sha256=file.sha256, content_type=GZIP):
        return Stored(key, file.path, file.sha256, file.path.stat().st_size, ours=True)
    if objects.sha256(key) == file.sha256:
        return Stored(key, file.path, file.sha256, file.path.stat().st_size, ours=True)
    return fetch(objects, key, file.path)


def store_small(objects: Objects, key: str, body: bytes, *, content_type: str) -> dict[str, Any]:
    """Put a small object, or take the one that lies there; return what a manifest says of it."""
    if not objects.put_new(key, body, content_type=content_type):
        other = objects.get(key)
        if other is None:
            raise ArchiveIncomplete(f"{key} is being written by another run")
        body = other
    return {"key": key, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}


def fetch(objects: Objects, key: str, path: Path) -> Stored:
    """Copy an object to disk. Raises ArchiveIncomplete if there is none, or if the bytes differ from the store's."""
    expected = objects.sha256(key)
    if expected is None:
        raise ArchiveIncomplete(f"{key} is being written by another run")
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for block in objects.blocks(key):
            digest.update(block)
            size += len(block)
            file.write(block)
    if digest.hexdigest() != expected:
        raise ArchiveIncomplete(f"{key} arrived with another SHA-256 than the store has")
    return Stored(key, path, expected, size, ours=False)


def unzipped(path: Path) -> Iterator[bytes]:
    """Yield the content of a gzip file, a block at a time."""
    with gzip.open(path, "rb") as file:
        while block := file.read(BLOCK):
            yield block


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the documents of a zipped file of JSON lines."""
    with gzip.open(path, "rb") as file:
        for line in file:
            yield json.loads(line)
