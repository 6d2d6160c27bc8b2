"""Package the app as it goes to AWS: ``python -m dev.package [stage]``.

The result is kept by a hash of all that goes into it, so a second call without a change takes no time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SOURCES = (
    "app.py",
    "requirements.txt",
    ".chalice/config.json",
    ".chalice/resources.json",
    ".chalice/policies",
    "chalicelib",
)
KEPT = 3
"""Packages of a stage that stay on disk: another process may be deploying from the one before."""

BAD_WORDS = ("missing dependency", "could not install", "missing dependencies")
"""Chalice prints these and carries on; the package would fail on its first import."""


class PackagingError(Exception):
    """The app cannot be packaged; the message says why."""


def package(stage: str = "local", *, project: Path = ROOT, region: str = "us-east-1") -> Path:
    """Return a directory with ``sam.json`` and the archives it names.

    Raises PackagingError.
    """
    packages = project / ".local" / "package"
    packages.mkdir(parents=True, exist_ok=True)
    result = packages / f"{stage}-{_digest(project)[:16]}"
    with (packages / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Chalice works in one directory inside the project
        if not (result / "sam.json").exists():
            unfinished = packages / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            _run_chalice(stage, project, region, unfinished)
            unfinished.rename(result)
        os.utime(result)
        for old in sorted(packages.glob(f"{stage}-*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    return result


def _digest(project: Path) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for source in SOURCES:
        path = project / source
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(project)}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _run_chalice(stage: str, project: Path, region: str, out: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [str(Path(sys.executable).with_name("chalice")), "package", "--stage", stage]
    done = subprocess.run(
        [*command, "--merge-template", ".chalice/resources.json", str(out)],
        cwd=project,
        env={**environment, "AWS_DEFAULT_REGION": region},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    output = done.stdout.lower()
    if done.returncode or any(words in output for words in BAD_WORDS):
        raise PackagingError(f"chalice package --stage {stage} failed:\n{done.stdout.strip()}")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{package(*sys.argv[1:2])}\n")
    except PackagingError as error:
        sys.exit(str(error))
