"""Every error that edgeban raises on purpose, sorted by what the caller does next."""

from __future__ import annotations

from collections.abc import Collection


class EdgebanError(Exception):
    """Base of all errors that edgeban raises on purpose."""


class ConfigurationError(EdgebanError):
    """A setting, secret or policy is missing or wrong: a person must change it."""


# --- what a report names ------------------------------------------------------------------------


class UnusableUrl(EdgebanError):
    """The URL cannot be banned: only this URL is refused. ``reason`` repeats at most the scheme of the URL."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# --- what a client of the API or the queue did wrong -------------------------------------------


class InputError(EdgebanError):
    """The request cannot be served as it is: the client must change it.

    The HTTP answer carries ``status`` and ``code``. The message names the field, what is wrong with its value, and the
    remedy. It repeats at most a short piece of the value.
    """

    status = 400
    code = "bad_request"


class UnreadableReport(InputError):
    """The body is not a report of the format it claims to be."""

    code = "unreadable_report"


class BadSignature(InputError):
    """The request is unsigned, wrongly signed, too old or from the future."""

    status = 401
    code = "bad_signature"


class NotAuthenticated(InputError):
    """No operator token, or one that is not known."""

    status = 401
    code = "not_authenticated"


class NotAllowed(InputError):
    """The caller is known, and may not do this."""

    status = 403
    code = "not_allowed"


class NotFound(InputError):
    """The thing does not exist, or the caller may not see it."""

    status = 404
    code = "not_found"


class Conflict(InputError):
    """The request contradicts what is recorded already."""

    status = 409
    code = "conflict"


class TooLarge(InputError):
    """A size limit is crossed; the message says which."""

    status = 413
    code = "too_large"


class UnknownFormat(InputError):
    """No parser reads this content type."""

    status = 415
    code = "unknown_format"


class TooManyRequests(InputError):
    """A rate limit is crossed: the same request works ``retry_after`` seconds later."""

    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


# --- what a vendor answered, or did not answer -----------------------------------------------------------


class VendorError(EdgebanError):
    """A vendor call did not succeed. ``kind`` is the value of the metric dimension."""

    kind = "other"

    def __init__(self, message: str, *, code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id


class Throttled(VendorError):
    """Nothing happened at the vendor: wait ``retry_after`` seconds, then call again."""

    kind = "throttled"

    def __init__(self, message: str, *, retry_after: float = 2.0, code: str = "", request_id: str = "") -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.retry_after = retry_after


class Unavailable(VendorError):
    """The call did not reach the vendor (no connection): call again later, nothing happened."""

    kind = "unavailable"


class AnswerUnknown(VendorError):
    """The call may or may not have had its effect (timeout, reset, 5xx): look it up before calling again."""

    kind = "answer_unknown"


class ContentRefused(VendorError):
    """The vendor refuses the call because of its URLs, and did nothing: split it to find which."""

    kind = "content_refused"


class UnknownRefusal(ContentRefused):
    """The vendor refuses the call with a code that we do not know, and did nothing.

    Our calls differ in their URLs alone, so these are probably the cause, unless the vendor refuses every call.
    """


class UrlsFailed(VendorError):
    """The vendor did all of a call except the URLs that it names. ``task_id`` is the id of this call."""

    kind = "urls_failed"

    def __init__(self, message: str, *, task_id: str, failed: Collection[str]) -> None:
        super().__init__(message)
        self.task_id = task_id
        self.failed = frozenset(failed)


class NotBanned(ContentRefused):
    """The vendor has no ban of these URLs, or of some if the call names several: an unban of those is done."""

    kind = "not_banned"


class HostNotReady(ContentRefused):
    """A host's state at the vendor forbids the call, which did nothing. The state passes, so the host's URLs wait."""

    kind = "host_not_ready"


class AccessRefused(VendorError):
    """The vendor refuses the credentials or the permission: stop calling this account and tell a person."""

    kind = "access_refused"


class PermissionRefused(AccessRefused):
    """The vendor knows the credentials but refuses this call to them, perhaps only for some of its hosts."""


class QuotaExceeded(VendorError):
    """The account's quota is used up and nothing happened: wait, and let a person ask the vendor for more."""

    kind = "quota_exceeded"


# --- what AWS did not do ------------------------------------------------------------------------------


class LedgerUnavailable(EdgebanError):
    """DynamoDB refused or throttled a call after all our retries: repeat the whole work later, as queues do."""


class NotQueued(EdgebanError):
    """SQS did not take a message: the report is not accepted yet, and its sender tries again."""


class NotNotified(EdgebanError):
    """SNS did not take a message to people: it is sent again in the next minute."""


# --- our own concurrency -------------------------------------------------------------------------------


class StaleSubmitter(EdgebanError):
    """Another submitter has taken over this vendor account: stop and write nothing more."""


# --- the file of an export ---------------------------------------------------------------------------------


class DownloadRefused(EdgebanError):
    """The address of the file, or the answer from it, is not allowed: do not fetch it again, a person looks."""


class DownloadExpired(EdgebanError):
    """The URL of the file has expired: describe the export again to get a new one."""


# --- the archive ---------------------------------------------------------------------------------------------


class ArchiveIncomplete(EdgebanError):
    """An object of an archive is missing or damaged: leave the day unfinished, the next run continues it."""
