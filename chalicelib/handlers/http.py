"""Turn a view's result and its errors into HTTP answers, and find who asks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from chalice.app import Request, Response

from chalicelib.bootstrap import Services, services
from chalicelib.config.operators import Operator
from chalicelib.domain.errors import ConfigurationError, InputError, NotAllowed
from chalicelib.web import answer, authenticate, refusal

F = TypeVar("F", bound=Callable[..., Response])


def answered(view: F) -> F:
    """Turn our errors into answers, and everything else into a 500 that tells nothing but the request's id."""

    @functools.wraps(view)
    def wrapped(*args: Any, **kwargs: Any) -> Response:
        made = services()
        try:
            return view(*args, **kwargs)
        except InputError as error:
            made.emit("request_refused", code=error.code, problem=str(error)[:300])
            return refusal(error, made.request_id)
        except Exception as error:  # the last frontier: whoever asks gets no stack
            made.logger.exception("request_failed")
            problem = "the service is misconfigured" if isinstance(error, ConfigurationError) else "try again"
            message = f"something went wrong on our side: {problem}; quote the request_id to the operators"
            return answer(500, {"error": {"code": "internal", "message": message, "request_id": made.request_id}})

    return wrapped  # type: ignore[return-value]


def operator(made: Services, request: Request, role: str) -> Operator:
    """Find the operator who asks. Raises NotAuthenticated, and NotAllowed if the role does not suffice."""
    who = authenticate(request.headers, made.operators)
    if not who.may(role):
        raise NotAllowed(f"the token of {who.name} has the role {who.role}; this needs {role}")
    return who
