"""The archive bucket in memory: the same promises and refusals as S3's, with its state in the open."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from typing import Any

from dev.fakes import limits, rights


class MemoryObjects:
    """Implements ``ports.Objects`` over a dict. ``puts`` counts the objects that were written."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []
        self.note: rights.Note = rights.note
        self._lock = RLock()

    def put_new(self, key: str, body: bytes, *, content_type: str) -> bool:
        """See ``Objects.put_new``."""
        limits.check_object_key(key)
        self.note("s3:PutObject", f"Archive/{key}")
        with self._lock:
            if key in self.objects:
                return False
            self.objects[key] = body
            self.puts.append(key)
            return True

    def put_new_file(self, key: str, path: Path, *, sha256: str, content_type: str) -> bool:
        """See ``Objects.put_new_file``."""
        body = path.read_bytes()
        if hashlib.sha256(body).hexdigest() != sha256:
            raise limits.refusal("PutObject", "the bytes are not those of the checksum", code="BadDigest")
        return self.put_new(key, body, content_type=content_type)

    def get(self, key: str) -> bytes | None:
        """See ``Objects.get``."""
        self._look_for(key)
        return self.objects.get(key)

    def blocks(self, key: str) -> Iterator[bytes]:
        """See ``Objects.blocks``."""
        self._look_for(key)
        if key not in self.objects:
            raise limits.refusal("GetObject", f"there is no object {key}", code="NoSuchKey")
        body = self.objects[key]
        yield from (body[start : start + 1000] for start in range(0, len(body), 1000))

    def sha256(self, key: str) -> str | None:
        """See ``Objects.sha256``."""
        self._look_for(key)
        return hashlib.sha256(self.objects[key]).hexdigest() if key in self.objects else None

    def keys(self, prefix: str) -> list[str]:
        """See ``Objects.keys``."""
        self.note("s3:ListBucket", "Archive")
        return sorted(key for key in self.objects if key.startswith(prefix))

    def _look_for(self, key: str) -> None:
        """Note the read. Only to those who may list the bucket does S3 say 404 for what is not there, and not 403.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
        """
        limits.check_object_key(key)
        self.note("s3:GetObject", f"Archive/{key}")
        if key not in self.objects:
            self.note("s3:ListBucket", "Archive")

    # --- results --------------------------------------------------------------------------------------------------

    def documents(self, key: str) -> list[dict[str, Any]]:
        """Return the JSON lines of an object, zipped or not."""
        body = self.objects[key]
        text = gzip.decompress(body) if key.endswith(".gz") else body
        return [json.loads(line) for line in text.splitlines()]

    def sound(self, manifest: str) -> None:
        """Hold a manifest against the objects that it names."""
        (document,) = self.documents(manifest)
        for entry in document["objects"].values():
            body = self.objects[entry["key"]]
            assert (entry["sha256"], entry["bytes"]) == (hashlib.sha256(body).hexdigest(), len(body)), entry["key"]
            if "content_sha256" in entry:
                content = gzip.decompress(body)
                assert entry["content_sha256"] == hashlib.sha256(content).hexdigest()
                assert entry["content_bytes"] == len(content)


class MemoryViews:
    """Implements ``ports.Views`` over a dict, with a version for each write."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.writes = 0

    def get(self, key: str) -> tuple[bytes, str] | None:
        """See ``Views.get``."""
        rights.note("s3:GetObject", f"Views/{key}")
        rights.note("s3:ListBucket", "Views")
        return self.objects.get(key)

    def put(self, key: str, body: bytes, *, version: str | None = None) -> bool:
        """See ``Views.put``."""
        rights.note("s3:PutObject", f"Views/{key}")
        if version is not None and self.objects.get(key, (b"", ""))[1] != version:
            return False
        self.writes += 1
        self.objects[key] = (body, f"v{self.writes}")
        return True
