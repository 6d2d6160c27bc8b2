"""The package is made for one Python and processor, from the locked wheels, and is the same each time."""

from __future__ import annotations

import hashlib
import json
import marshal
import os
import platform
import re
import shutil
import subprocess
import zipfile
from itertools import product
from pathlib import Path

import pytest

from dev.bytecode import HERE, interpreter_of
from dev.chalice_package import GLIBC, MACHINES, NEWEST_GLIBC
from dev.package import ARCHITECTURES, DEFAULT_RUNTIME, ROOT, RUNTIMES, SOURCES, PackagingError, package, slow_start


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


def shipped(directory: Path) -> dict[str, bytes]:
    """Return the files of the layer, by their path below site-packages."""
    with zipfile.ZipFile(directory / "layer-deployment.zip") as layer:
        return {name.partition("/site-packages/")[2]: layer.read(name) for name in layer.namelist()}


EVERY = os.environ.get("PACKAGES") == "all"
"""``make packages``: each package takes some ten seconds to make, so ``make test`` tries four of the six."""

DEFAULT = ("", "")
ALL = [DEFAULT, *product(RUNTIMES, ARCHITECTURES)]
OWN = (HERE, ARCHITECTURES[0]) if HERE in RUNTIMES else DEFAULT
"""The Python that packs can compile for itself, so this package has bytecode on every machine."""

SOME = [DEFAULT, ("python3.13", "arm64"), ("python3.12", "arm64"), ("python3.11", "x86_64")]

E_MACHINE = {"x86_64": 62, "arm64": 183}
"""The processor that an ELF file names in its header."""


@pytest.fixture
def packaged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Package for the Python and the processor that the test is run for."""
    runtime, architecture = request.param
    monkeypatch.setenv("RUNTIME", runtime)
    monkeypatch.setenv("ARCH", architecture)
    return package("prod")


def target(packaged: Path) -> tuple[str, str]:
    """Return the Python and the processor that the template of a package names for all functions and the layer."""
    resources = json.loads((packaged / "sam.json").read_text())["Resources"].values()
    functions = [each["Properties"] for each in resources if each["Type"] == "AWS::Serverless::Function"]
    (layer,) = [each["Properties"] for each in resources if each["Type"] == "AWS::Serverless::LayerVersion"]
    (runtime,) = {each["Runtime"] for each in functions}
    (architecture,) = {each for function in functions for each in function["Architectures"]}
    assert layer["CompatibleRuntimes"] == [runtime]
    return runtime, architecture


@pytest.mark.parametrize("packaged", ALL if EVERY else [OWN], indirect=True)
def test_two_packages_of_the_same_files_are_byte_equal(packaged: Path, tmp_path: Path) -> None:
    other = package("prod", project=copy_of_the_project(tmp_path))
    assert packaged != other
    assert digests(packaged) == digests(other)
    assert len(digests(packaged)) == 3, "the template, the app, its layer"


@pytest.mark.parametrize("packaged", [OWN], indirect=True)
def test_nothing_of_the_machine_that_packs_is_in_the_package(packaged: Path) -> None:
    for archive in packaged.glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
            assert [name for name in names if name.endswith(("/RECORD", "/INSTALLER"))] == []
            assert [name for name in names if str(ROOT).encode() in opened.read(name)] == []
            compiled = [opened.read(name)[BYTECODE_HEAD:] for name in names if name.endswith(".pyc")]
            if target(packaged)[0] == HERE:  # another Python's bytecode cannot be read here
                assert [path for path in map(compiled_from, compiled) if path.startswith("/")] == []


BYTECODE_HEAD = 16


def compiled_from(code: bytes) -> str:
    return str(marshal.loads(code).co_filename)


def bytecode(archive: Path) -> set[str]:
    with zipfile.ZipFile(archive) as opened:
        return {name for name in opened.namelist() if "__pycache__" in name}


@pytest.mark.parametrize("packaged", [OWN], indirect=True)
def test_each_module_of_the_app_has_bytecode_and_the_layer_has_it_too(packaged: Path) -> None:
    if not interpreter_of(target(packaged)[0]):
        pytest.skip(f"this machine has no {target(packaged)[0]}")
    with zipfile.ZipFile(packaged / "deployment.zip") as opened:
        modules = {Path(name) for name in opened.namelist() if name.endswith(".py")}
    tag = target(packaged)[0].replace("python3.", "cpython-3")
    expected = {str(module.parent / "__pycache__" / f"{module.stem}.{tag}.pyc") for module in modules}
    assert bytecode(packaged / "deployment.zip") == expected
    assert len(bytecode(packaged / "layer-deployment.zip")) > 500
    assert slow_start(packaged) == ""


def test_a_package_for_a_python_that_this_machine_lacks_has_no_bytecode_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    lacking = next(runtime for runtime in reversed(RUNTIMES) if runtime != HERE)
    monkeypatch.setenv("RUNTIME", lacking)
    packaged = package("prod")
    assert bytecode(packaged / "deployment.zip") == set()
    assert f"Install {lacking} and package again" in slow_start(packaged)


def test_a_package_is_for_python_3_13_on_x86_64_unless_somebody_says_otherwise() -> None:
    assert target(package("prod")) == ("python3.13", "x86_64") == (DEFAULT_RUNTIME, ARCHITECTURES[0])


@pytest.mark.parametrize("packaged", ALL if EVERY else SOME, indirect=True)
def test_the_wheels_are_those_of_the_runtime_and_the_processor(packaged: Path) -> None:
    """By their tags, by the names of compiled modules, by the headers of these, and by the glibc that they need."""
    runtime, architecture = target(packaged)
    assert (runtime, architecture) == (
        os.environ["RUNTIME"] or DEFAULT_RUNTIME,
        os.environ["ARCH"] or ARCHITECTURES[0],
    )
    machine, version = MACHINES[architecture], runtime.removeprefix("python3.")
    files = shipped(packaged)
    tags = {
        tag
        for name, text in files.items()
        if name.endswith("/WHEEL")
        for tag in re.findall(rb"^Tag: (.+)$", text, re.MULTILINE)
    }
    for python, abi, platform_tag in (tag.decode().strip().split("-") for tag in tags):
        oldest = re.fullmatch(r"cp3(\d+)", python)
        assert python in {"py2", "py3", f"cp3{version}"} or (
            oldest and abi == "abi3" and int(oldest[1]) <= int(version)
        )
        assert abi in {"none", "abi3", f"cp3{version}"}
        assert platform_tag == "any" or re.fullmatch(rf"manylinux.*_{machine}", platform_tag)
    compiled = {name: data for name, data in files.items() if name.endswith(".so")}
    assert len(compiled) >= 4
    for name, data in compiled.items():
        assert name.endswith((".abi3.so", f".cpython-3{version}-{machine}-linux-gnu.so")), name
        assert data[:4] == b"\x7fELF"
        assert int.from_bytes(data[18:20], "little") == E_MACHINE[architecture], name
        needed = {(int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", data)}
        assert max(needed) <= (2, GLIBC.get(runtime, NEWEST_GLIBC)), name


def test_every_distribution_of_the_layer_is_a_locked_one_and_carries_its_licence() -> None:
    files = shipped(package("prod"))
    carried = {name.split(".dist-info/")[0] for name in files if ".dist-info/" in name}
    locked = re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert {f"{name.replace('-', '_')}-{version}" for name, version in locked if name != "chalice"} == carried
    for distribution in carried:
        assert [
            name for name in files if re.match(rf"{re.escape(distribution)}\.dist-info/(licenses/)?LICEN[CS]E", name)
        ], distribution


def test_the_layer_describes_the_services_that_the_app_calls_and_none_that_no_role_may_call() -> None:
    packaged = package("prod")
    names = [name.split("/") for name in shipped(packaged)]
    described = {parts[2] for parts in names if parts[:2] == ["botocore", "data"] and len(parts) > 3}
    resources = json.loads((packaged / "sam.json").read_text())["Resources"].values()
    roles = [resource["Properties"] for resource in resources if resource["Type"] == "AWS::IAM::Role"]
    rules = [
        rule for role in roles for each in role.get("Policies", []) for rule in each["PolicyDocument"]["Statement"]
    ]
    allowed = {action.partition(":")[0] for rule in rules for action in rule["Action"]}
    modules = [path.read_text() for path in (ROOT / "chalicelib").rglob("*.py")]
    called = {service for text in modules for service in re.findall(r"\bclient\(\"(\w+)\"\)", text)}
    assert {"dynamodb", "sqs", "s3"} < called <= described <= allowed
    assert ["botocore", "data", "endpoints.json"] in names


def interpreter(runtime: str) -> str:
    """Return the path of this machine's Python of a version; skip the test where it has none."""
    found = interpreter_of(runtime)
    if platform.machine() != "x86_64" or not found:
        pytest.skip(f"this machine has no {runtime} on x86_64")
    return found.path


@pytest.mark.parametrize("runtime", RUNTIMES if EVERY else sorted({HERE, DEFAULT_RUNTIME} & {*RUNTIMES}))
def test_a_package_is_imported_by_its_python_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runtime: str
) -> None:
    """As on Lambda: the app and its layer alone are on the path, and no site-packages of this machine.

    Nothing of the package is compiled, because its bytecode is there.
    """
    python = interpreter(runtime)
    monkeypatch.setenv("RUNTIME", runtime)
    monkeypatch.setenv("ARCH", "x86_64")
    for archive in package("prod").glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(tmp_path)
    script = (
        "import sys; sys.path[:0] = sys.argv[1:]; compiled = []\n"
        "sys.addaudithook(lambda event, given: compiled.append(given[1]) if event == 'compile' else None)\n"
        "import app, boto3, ada_url, aws_lambda_powertools, requests\n"
        "print(len(app.app.handler_map), [each.__file__ for each in (boto3, ada_url, requests)])\n"
        "print('compiled:', [name for name in compiled if str(name).endswith('.py')])"
    )
    (layer,) = tmp_path.glob("python/lib/*/site-packages")
    command = [python, "-I", "-S", "-c", script, str(tmp_path), str(layer)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(tmp_path)) == 3
    assert done.stdout.endswith("compiled: []\n")


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
