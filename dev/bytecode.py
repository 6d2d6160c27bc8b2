"""Compile the modules of a package for the Python that runs them.

Lambda cannot keep what it compiles, because ``/var/task`` and ``/opt`` are read-only. Without bytecode in the package,
each cold start compiles every module that it imports, which takes four times as long as the rest of it
(docs/figures.md). Bytecode depends on the minor version of Python alone, not on the processor. A Python of another
version ignores it and compiles again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

HERE = f"python{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Interpreter:
    """A Python of this machine. ``version`` is its full version: two of them may compile differently."""

    path: str
    version: str


def interpreter_of(runtime: str) -> Interpreter | None:
    """Return this machine's Python of a version such as ``python3.13``; ``None`` if it has none that works."""
    path = sys.executable if runtime == HERE else shutil.which(runtime)
    if not path:
        return None
    script = "import sys; print('python%d.%d' % sys.version_info[:2], sys.version)"
    done = subprocess.run([path, "-c", script], capture_output=True, text=True, check=False)
    named, _, version = done.stdout.strip().partition(" ")
    return Interpreter(path, version) if done.returncode == 0 and named == runtime else None


def compile_modules(python: str, directory: Path) -> None:
    """Compile all modules below ``directory``. The same modules give the same bytes, wherever they are compiled.

    The bytecode is never compared with its source: archives keep no modification times that could be trusted. A module
    that cannot be compiled, such as a template in a package of others, stays as it is.
    """
    options = ["-qq", "-f", "--invalidation-mode", "unchecked-hash", "-s", str(directory)]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": ""}  # a developer's own would take the bytecode elsewhere
    subprocess.run([python, "-m", "compileall", *options, str(directory)], env=environment, check=False)


def add_to(archive: Path, python: str) -> None:
    """Add the bytecode of an archive's modules to the archive."""
    with tempfile.TemporaryDirectory() as directory, zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened:
        opened.extractall(directory)
        compile_modules(python, Path(directory))
        for file in sorted(Path(directory).rglob("*.pyc")):
            entry = zipfile.ZipInfo(str(file.relative_to(directory)))
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            opened.writestr(entry, file.read_bytes())


def has_bytecode(archive: Path) -> bool:
    """Whether an archive holds bytecode."""
    with zipfile.ZipFile(archive) as opened:
        return any(name.endswith(".pyc") for name in opened.namelist())
