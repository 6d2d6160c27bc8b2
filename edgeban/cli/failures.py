"""Turn an error into one line on stderr, and an exit status that tells scripts what kind of error it was."""

from __future__ import annotations

import json
import sys
from enum import IntEnum

import click

from edgeban.config import ConfigurationProblem
from edgeban.errors import EdgebanError, Unreachable, WaitedTooLong


class Status(IntEnum):
    """The exit statuses."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    REFUSED = 5
    PARTLY = 6
    UNREACHABLE = 7
    WAITED = 8
    NOT_BANNED = 9
    NOT_WELL = 10
    INTERRUPTED = 130


class Ended(Exception):
    """A command ends with this status. It has written its message already."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


def status_of(error: Exception, *, as_json: bool) -> int:
    """Write an error for a person, or as the API's error object, and return the exit status.

    Raises the error again if no command expects it: then this program has a fault.
    """
    if isinstance(error, Ended):
        return error.status
    if isinstance(error, click.exceptions.Exit):
        return int(error.exit_code)
    if isinstance(error, click.Abort):
        click.echo("edgeban: interrupted; nothing was sent", err=True)
        return Status.INTERRUPTED
    if isinstance(error, click.ClickException):
        if as_json:
            _write_json("usage", error.format_message(), "")
        else:
            error.show(sys.stderr)
        return Status.USAGE
    if isinstance(error, EdgebanError):
        _write(error.code or "unreachable", error.message, error.request_id, as_json=as_json)
        return _status_of_answer(error)
    if isinstance(error, ConfigurationProblem | ValueError | OSError):
        _write("configuration", _text_of(error), "", as_json=as_json)
        return Status.USAGE
    raise error


def _text_of(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _status_of_answer(error: EdgebanError) -> Status:
    if isinstance(error, WaitedTooLong):
        return Status.WAITED
    if isinstance(error, Unreachable):
        return Status.UNREACHABLE
    return {401: Status.NOT_ALLOWED, 403: Status.NOT_ALLOWED, 404: Status.NOT_FOUND}.get(error.status, Status.REFUSED)


def _write(code: str, message: str, request_id: str, *, as_json: bool) -> None:
    from edgeban.cli.output import harmless

    if as_json:
        _write_json(code, message, request_id)
        return
    request = f" (request {request_id})" if request_id else ""
    click.echo(f"edgeban: {harmless(message)}{request}", err=True)


def _write_json(code: str, message: str, request_id: str) -> None:
    click.echo(json.dumps({"error": {"code": code, "message": message, "request_id": request_id}}), err=True)
