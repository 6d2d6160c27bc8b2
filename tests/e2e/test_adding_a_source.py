"""docs/adding-a-source.md, followed to the letter against the deployed stack: no deployment, within a minute."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from chalicelib.config.sources import FIELDS
from chalicelib.config.sources import parse as parse_sources
from dev.package import ROOT
from dev.stack import Stack

PAGE = (ROOT / "docs" / "adding-a-source.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_page_on_adding_a_source_works_to_the_letter(stack: Stack, tmp_path: Path) -> None:
    make_secret, read_sources, put_sources, report = blocks("bash")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STAGE": stack.aws.stage,
        "API": stack.aws.stack.api_url,
        "AWS_ENDPOINT_URL": stack.aws.url,
        "AWS_DEFAULT_REGION": stack.aws.region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "HOME": str(tmp_path),
    }

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            script, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    for script in (make_secret, read_sources):
        done = run(script)
        assert done.returncode == 0, done.stderr
    sources = json.loads((tmp_path / "sources.json").read_text())
    entry = blocks("json")[0].replace("SECRET", (tmp_path / "secret.txt").read_text().strip())
    (tmp_path / "sources.json").write_text(json.dumps({**sources, **json.loads(entry)}))
    done = run(put_sources)
    assert done.returncode == 0, done.stderr
    changed = time.monotonic()
    (tmp_path / "report.py").write_text(blocks("python")[0])
    while (done := run(report)).returncode or "401 " in done.stdout:  # Each function has its own clock.
        assert "401" in done.stdout, done.stdout + done.stderr
        assert time.monotonic() - changed < 60, "the source is not known within a minute"
        time.sleep(2)
    received, status, found = done.stdout.splitlines()
    assert received.startswith("202 ")
    assert status.startswith("200 ")
    assert found.startswith("200 ")
    assert json.loads(status[4:])["test"] is True
    assert json.loads(found[4:])["reports"][0]["report_id"] == json.loads(received[4:])["report_id"]


def test_every_field_is_in_the_table_and_the_example_is_valid() -> None:
    table = PAGE[PAGE.index("| field | meaning") :]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert named >= FIELDS
    parse_sources(json.loads(blocks("json")[0].replace("SECRET", "whsec_" + "c2VjcmV0" * 5)))
