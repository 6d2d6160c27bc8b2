"""Every command that a page prints exists: its program, its subcommand and each option.

The end-to-end tests run most of them (``test_walk.py``, ``test_operating.py``, ``test_adding_a_source.py``). This reads
all of them, on every page.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from collections.abc import Callable, Iterator

import botocore.session
import click
import pytest
from botocore import xform_name

from dev.deploy import OPTIONS
from dev.package import ROOT
from edgeban.cli import cli

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("edge/*/*.md"))
    if path.name != "CHANGELOG.md"  # The changelog names commands of earlier versions.
)
MAKEFILE = (ROOT / "Makefile").read_text()
PATHS = json.loads((ROOT / "chalicelib" / "openapi.json").read_text())["paths"]

AWS_OPTIONS = {"--query", "--output", "--region", "--cli-read-timeout", "--endpoint-url"}
"""Options of the AWS CLI itself."""

AWS_CUSTOM = {("s3", "cp"), ("s3", "sync"), ("s3", "mb"), ("cloudformation", "deploy"), ("cloudformation", "package")}
"""Commands of the AWS CLI that call no API. ``aws … help`` lists them."""


def commands(page: str) -> Iterator[list[str]]:
    """Yield the words of each command on a page: of the lines of its blocks, and of its text."""
    text = (ROOT / page).read_text()
    lines = re.findall(r"`((?:make|aws|curl|edgeban|python|pipx)(?: [^`\n]+)?)`", text)
    for language, block in re.findall(r"^ *```(bash|console|sh)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        whole = re.sub(r"\\\n *", " ", block)
        entered = re.findall(r"^ *\$ (.+)$", whole, re.MULTILINE) if language == "console" else whole.splitlines()
        lines += [line.strip() for line in entered]
    for line in lines:
        words = (
            shlex.split(re.sub(r"\s# .*$", "", line.replace("…", "X")), comments=False)
            if line.count("'") % 2 == 0
            else []
        )
        if words:
            yield words


def make(words: list[str]) -> None:
    for word in words:
        name, equals, _ = word.partition("=")
        if equals:
            known = re.search(rf"\b{name}\b", MAKEFILE) or name in OPTIONS.values()
            assert known, f"make knows no {name}"
        else:
            assert re.search(rf"^{re.escape(word)}:", MAKEFILE, re.MULTILINE), f"make has no target {word}"


def aws(words: list[str]) -> None:
    service, operation, *options = words
    given = {word.partition("=")[0] for word in options if word.startswith("--")} - AWS_OPTIONS
    if (service, operation) in AWS_CUSTOM:
        return
    model = botocore.session.get_session().get_service_model(service)
    by_name = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in by_name, f"aws {service} has no {operation}"
    shape = model.operation_model(by_name[operation]).input_shape
    members = {f"--{xform_name(name, '-')}" for name in (shape.members if shape else ())}
    assert given <= members, f"aws {service} {operation} has no {given - members}"


def curl(words: list[str]) -> None:
    method = words[words.index("-X") + 1].lower() if "-X" in words else "get"
    for word in words:
        if word.startswith("$API/v1/"):
            path = "/v1/" + word.partition("?")[0].removeprefix("$API/v1/")
            matching = [name for name in PATHS if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", name), path)]
            assert any(method in PATHS[name] for name in matching), f"the API has no {method} {path}"


def edgeban(words: list[str]) -> None:
    context = click.Context(cli)
    command: click.Command | None = cli
    while words and isinstance(command, click.Group) and (child := command.get_command(context, words[0])):
        command, words = child, words[1:]
    assert command is not None
    assert command is not cli or not words or words[0].startswith("-"), f"edgeban has no {words[0]}"
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    options = [word.partition("=")[0] for word in words if word.startswith("-")]
    assert {*options} <= known, f"edgeban {command.name} has no { ({*options} - known) }"
    arguments = [each for each in command.params if isinstance(each, click.Argument) and each.required]
    assert not arguments or words, f"edgeban {command.name} needs an argument"


def python(words: list[str]) -> None:
    if words[:1] == ["-m"]:
        assert importlib.util.find_spec(words[1]) is not None, f"there is no module {words[1]}"


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "make": make,
    "aws": aws,
    "curl": curl,
    "edgeban": edgeban,
    "python": python,
}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_prints_exists(page: str) -> None:
    for program, *words in commands(page):
        if program in PROGRAMS and words:
            PROGRAMS[program](words)


def test_commands_are_found_on_the_pages() -> None:
    found = {page: [words[0] for words in commands(page)] for page in PAGES}
    assert {"make", "edgeban", "curl"} <= {*found["README.md"]}
    assert {"make", "aws", "curl", "python"} <= {*found["docs/operating.md"]}
    assert len([1 for programs in found.values() for program in programs if program in PROGRAMS]) > 100


@pytest.mark.parametrize(
    "line",
    [
        "make deploi",
        "make deploy COLOUR=red",
        "aws lambda invok",
        "aws lambda invoke --function X",
        "curl -X PUT $API/v1/pause",
        "edgeban bans --colour red",
        "edgeban why",
        "edgeban nothing",
        "python -m bench.nothing",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    program, *words = line.split()
    with pytest.raises(AssertionError):
        PROGRAMS[program](words)
