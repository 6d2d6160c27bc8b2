"""Package the app as it goes to AWS: ``python -m dev.package [stage]``.

RUNTIME and ARCH in the environment choose another Python and another processor. SERVE_CONSOLE=no leaves the console
out, ROW_CONDITIONS=no the policies' conditions on rows that PartiQL writes. The package holds bytecode if this machine
has the Python that the package is for. The result is kept by a hash of all that goes into it, so a second call without
a change takes no time. Two packages of the same files, made by the same Pythons, are byte-equal.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.bytecode import HERE, Interpreter, add_to, has_bytecode, interpreter_of

ROOT = Path(__file__).resolve().parent.parent

DEFAULT_RUNTIME = "python3.13"
"""The Python of the functions on AWS. The local AWS runs them on the Python of its own environment."""

RUNTIMES = ("python3.11", "python3.12", DEFAULT_RUNTIME)
ARCHITECTURES = ("x86_64", "arm64")

SOURCES = (
    "app.py",
    "requirements.txt",
    ".chalice/config.json",
    ".chalice/resources.json",
    ".chalice/policies",
    "chalicelib",
)
KEPT = 3
"""Packages of a stage that stay on disk: another process may still deploy the last but one."""

BAD_WORDS = ("missing dependency", "could not install", "missing dependencies")
"""Chalice prints these and carries on; the package would fail on its first import."""


class PackagingError(Exception):
    """The app cannot be packaged; the message says why."""


@dataclass(frozen=True)
class Target:
    """The stage, Python and processor of a package."""

    stage: str
    runtime: str
    architecture: str
    console: bool = True
    """Whether the package serves the console: SERVE_CONSOLE=no leaves its routes out of the template."""
    row_conditions: bool = True
    """Whether policies restrict rows by their keys where PartiQL writes them: ROW_CONDITIONS=no leaves that out
    (docs/threat-model.md)."""

    @classmethod
    def of(cls, stage: str) -> Target:
        """Return the target that the environment names for ``stage``. Raises PackagingError."""
        runtime = os.environ.get("RUNTIME") or (HERE if stage == "local" else DEFAULT_RUNTIME)
        architecture = os.environ.get("ARCH") or ARCHITECTURES[0]
        if runtime not in RUNTIMES and stage != "local":
            raise PackagingError(f"RUNTIME is {runtime!r}; it can be {', '.join(RUNTIMES)}")
        if architecture not in ARCHITECTURES:
            raise PackagingError(f"ARCH is {architecture!r}; it can be {', '.join(ARCHITECTURES)}")
        said_no = {name for name in ("SERVE_CONSOLE", "ROW_CONDITIONS") if os.environ.get(name, "yes") == "no"}
        kept = {"console": "SERVE_CONSOLE" not in said_no, "row_conditions": "ROW_CONDITIONS" not in said_no}
        return cls(stage, runtime, architecture, **kept)


@dataclass(frozen=True)
class Layer:
    """How the layer of packages is made, beside what requirements.txt locks."""

    python: Interpreter | None
    """The Python that compiles it, if this machine has one."""
    services: tuple[str, ...]
    """The services of AWS that the functions may call: the layer has the descriptions of no other."""

    @property
    def digest(self) -> str:
        """A short name of this way."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:8]


def services_of(project: Path) -> tuple[str, ...]:
    """Return the services of AWS that the policies of a project's functions name."""
    rules = [
        rule
        for path in (project / ".chalice" / "policies").glob("*.json")
        for rule in json.loads(path.read_text())["Statement"]
    ]
    return tuple(sorted({action.partition(":")[0] for rule in rules for action in rule["Action"]}))


def package(stage: str = "local", *, project: Path = ROOT, region: str = "us-east-1") -> Path:
    """Return a directory with ``sam.json`` and the archives it names.

    Raises PackagingError.
    """
    target = Target.of(stage)
    packages = project / ".local" / "package"
    packages.mkdir(parents=True, exist_ok=True)
    python = interpreter_of(target.runtime)
    result = packages / f"{stage}-{_digest(project, target, python)[:16]}"
    with (packages / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (result / "sam.json").exists():
            unfinished = packages / "unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            layer = Layer(python, services_of(project))
            copy = _copy(project, packages, layer)
            if not target.row_conditions:
                for path in (copy / ".chalice" / "policies").iterdir():
                    path.write_text(json.dumps(without_row_conditions(json.loads(path.read_text()))))
            _run_chalice(target, layer, copy, region, unfinished)
            if python:
                add_to(unfinished / "deployment.zip", python.path)
            unfinished.rename(result)
        os.utime(result)
        for old in sorted(packages.glob(f"{stage}-*"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    return result


def slow_start(packaged: Path) -> str:
    """Say what a package without bytecode costs, and the remedy; empty if it has bytecode."""
    if has_bytecode(packaged / "deployment.zip"):
        return ""
    template = json.loads((packaged / "sam.json").read_text())
    (runtime,) = {
        resource["Properties"]["Runtime"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    return (
        f"the package has no bytecode, since this machine's PATH has no {runtime} that works: each cold start compiles "
        f"what it imports, which takes some 0.4 s of CPU. Install {runtime} and package again"
    )


def without_row_conditions(policy: dict[str, Any]) -> dict[str, Any]:
    """Return a policy whose PartiQL actions are allowed on all rows of the tables that it names."""

    def is_judged_by_statement(rule: Mapping[str, Any]) -> bool:
        by_partiql = any(action.startswith("dynamodb:PartiQL") for action in rule["Action"])
        return by_partiql and "dynamodb:LeadingKeys" in json.dumps(rule.get("Condition"))

    rules = [
        {name: part for name, part in rule.items() if name != "Condition" or not is_judged_by_statement(rule)}
        for rule in policy["Statement"]
    ]
    return {**policy, "Statement": rules}


def _digest(project: Path, target: Target, python: Interpreter | None) -> str:
    digest = hashlib.sha256(repr((sys.version, target, python)).encode())
    for file in _files(project):
        digest.update(f"{file.relative_to(project)}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _files(project: Path) -> Iterator[Path]:
    """Yield the files that make the package, in an order that does not depend on the file system."""
    for source in SOURCES:
        path = project / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                yield file


def _copy(project: Path, packages: Path, layer: Layer) -> Path:
    """Copy what is packaged, so that neither caches nor file modes of the working copy come into the archives.

    Chalice's own directory of archives is kept between runs for the layer alone, which takes longest to make and is
    named by the digest of requirements.txt. There is one directory for each other way to make the layer.
    """
    copy, archives = packages / "source", packages / f"deployments-{layer.digest}"
    shutil.rmtree(copy, ignore_errors=True)
    archives.mkdir(exist_ok=True)
    for stale in archives.glob("appcode-*"):
        stale.unlink()
    for file in _files(project):
        place = copy / file.relative_to(project)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
        place.chmod(0o644)
    (copy / ".chalice" / "deployments").symlink_to(archives)
    return copy


def _run_chalice(target: Target, layer: Layer, project: Path, region: str, out: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    script = str(Path(__file__).with_name("chalice_package.py"))
    # -P: the script's directory is not searched for imports. -B: no caches are written beside what is packaged.
    compiler = layer.python.path if layer.python else ""
    chosen = [target.runtime, target.architecture, compiler, ",".join(layer.services)]
    command = [sys.executable, "-P", "-B", script, *chosen]
    done = subprocess.run(
        [
            *(*command, "package", "--stage", target.stage),
            *("--merge-template", ".chalice/resources.json", str(out)),
        ],
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
        raise PackagingError(f"chalice package --stage {target.stage} failed:\n{done.stdout.strip()}")


if __name__ == "__main__":
    try:
        made = package(*sys.argv[1:2])
        sys.stderr.write(f"note: {slow_start(made)}\n" if slow_start(made) else "")
        sys.stdout.write(f"{made}\n")
    except PackagingError as error:
        sys.exit(str(error))
