"""Run ``chalice package`` for a Python and a processor of our choice.

``chalice_package.py RUNTIME ARCHITECTURE COMPILER SERVICES …`` takes the arguments of ``chalice`` after its own four.

Chalice takes the runtime from the interpreter that it runs in, resolves dependencies anew at each packaging, and walks
directories in the order of the file system. Here the runtime is an argument, only the wheels of the locked
``requirements.txt`` are installed, each held against its hash, and the same files give the same bytes. COMPILER is the
Python that compiles what is installed; if it is empty, nothing is compiled. SERVICES, with commas between them, are the
services of AWS whose descriptions are kept: those of all services are two thirds of what is installed.

``dev.package`` runs this as a script, in a process of its own, because it amends Chalice's classes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from chalice.cli import main
from chalice.config import Config
from chalice.deploy.packager import DependencyBuilder
from chalice.utils import OSUtils

GLIBC = {"python3.11": 26}
"""Minor version of glibc 2 by runtime. Python 3.11 runs on Amazon Linux 2, every later one on Amazon Linux 2023."""

NEWEST_GLIBC, OLDEST_GLIBC = 34, 17
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
INSTALLER_NOTES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""pip's notes on an installation. They name paths of the machine that installs; nothing at run time reads them."""


def install(requirements: str, target: str, runtime: str, architecture: str) -> None:
    """Install the locked wheels for ``runtime`` into ``target``. Raises CalledProcessError if one is missing."""
    newest = GLIBC.get(runtime, NEWEST_GLIBC)
    platforms = [*(f"manylinux_2_{glibc}" for glibc in range(newest, OLDEST_GLIBC - 1, -1)), "manylinux2014"]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
            *("--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation", "cp"),
            *("--python-version", runtime.removeprefix("python"), "--target", target, "--requirement", requirements),
            *(f"--platform={platform}_{MACHINES[architecture]}" for platform in platforms),
        ],
        check=True,
    )
    shutil.rmtree(Path(target) / "bin", ignore_errors=True)  # scripts that begin with this machine's interpreter
    for path in Path(target).rglob("*"):
        if path.parent.suffix == ".dist-info" and path.name in INSTALLER_NOTES:
            path.unlink()
        elif path.is_file():
            path.chmod(0o644)


def leave_out_services(packages: Path, kept: Collection[str]) -> None:
    """Remove what boto3 and botocore know of services that are not ``kept``.

    It would be fetched and unpacked at each cold start, and botocore lists the directory of each service.
    """
    shutil.rmtree(packages / "boto3" / "examples", ignore_errors=True)
    for sdk in ("boto3", "botocore"):
        for entry in (packages / sdk / "data").iterdir():
            if entry.is_dir() and entry.name not in kept:
                shutil.rmtree(entry)


def amend(runtime: str, architecture: str, finish: Callable[[Path], None]) -> None:
    """Make Chalice package for ``runtime`` and ``architecture``, from the lock, in an order that does not change.

    ``finish`` is called with the directory of all that is installed.
    """

    def build_site_packages(_: DependencyBuilder, _abi: str, requirements: str, target: str) -> None:
        install(requirements, target, runtime, architecture)
        finish(Path(target))

    def walk(_: OSUtils, path: str, followlinks: bool = False) -> Iterator[tuple[str, list[str], list[str]]]:
        for directory, directories, files in os.walk(path, followlinks=followlinks):
            directories.sort()
            yield directory, directories, sorted(files)

    for owner, name, amended in (
        (DependencyBuilder, "build_site_packages", build_site_packages),
        (OSUtils, "walk", walk),
        (Config, "lambda_python_version", property(lambda _: runtime)),
        (Config, "lambda_architecture", property(lambda _: architecture)),
    ):
        getattr(owner, name)  # Fails if a new Chalice no longer has the name that this module amends.
        setattr(owner, name, amended)


if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parent.parent))  # last: app and chalicelib are those of the package
    from dev.bytecode import compile_modules

    chosen_runtime, chosen_architecture, compiler, services = sys.argv[1:5]

    def leave_out_and_compile(packages: Path) -> None:
        leave_out_services(packages, services.split(","))
        if compiler:
            compile_modules(compiler, packages)

    amend(chosen_runtime, chosen_architecture, leave_out_and_compile)
    del sys.argv[1:5]
    sys.exit(main())
