"""The archive bucket keeps the same promises in memory and on S3."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from chalicelib.aws.s3 import Bucket
from chalicelib.ports import Objects
from dev.fakes.objects import MemoryObjects
from dev.local_aws import LocalAws

ROOT = Path(__file__).parents[2]
_names = itertools.count()


def bucket_of(aws: LocalAws) -> Bucket:
    name = f"archive-{next(_names)}"
    aws.s3.create_bucket(Bucket=name)
    return Bucket(aws.s3, name)


@pytest.fixture(params=["memory", "s3"])
def objects(request: pytest.FixtureRequest) -> Objects:
    return MemoryObjects() if request.param == "memory" else bucket_of(request.getfixturevalue("bare_aws"))


def file(tmp_path: Path, content: bytes) -> tuple[Path, str]:
    path = tmp_path / "file"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def test_a_file_comes_back_as_it_was_put_with_its_checksum(objects: Objects, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4_000
    path, sha256 = file(tmp_path, content)
    assert objects.put_new_file("a/b.gz", path, sha256=sha256, content_type="application/gzip")
    assert b"".join(objects.blocks("a/b.gz")) == objects.get("a/b.gz") == content
    assert objects.sha256("a/b.gz") == sha256
    assert objects.keys("a/") == ["a/b.gz"]


def test_small_objects_have_their_checksum_as_well(objects: Objects) -> None:
    assert objects.put_new("x", b"y", content_type="application/json")
    assert objects.sha256("x") == hashlib.sha256(b"y").hexdigest()


def test_an_object_that_is_not_there_has_neither_content_nor_checksum(objects: Objects) -> None:
    assert objects.get("nothing") is None
    assert objects.sha256("nothing") is None
    assert objects.keys("nothing") == []


def test_an_object_is_never_written_over(objects: Objects, tmp_path: Path) -> None:
    first, first_sha256 = file(tmp_path, b"first")
    assert objects.put_new_file("key", first, sha256=first_sha256, content_type="")
    second, second_sha256 = file(tmp_path, b"second")
    assert not objects.put_new_file("key", second, sha256=second_sha256, content_type="")
    assert not objects.put_new("key", b"third", content_type="")
    assert objects.get("key") == b"first"


def test_one_of_many_that_write_an_object_at_once_wins(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: objects.put_new("one", str(n).encode(), content_type=""), range(16)))
    assert sum(won) == 1
    assert objects.get("one") == str(won.index(True)).encode()


def test_bytes_that_are_not_those_of_the_checksum_are_refused_by_s3(bare_aws: LocalAws, tmp_path: Path) -> None:
    bucket = bucket_of(bare_aws)
    path, _ = file(tmp_path, b"what the disk made of it")
    with pytest.raises(ClientError, match=r"BadDigest|InvalidRequest"):
        bucket.put_new_file("key", path, sha256=hashlib.sha256(b"what was written").hexdigest(), content_type="")
    assert bucket.get("key") is None


def test_a_file_that_s3_does_not_take_in_one_piece_is_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as large:
        large.truncate(5 * 1024**3 + 1)
    with pytest.raises(OSError, match="in one piece"):
        Bucket(None, "b").put_new_file("key", path, sha256="", content_type="")


PUT = """
import hashlib, resource, sys
from pathlib import Path
import boto3
from chalicelib.aws.s3 import Bucket

url, name, file = sys.argv[1:]
client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test",
                      aws_secret_access_key="test")
path, bucket = Path(file), Bucket(client, name)
digest = hashlib.sha256()
with path.open("rb") as body:
    while block := body.read(1 << 18):
        digest.update(block)
assert bucket.put_new_file("large", path, sha256=digest.hexdigest(), content_type="application/gzip")
size = sum(map(len, bucket.blocks("large")))
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(size, peak)
"""


def test_a_large_file_is_sent_and_read_without_being_held_in_memory(bare_aws: LocalAws, tmp_path: Path) -> None:
    bare_aws.s3.create_bucket(Bucket="large-files")
    path = tmp_path / "large"
    with path.open("wb") as large:
        for _ in range(128):
            large.write(os.urandom(1024**2))
    done = subprocess.run(
        [sys.executable, "-c", PUT, bare_aws.url, "large-files", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    size, peak_kib = map(int, done.stdout.split())
    print(f"128 MB sent and read: {peak_kib / 1024:.0f} MB at most")
    assert size == 128 * 1024**2
    assert peak_kib < 110 * 1024
