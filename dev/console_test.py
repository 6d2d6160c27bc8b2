"""Run the console's tests in a Chromium: ``python -m dev.console_test [PATH …]``.

The tests run in an installed Chromium or Chrome. If there is none and ``CI`` is set, this installs Debian's, and fails
if that fails. Without ``CI`` the tests are skipped, and the last line names the command that installs one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from dev.package import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
INSTALL = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium")
MARK = ROOT / ".local" / "console-test-skipped"
"""This file exists while the last run was skipped. ``make test`` then says so in its last line."""


def browser() -> str:
    """Return the path of a Chromium or Chrome; nothing if there is none. ``CHROMIUM`` names another one."""
    named = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else BROWSERS
    return next((path for path in map(shutil.which, named) if path), "")


def main() -> int:
    MARK.unlink(missing_ok=True)
    if not browser() and os.environ.get("CI"):
        subprocess.run(["apt-get", "update", "--quiet"], check=False)
        subprocess.run(INSTALL, check=False)
        if not browser():
            sys.stderr.write("console-test: there is no Chromium here, and none could be installed\n")
            return 1
    if not browser():
        told = f"console-test: skipped, for there is no Chromium here; `{' '.join(INSTALL)}` brings one"
        MARK.parent.mkdir(exist_ok=True)
        MARK.write_text(f"{told}\n")
        sys.stdout.write(f"{told}\n")
        return 0
    python = ROOT / ".venv-console" / "bin" / "python"
    tests = sys.argv[1:] or ["tests/console"]
    # The other suites' conftest needs all that the app needs; this environment has a browser's driver alone.
    command = [str(python), "-m", "pytest", "--confcutdir=tests/console", "-n", "2", "--dist", "loadfile", *tests]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "CHROMIUM": browser()}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
