"""A real Chromium over the fake API: each test has a page of its own, and no test may leave an error in it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# The other suites run in an environment without a browser's driver: `make console-test` runs these.
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def base() -> Iterator[str]:
    """Return the address of the fake API, which serves the console's own files."""
    command = [str(ROOT / ".venv" / "bin" / "python"), "-m", "dev.fakes.console_api"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        yield browser
        browser.close()


LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SEEN_MS = 120
"""Milliseconds between two keys: a page draws what a key did within a few frames, on a busy machine too."""


@dataclass
class Visit:
    """One person's tab. ``problems`` are the browser's complaints; ``tolerates`` are those that a test expects."""

    base: str
    page: Any
    problems: list[str] = field(default_factory=list)
    tolerates: tuple[str, ...] = ()

    def open(self, place: str = "") -> None:
        """Open the console at one of its views."""
        self.page.goto(f"{self.base}/console/index.html#/{place}")

    def sign_in(self, name: str = "ben", place: str = "overview") -> None:
        """Sign in, and wait for the view."""
        self.open(place)
        self.page.get_by_label("Your operator's token").fill(f"token-of-{name}")
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("main:not(.signin) h1")  # The page to sign in at has a heading too.

    def see(self, place: str) -> None:
        """Go to a view of the console, and wait until nothing loads."""
        self.page.evaluate("place => { location.hash = place }", f"#/{place}")
        self.page.wait_for_selector("main h1")
        self.page.wait_for_selector("[aria-busy=true]", state="detached")

    def text(self) -> str:
        """Return the text of the view."""
        return str(self.page.locator("main").inner_text())

    def heading(self) -> str:
        """Return the view's heading."""
        return str(self.page.locator("h1").inner_text())

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as fast as a person who waits for the effect of each."""
        for key in keys:
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(SEEN_MS)

    def findings(self) -> list[str]:
        """Return the findings of axe: each rule with the first element that breaks it."""
        import axe_playwright_python

        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text())
        options = json.dumps({"runOnly": {"type": "tag", "values": LEVELS}})
        result = self.page.evaluate(f"() => axe.run(document, {options})")
        return [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in result["violations"]]

    def serious(self) -> list[str]:
        """Return the browser's complaints that no test expects."""
        return [each for each in self.problems if not any(word in each for word in self.tolerates)]


Visits = Callable[..., Visit]


@pytest.fixture
def visits(base: str, chromium: Any) -> Iterator[Visits]:
    """Open tabs of separate people: options are those of playwright's contexts."""
    urllib.request.urlopen(urllib.request.Request(f"{base}/state", method="DELETE")).close()
    made: list[Visit] = []

    def visit(**options: Any) -> Visit:
        page = chromium.new_context(**{"viewport": WIDE, "color_scheme": "light", **options}).new_page()
        page.set_default_timeout(15000)
        new = Visit(base, page)
        page.on("console", lambda m: new.problems.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: new.problems.append(str(error)))
        page.on("dialog", lambda dialog: new.problems.append(f"a dialog: {dialog.message}"))
        made.append(new)
        return new

    yield visit
    problems = [each for one in made for each in one.serious()]
    for one in made:
        one.page.context.close()
    assert not problems


@pytest.fixture
def visit(visits: Visits) -> Visit:
    return visits()


@pytest.fixture
def decided(base: str) -> Callable[[], list[dict[str, Any]]]:
    """Ask what the API was told to decide."""

    def read() -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{base}/state") as answer:
            found: list[dict[str, Any]] = json.load(answer)["decided"]
            return found

    return read


@pytest.fixture
def posts(base: str) -> Callable[[], list[Any]]:
    """Ask for the bodies that were posted, with their paths."""

    def read() -> list[Any]:
        with urllib.request.urlopen(f"{base}/state") as answer:
            found: list[Any] = json.load(answer)["posts"]
            return found

    return read
