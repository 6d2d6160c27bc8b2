"""docs/adding-a-format.md works to the letter in a copy, and docs/formats.md agrees with the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from chalicelib.aws.s3 import MAX_OBJECT
from chalicelib.domain.urls import MAX_URL_LENGTH
from chalicelib.pipeline.intake.receive import MAX_BODY
from chalicelib.reports import CONTENT_TYPES, PARSERS, reading

ROOT = Path(__file__).parents[3]
FORMATS = (ROOT / "docs" / "formats.md").read_text()


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Yield each block's language, the file that the text before it names last, and its content."""
    found = []
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        named = re.findall(r"`([\w/.-]+\.(?:py|json|md))`", page[: match.start()])
        found.append((match[1], named[-1] if named else "", match[2]))
    return found


def apply(diff: str, path: Path) -> None:
    lines = diff.splitlines()
    old = "\n".join(line[1:] for line in lines if line[:1] in "- ") + "\n"
    new = "\n".join(line[1:] for line in lines if line[:1] in "+ ") + "\n"
    text = path.read_text()
    assert text.count(old) == 1, f"the page changes lines that {path.name} does not have once:\n{old}"
    path.write_text(text.replace(old, new))


def test_the_page_on_adding_a_format_works_to_the_letter(tmp_path: Path) -> None:
    for name in ("chalicelib", "dev", "tests", "docs", ".chalice", "app.py", "pyproject.toml"):
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, tmp_path / name, ignore=ignored) if source.is_dir() else shutil.copy(source, tmp_path)
    commands = 0
    for language, name, content in blocks((ROOT / "docs" / "adding-a-format.md").read_text()):
        if language == "diff":
            apply(content, tmp_path / name)
        elif language == "bash":
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            environment = {**os.environ, "PATH": path, "PYTHONPATH": str(tmp_path)}
            done = subprocess.run(
                content,
                shell=True,
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            commands += 1
        else:
            (tmp_path / name).write_text(content)
    assert commands == 1
    made = ["chalicelib/reports/acme.py", "chalicelib/reports/__init__.py"]
    ruff = str(Path(sys.executable).with_name("ruff"))
    checked = subprocess.run(
        [ruff, "check", *made, "tests/unit/reports/test_acme.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_the_table_of_formats_has_every_format_and_content_type() -> None:
    rows = {row[0]: row[1] for row in re.findall(r"^\| `([\w-]+)` \| (.*?) \|", FORMATS, re.MULTILINE)}
    listed = {name: cell for name, cell in rows.items() if name in PARSERS}
    assert listed.keys() == PARSERS.keys()
    for content_type, name in CONTENT_TYPES.items():
        assert f"`{content_type}`" in listed[name]


def test_the_table_of_limits_states_those_of_the_code() -> None:
    options = reading.ParserOptions()
    for value in (
        f"{MAX_BODY:,} bytes",
        f"{MAX_OBJECT:,} bytes",
        f"{options.max_depth} levels",
        f"{options.max_urls:,}",
        f"{MAX_URL_LENGTH:,} characters",
        f"{reading.MAX_CATEGORY_LENGTH} characters",
        f"{reading.MAX_REPORTER_LENGTH} characters",
        f"{reading.MAX_NOTE_LENGTH:,} characters",
        f"{reading.MAX_CORRELATION_ID_LENGTH} characters",
        "5 minutes",
    ):
        assert f"| {value}" in FORMATS, value
