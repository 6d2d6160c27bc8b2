"""The pictures of docs/console.md. ``make console-shots`` writes them anew; otherwise the test only takes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

HOME = Path(__file__).parents[2] / "docs" / "console"
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SHOTS = {
    "overview": ("overview", "light", WIDE, ".chart canvas"),
    "queue": ("queue?source=new-desk", "light", WIDE, "tr.cursor"),
    "url": ("url?url=" + quote("https://m.example.com/mal/79.exe", safe=""), "dark", WIDE, ".timeline"),
    "bans": ("bans", "light", WIDE, "tbody tr"),
    "sources": ("sources", "dark", WIDE, ".spark"),
    "queue-phone": ("queue", "light", PHONE, "tr.cursor"),
}


@pytest.mark.parametrize("name", SHOTS)
def test_a_view_is_pictured(visits: Any, tmp_path: Path, name: str) -> None:
    place, theme, size, there = SHOTS[name]
    visit = visits(viewport=size, color_scheme=theme, reduced_motion="reduce")
    visit.sign_in(place=place)
    visit.page.wait_for_selector(there)
    visit.page.wait_for_selector("[aria-busy=true]", state="detached")
    target = (HOME if os.environ.get("SCREENSHOTS") else tmp_path) / f"{name}.png"
    visit.page.screenshot(path=target)
    assert target.stat().st_size > 15_000
    assert (HOME / f"{name}.png").exists()
    assert f"console/{name}.png" in (HOME.parent / "console.md").read_text()
