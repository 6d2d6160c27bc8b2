"""XARF against the schemas of its specification, which the package ``xarf`` carries (4.2.0)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from xarf import SchemaValidator

from chalicelib.reports.xarf import EACH_ELEMENT, TYPES

SCHEMAS = files("xarf") / "schemas" / "types"
SAMPLE = Path(__file__).parents[2] / "samples" / "xarf_v4.json"

NEVER_TAKEN = {
    "screenshot_url",
    "legitimate_site",
    "sandbox_analysis.analysis_url",
    "redirect_chain.[]",
    "submission_url",
    "cloned_site",
    "original_url",
    "patch_url",
    "vendor_advisory",
    "target_url",
}
"""URLs of victims, of evidence, and of third parties."""


def uris(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield every property of a schema that is a URI, as a path with dots."""
    if schema.get("format") == "uri":
        yield ".".join(path)
    for name, inner in schema.get("properties", {}).items():
        yield from uris(inner, (*path, name))
    if isinstance(schema.get("items"), dict):
        yield from uris(schema["items"], (*path, EACH_ELEMENT))
    for inner in schema.get("allOf", []):
        yield from uris(inner, path)


def schema_of(kind: str) -> dict[str, Any]:
    names = [kind.replace("/", "-"), kind.replace("/", "-").replace("_", "-")]
    name = next(name for name in names if (SCHEMAS / f"{name}.json").is_file())
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return schema


def test_every_type_of_the_specification_is_known_and_no_other() -> None:
    assert set(SchemaValidator().get_supported_types()) == set(TYPES)


def test_every_uri_of_the_specification_is_taken_or_known_to_be_never_taken() -> None:
    content = set(uris(json.loads((SCHEMAS / "content-base.json").read_text())))
    for kind, paths in TYPES.items():
        there = set(uris(schema_of(kind))) | (content if kind.startswith("content/") else set())
        taken = {".".join(path) for path in paths}
        assert taken <= there, kind
        assert there - taken <= NEVER_TAKEN, kind


def test_the_sample_is_valid() -> None:
    validator = SchemaValidator()
    assert [validator.validate(report) for report in json.loads(SAMPLE.read_text())] == [[]] * 4
