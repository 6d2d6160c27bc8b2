"""The app over a ``World`` behind a real HTTP port, for whoever calls the API as a stranger does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from dev.fakes.api import Api


@contextmanager
def served(api: Api) -> Iterator[str]:
    """Serve the app on a port of this machine and yield its base URL. One request is answered after the other."""

    class Bridge(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
            answer = api.client.http.request(self.command, self.path.removeprefix("/api"), headers, body)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in {"content-length", "transfer-encoding"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PATCH = answer  # noqa: N815  The names that the base class calls.

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  The base class's name.
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Bridge) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()
            thread.join()
