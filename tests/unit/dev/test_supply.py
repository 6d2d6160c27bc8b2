"""Everything that ships to Lambda is locked with hashes, tested in the locked version, and has a listed licence."""

from __future__ import annotations

import hashlib
import json
import re
from importlib import metadata
from pathlib import Path

import botocore.session
import pytest
from botocore.serialize import create_serializer
from packaging.requirements import Requirement

from chalicelib.aws.client import ROWS, pass_rows_through
from dev.package import ROOT


def requirements(path: Path) -> dict[str, Requirement]:
    """Return each distribution that a file of requirements names."""
    lines = re.sub(r"\\\n", " ", path.read_text()).splitlines()
    found = [Requirement(line.partition(" --hash")[0]) for line in lines if line.strip() and not line.startswith("#")]
    return {requirement.name: requirement for requirement in found}


LOCKED = requirements(ROOT / "requirements.txt")
PAGE = (ROOT / "docs" / "licences.md").read_text()
LISTED = PAGE.partition("|---|---|\n")[2]
LICENCES = dict(re.findall(r"^\| ([a-z0-9-]+) \| ([^|]+) \|$", LISTED, re.MULTILINE))
VENDORED = {
    name.lower(): (version, licence, re.findall(r"`([^`]+)`", files))
    for name, version, licence, files in re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| (`[^|]+`) \|$", PAGE, re.MULTILINE
    )
}
"""Part of the second table → its version, its licence and its files."""

OPENING = {"MIT": "MIT License", "Apache-2.0": "Apache License", "MPL-2.0": "Mozilla Public"}
"""Licence → words in its first lines."""


def test_every_locked_distribution_has_a_version_and_hashes() -> None:
    text = re.sub(r"\\\n", " ", (ROOT / "requirements.txt").read_text())
    for name, requirement in LOCKED.items():
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), name
        assert re.search(rf"^{re.escape(name)}==.*--hash=sha256:[0-9a-f]{{64}}", text, re.MULTILINE), name


def test_the_lock_holds_what_is_asked_for_and_all_that_this_needs() -> None:
    for name, requirement in requirements(ROOT / "requirements.in").items():
        assert LOCKED[name].specifier == requirement.specifier, "run `make lock`"
    for name in LOCKED:
        for needed in map(Requirement, metadata.requires(name) or []):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert needed.name.lower().replace("_", "-") in LOCKED, f"{name} needs {needed.name}"


@pytest.mark.parametrize("name", LOCKED)
def test_what_is_tested_is_what_ships(name: str) -> None:
    assert LOCKED[name].specifier.contains(metadata.version(name), prereleases=True), (
        f"{name}: install requirements.txt"
    )


def test_the_licence_of_all_that_ships_is_listed_as_its_author_states_it() -> None:
    stated = {}
    for name in LOCKED:
        about = metadata.metadata(name).json
        stated[name] = str(about.get("license_expression") or about.get("license")).strip()
    stated["chalice"] = metadata.metadata("chalice")["License"]
    assert stated == {name: licence.split(" (")[0] for name, licence in LICENCES.items()}


def test_the_files_of_others_in_the_app_are_listed_with_their_licence_and_unchanged() -> None:
    lock = json.loads((ROOT / "console-vendor.lock").read_text())
    locked = {each["name"]: (each["version"], each["licence"], [*each["files"]]) for each in lock["packages"]}
    suffixes = VENDORED["public suffix list"]
    assert {**locked, "public suffix list": suffixes} == VENDORED
    console = ROOT / "chalicelib" / "console"
    for name, (_, licence, files) in locked.items():
        assert OPENING[licence] in "".join((console / f"{name}.LICENSE.txt").read_text().splitlines()[:3])
        for file in (*files, f"{name}.LICENSE.txt"):
            assert hashlib.sha256((console / file).read_bytes()).hexdigest() == lock["sha256"][file], file
    head = "".join((ROOT / "chalicelib" / "config" / suffixes[2][0]).read_text().splitlines(keepends=True)[:8])
    assert OPENING[suffixes[1]] in head
    assert f"VERSION: {suffixes[0]}_" in head


def test_the_shapes_of_rows_are_still_those_of_botocore() -> None:
    """If botocore renamed a shape, ours would be added to its model and used by nothing.

    Then the intake would take about a third more CPU, and bytes would be base64-encoded twice.
    """
    shapes = botocore.session.get_session().get_component("data_loader").load_service_model("dynamodb", "service-2")
    assert [name for name in ROWS if name not in shapes["shapes"]] == []


def test_rows_pass_through_botocore_untouched() -> None:
    session = botocore.session.get_session()
    pass_rows_through(session)
    operation = session.get_service_model("dynamodb").operation_model("PutItem")
    row = {"pk": {"S": "a"}, "body": {"B": "QUJD"}}
    sent = create_serializer("json").serialize_to_request({"TableName": "t", "Item": row}, operation)
    assert b'"QUJD"' in sent["body"]
