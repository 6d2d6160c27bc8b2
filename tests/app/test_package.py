"""The package: for which Python and processor it is made, from which wheels, and that it is the same each time."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dev.package import ARCHITECTURES, DEFAULT_RUNTIME, HERE, ROOT, RUNTIMES, SOURCES, PackagingError, package


def copy_of_the_project(place: Path) -> Path:
    """Return a working copy whose files were written in another order, with other modes and caches beside them."""
    files = [file for source in SOURCES for file in ((ROOT / source), *(ROOT / source).rglob("*")) if file.is_file()]
    for file in sorted(files, reverse=True):
        if "__pycache__" not in file.parts:
            copied = place / file.relative_to(ROOT)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copied)
            copied.chmod(0o600)
    (place / "chalicelib" / "__pycache__").mkdir()
    (place / "chalicelib" / "__pycache__" / "bootstrap.cpython-39.pyc").write_bytes(b"stale")
    return place


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def extensions(directory: Path) -> set[str]:
    """Return what the names of the compiled modules of the layer say they were built for."""
    with zipfile.ZipFile(directory / "layer-deployment.zip") as layer:
        names = layer.namelist()
    return {match[1] for name in names if (match := re.search(r"\.(cpython-\d+-[\w-]+)\.so$", name))}


def test_two_packages_of_the_same_files_are_byte_equal(tmp_path: Path) -> None:
    mine, other = package("prod"), package("prod", project=copy_of_the_project(tmp_path))
    assert mine != other
    assert digests(mine) == digests(other)
    assert len(digests(mine)) == 3, "the template, the app, its layer"


def test_nothing_of_the_machine_that_packs_is_in_the_package() -> None:
    for archive in package("prod").glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
            assert [name for name in names if "__pycache__" in name or name.endswith(("/RECORD", "/INSTALLER"))] == []
            assert [name for name in names if str(ROOT).encode() in opened.read(name)] == []


@pytest.mark.parametrize(
    ("runtime", "architecture", "built_for"),
    [
        ("", "", "cpython-313-x86_64-linux-gnu"),
        ("python3.13", "arm64", "cpython-313-aarch64-linux-gnu"),
        ("python3.12", "arm64", "cpython-312-aarch64-linux-gnu"),
        ("python3.11", "x86_64", "cpython-311-x86_64-linux-gnu"),
    ],
)
def test_the_wheels_are_those_of_the_runtime_and_the_processor(
    monkeypatch: pytest.MonkeyPatch, runtime: str, architecture: str, built_for: str
) -> None:
    monkeypatch.setenv("RUNTIME", runtime)
    monkeypatch.setenv("ARCH", architecture)
    packaged = package("prod")
    assert extensions(packaged) == {built_for}
    resources = json.loads((packaged / "sam.json").read_text())["Resources"].values()
    functions = [each["Properties"] for each in resources if each["Type"] == "AWS::Serverless::Function"]
    (layer,) = [each["Properties"] for each in resources if each["Type"] == "AWS::Serverless::LayerVersion"]
    assert {each["Runtime"] for each in functions} == {runtime or DEFAULT_RUNTIME}
    assert {tuple(each["Architectures"]) for each in functions} == {(architecture or ARCHITECTURES[0],)}
    assert layer["CompatibleRuntimes"] == [runtime or DEFAULT_RUNTIME]


def test_the_package_for_the_python_of_this_machine_is_imported_by_it_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As on Lambda: the app and its layer alone are on the path, and no site-packages of this machine."""
    if HERE not in RUNTIMES or platform.machine() != "x86_64":
        pytest.skip("no package is made for the Python and the processor of this machine")
    monkeypatch.setenv("RUNTIME", HERE)
    monkeypatch.setenv("ARCH", "x86_64")
    for archive in package("prod").glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(tmp_path)
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import app, boto3, ada_url, aws_lambda_powertools, requests\n"
        "print(len(app.app.handler_map), [each.__file__ for each in (boto3, ada_url, requests)])"
    )
    (layer,) = tmp_path.glob("python/lib/*/site-packages")
    command = [sys.executable, "-I", "-S", "-c", script, str(tmp_path), str(layer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(tmp_path)) == 3


def test_another_python_or_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME", "python3.9")
    with pytest.raises(PackagingError, match=", ".join(RUNTIMES)):
        package("prod")
    monkeypatch.setenv("RUNTIME", "")
    monkeypatch.setenv("ARCH", "riscv")
    with pytest.raises(PackagingError, match="x86_64, arm64"):
        package("prod")


def test_a_wheel_that_is_not_the_locked_one_is_refused(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path)
    locked = project / "requirements.txt"
    locked.write_text(
        re.sub(
            r"(six==\S+ \\\n)((?: +--hash=\S+(?: \\)?\n)+)",
            r"\1    --hash=sha256:" + "0" * 64 + "\n",
            locked.read_text(),
        )
    )
    with pytest.raises(PackagingError, match="HASHES FROM THE REQUIREMENTS FILE"):
        package("prod", project=project)
