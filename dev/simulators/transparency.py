"""Simulate the Commission's transparency database as far as ``edgeban statements send`` calls it.

In a test:

    with TransparencySimulator() as database:
        send(f"{database.url}/api/v1/statements", database.token, …)
        database.statements["edgeban-…"]

From a shell: ``python -m dev.simulators.transparency --port 9010``; it prints its address and its token.

Read from ``routes/api_v1.php``, ``StatementMultipleAPIController.php``, ``RouteServiceProvider.php`` and
``PuidNotUniqueMultipleException.php`` of https://github.com/digital-services-act/transparency-database: 1 to 100
statements a call, all of them or none, 201 with what was made, 422 with the problems of each or with the puids that are
there, 401 without the token, 429 in plain text.
"""

from __future__ import annotations

import argparse
import json
import threading
import uuid
from collections import Counter
from typing import Any, Literal

from dev.simulators.http_server import Reply, Request, Served, SimulatorServer, json_reply, serve_until_interrupted
from dev.simulators.transparency_rules import problems

PATH = "/api/v1/statements"
MOST = 100
NOT_UNIQUE = "The platform identifier(s) are not all unique within this call."

Fault = Literal["busy", "broken", "reset_before", "reset_after"]
"""429, 500, or a reset connection: before anything was made, or after all of it was."""


class TransparencySimulator(Served):
    """The simulator. ``statements`` are what was made, by puid; ``faults`` are used up, one a call."""

    def __init__(self, *, port: int = 0) -> None:
        self.token = "7|SimulatorTokenOfThePlatform0123456789abcdef"
        self.statements: dict[str, dict[str, Any]] = {}
        self.faults: list[Fault] = []
        self.calls: list[int] = []
        """The statuses of all answers; 0 where the connection was reset."""
        self._lock = threading.Lock()
        self._server = SimulatorServer(self._handle, port=port)
        self.url = f"{self._server.url}{PATH}"

    def _handle(self, request: Request) -> Reply:
        with self._lock:
            fault = self.faults.pop(0) if self.faults else None
            if fault == "reset_before":
                reply = Reply(0, wire="reset")
            elif fault == "busy":
                reply = Reply(429, b"Limit Reached. Please do not overload the API", {"Content-Type": "text/html"})
            elif fault == "broken":
                reply = json_reply(500, {"message": "Server Error"})
            else:
                reply = self._answer(request)
            if fault == "reset_after":
                reply = Reply(0, wire="reset")
            self.calls.append(reply.status)
            return reply

    def _answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return json_reply(401, {"message": "Unauthenticated."})
        if (request.method, request.path) != ("POST", PATH):
            return json_reply(404, {"message": "Not Found"})
        try:
            document = json.loads(request.body)
        except ValueError:
            document = None
        statements = document.get("statements") if isinstance(document, dict) else None
        if not isinstance(statements, list) or not 1 <= len(statements) <= MOST:
            message = f"The statements field must have between 1 and {MOST} items."
            return json_reply(422, {"message": message, "errors": {"statements": [message]}})
        wrong = {f"statement_{index}": found for index, each in enumerate(statements) if (found := problems(each))}
        if wrong:
            return json_reply(422, {"errors": wrong})
        counts = Counter(each["puid"] for each in statements)
        twice = [puid for puid, count in counts.items() if count > 1] or [p for p in counts if p in self.statements]
        if twice:
            errors = {"puid": [NOT_UNIQUE], "existing_puids": twice}
            return json_reply(422, {"message": NOT_UNIQUE, "errors": errors})
        made = [{**each, "uuid": str(uuid.uuid4())} for each in statements]
        self.statements.update({each["puid"]: each for each in made})
        return json_reply(201, {"statements": made})


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9010)
    simulator = TransparencySimulator(port=parser.parse_args().port)
    print(f"{simulator.url}  token {simulator.token}", flush=True)
    serve_until_interrupted(simulator)


if __name__ == "__main__":
    main()
