"""Run a program in node that reads a question a line and answers each in a line, both JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class NodeProgram:
    """What runs at an edge, in a process of node."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def visit(self, url: str, **settings: Any) -> dict[str, Any]:
        """Visit a URL at the edge and return what the program answers, and whether it let the visit pass."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"url": url, **settings}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def node_program(driver: Path, program: Path) -> Iterator[NodeProgram]:
    """Run a program by its driver until the block ends. Raises ``FileNotFoundError`` without a node."""
    node = shutil.which("node")
    if node is None:
        raise FileNotFoundError("there is no node here: install Node.js 20 or later")
    command = [node, str(driver), str(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield NodeProgram(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)
