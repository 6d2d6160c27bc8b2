"""The errors of the SDK. Their class and status say what the caller does next."""

from __future__ import annotations


class EdgebanError(Exception):
    """The API refused a request. ``status`` is its HTTP status, ``code`` its error code, such as ``not_found``."""

    def __init__(self, message: str, *, status: int = 0, code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        """Quote it to the operators of edgeban. Empty if the request did not reach the API."""


class Unreachable(EdgebanError):
    """The API did not answer, or answered 5xx or 429 to every try. The same request may be sent again later."""


class WaitedTooLong(EdgebanError):
    """A report or an unban did not come to its end within the seconds that the caller allowed."""
