"""Buckets: write-once objects in the archive (``ports.Objects``), and report bodies in the intake bucket."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from chalicelib.domain.errors import InputError, TooLarge, TooManyRequests
from chalicelib.reports.envelope import ObjectReference

MAX_OBJECT: Final = 10 * 1024 * 1024
"""The most bytes of an intake object: as many as a parser takes."""

BATCH_URLS: Final = 200_000
"""The most URLs, estimated by size, in the objects of one batch: one invocation can take so many."""

URL_BYTES: Final = 20
"""Shortest URL we expect, in bytes."""

URLS_PER_REPORT: Final = 10_000

BLOCK: Final = 256 * 1024
"""How many bytes of an archived object are read at once."""

MAX_FILE: Final = 5 * 1024**3
"""The most bytes of one PutObject. A multipart upload takes more, but S3 then verifies a hash of the parts' hashes, not
the file's own: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html"""


class Bucket:
    """One bucket. Every write is conditional, and S3 verifies its SHA-256."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def put_new(self, key: str, body: bytes, *, content_type: str) -> bool:
        """See ``Objects.put_new``. Raises what S3 raises; BadDigest if the bytes changed on the way."""
        return self._put(key, body, hashlib.sha256(body).digest(), content_type=content_type)

    def put_new_file(self, key: str, path: Path, *, sha256: str, content_type: str) -> bool:
        """See ``Objects.put_new_file``. Raises what ``put_new`` raises; OSError for a file that S3 would not take."""
        size = path.stat().st_size
        if size > MAX_FILE:
            raise OSError(f"{key} has {size:,} bytes: S3 takes {MAX_FILE:,} in one piece")
        with path.open("rb") as body:
            return self._put(key, body, bytes.fromhex(sha256), content_type=content_type)

    def _put(self, key: str, body: Any, digest: bytes, *, content_type: str) -> bool:
        try:
            self._client.put_object(
                Bucket=self._name,
                Key=key,
                Body=body,
                ContentType=content_type,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(digest).decode(),
                IfNoneMatch="*",
            )
        except self._client.exceptions.ClientError as error:
            # 412: the key exists. 409: another write of the key is under way, and its object will be the one.
            if error.response["Error"]["Code"] in {"PreconditionFailed", "ConditionalRequestConflict"}:
                return False
            raise
        return True

    def get(self, key: str) -> bytes | None:
        """See ``Objects.get``."""
        try:
            return bytes(self._client.get_object(Bucket=self._name, Key=key)["Body"].read())
        except self._client.exceptions.NoSuchKey:
            return None

    def blocks(self, key: str) -> Iterator[bytes]:
        """See ``Objects.blocks``. Raises NoSuchKey if there is no object."""
        with closing(self._client.get_object(Bucket=self._name, Key=key)["Body"]) as body:
            while block := body.read(BLOCK):
                yield bytes(block)

    def sha256(self, key: str) -> str | None:
        """See ``Objects.sha256``. Raises KeyError for an object that somebody else wrote without a SHA-256."""
        try:
            answer = self._client.head_object(Bucket=self._name, Key=key, ChecksumMode="ENABLED")
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NotFound"}:
                return None
            raise
        return base64.b64decode(answer["ChecksumSHA256"]).hex()

    def keys(self, prefix: str) -> list[str]:
        """See ``Objects.keys``."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))


class ViewBucket:
    """Implements ``ports.Views``: an object's version is its ETag."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def get(self, key: str) -> tuple[bytes, str] | None:
        """See ``Views.get``."""
        try:
            answer = self._client.get_object(Bucket=self._name, Key=key)
        except self._client.exceptions.NoSuchKey:
            return None
        return bytes(answer["Body"].read()), str(answer["ETag"])

    def put(self, key: str, body: bytes, *, version: str | None = None) -> bool:
        """See ``Views.put``."""
        condition: dict[str, str] = {}
        if version is not None:
            condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        try:
            self._client.put_object(Bucket=self._name, Key=key, Body=body, **condition)
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}:
                return False
            raise
        return True


class IntakeBodies:
    """Reads the bodies that one batch of queue messages names: implements ``pipeline.intake.Fetch``.

    It reads only from our own intake bucket: a stranger's message must not make us read anything else. It counts the
    URLs of one batch, so every batch needs a new reader.
    """

    def __init__(self, client: Any, bucket: str, *, max_bytes: int = MAX_OBJECT, batch_urls: int = BATCH_URLS) -> None:
        self._client = client
        self._bucket = bucket
        self._max_bytes = max_bytes
        self._urls_left = batch_urls

    def __call__(self, reference: ObjectReference) -> bytes:
        """Read an object, in the version that the event names.

        Raises InputError for another bucket and for an object that is too large, missing or unreadable, and
        TooManyRequests if the batch is full. Only this message fails then, not the thousand others beside it.
        """
        if reference.bucket != self._bucket:
            raise InputError(f"the bucket {reference.bucket[:63]!r} is not the intake bucket: nothing is read from it")
        self._fit(reference.key, reference.size or 0)
        from botocore.exceptions import BotoCoreError, ClientError

        version = {"VersionId": reference.version_id} if reference.version_id else {}
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=reference.key, **version)
            with answer["Body"] as stream:
                # The size that S3 states counts: the event may come from somebody who states another. An answer in
                # chunks states none.
                self._fit(reference.key, answer.get("ContentLength", 0))
                body: bytes = stream.read(self._max_bytes + 1)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise InputError(f"the object {reference.key[:200]!r} cannot be read: {code}") from error
        except BotoCoreError as error:
            raise InputError(f"the object {reference.key[:200]!r} cannot be read: {type(error).__name__}") from error
        self._urls_left -= self._fit(reference.key, len(body))
        return body

    def _fit(self, key: str, size: int) -> int:
        """Return an object's URLs, estimated by its size. Raises if they are more than the batch has room for."""
        if size > self._max_bytes:
            raise self._too_large(key)
        urls = min(URLS_PER_REPORT, size // URL_BYTES)
        if urls > self._urls_left:
            raise TooManyRequests(
                "the batch names more objects than it can hold: this one is delivered again", retry_after=2
            )
        return urls

    def _too_large(self, key: str) -> TooLarge:
        return TooLarge(f"the object {key[:200]!r} has more than {self._max_bytes:,} bytes: split it")
