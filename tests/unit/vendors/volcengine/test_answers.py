"""Every code that the vendor's pages name, and the errors for codes that they do not name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.domain.errors import (
    AccessRefused,
    AnswerUnknown,
    ContentRefused,
    QuotaExceeded,
    Throttled,
    UnknownRefusal,
    VendorError,
)
from chalicelib.vendors.http import VendorResponse
from chalicelib.vendors.volcengine.answers import ERRORS, read_answer

METADATA = {"RequestId": "20260115083000ABCDEF", "Action": "SubmitBlockTask", "Version": "2021-03-01"}


def answer(status: int, document: Any) -> VendorResponse:
    return VendorResponse(status=status, headers={}, body=json.dumps(document).encode())


def refused(status: int, code: str, text: str = "so be it", **more: Any) -> VendorError:
    document = {"ResponseMetadata": {**METADATA, "Error": {"Code": code, "Message": text}}, **more}
    with pytest.raises(VendorError) as caught:
        read_answer(answer(status, document))
    return caught.value


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("code", "kind"), ERRORS.items())
def test_a_documented_code_decides_under_either_status(status: int, code: str, kind: type[VendorError]) -> None:
    error = refused(status, code)

    assert type(error) is kind
    assert (error.code, error.request_id) == (code, METADATA["RequestId"])
    assert "so be it" in str(error)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidParameter.Urls", ContentRefused),
        (400, "InvalidParameter.Https.CertInfo", ContentRefused),
        (403, "AccessDenied.IAMUnauthorized", AccessRefused),
        (400, "InternalError.Storage", AnswerUnknown),
        (400, "CDN.InvalidParam.Source", ContentRefused),
        (400, "InvalidParameter.Quota", QuotaExceeded),
        (400, "ExceedQuota.Block", QuotaExceeded),
        (200, "NobodyKnows", UnknownRefusal),
        (400, "NobodyKnows", UnknownRefusal),
        (403, "NobodyKnows", AccessRefused),
        (404, "NobodyKnows", AccessRefused),
        (200, "", AnswerUnknown),
        (400, "", AccessRefused),
        (408, "NobodyKnows", AnswerUnknown),
        (413, "", ContentRefused),
        (429, "", Throttled),
        (429, "InvalidParameter.Urls", Throttled),
        (500, "NotFound.Domain", AnswerUnknown),
        (503, "FlowLimitExceeded", Throttled),
    ],
)
def test_a_detail_or_the_status_decides_where_the_code_is_not_listed(
    status: int, code: str, kind: type[VendorError]
) -> None:
    assert type(refused(status, code)) is kind


@pytest.mark.parametrize("text", ["今日封禁额度已用完", "block Quota exceeded", "超出配额"])
def test_a_text_about_a_quota_is_not_taken_for_a_bad_url(text: str) -> None:
    assert type(refused(400, "InvalidParameter", text)) is QuotaExceeded
    assert type(refused(403, "AccessDenied", text)) is AccessRefused


def test_an_error_beside_a_task_leaves_open_what_happened() -> None:
    assert type(refused(400, "InvalidParameter", Result={"TaskID": "url_block_1"})) is AnswerUnknown


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "x",
        7,
        None,
        {"Result": {}},
        {"ResponseMetadata": METADATA},
        {"ResponseMetadata": [], "Result": {}},
        {"ResponseMetadata": METADATA, "Result": []},
        {"ResponseMetadata": {**METADATA, "Error": {}}, "Result": {}},
    ],
)
def test_what_is_no_answer_of_this_api_is_never_a_success(document: Any) -> None:
    with pytest.raises(AnswerUnknown):
        read_answer(answer(200, document))


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b'{"ResponseMetadata"'])
def test_a_body_that_is_not_json_is_never_a_success(body: bytes) -> None:
    with pytest.raises(AnswerUnknown):
        read_answer(VendorResponse(200, {}, body))


def test_a_result_comes_back_as_it_is() -> None:
    assert read_answer(answer(200, {"ResponseMetadata": METADATA, "Result": {"TaskID": "t"}})) == {"TaskID": "t"}


@pytest.mark.parametrize(
    ("headers", "seconds"), [({}, 2.0), ({"Retry-After": "7"}, 7.0), ({"Retry-After": "9999"}, 3600.0)]
)
def test_a_throttled_call_waits_as_long_as_the_vendor_says(headers: dict[str, str], seconds: float) -> None:
    with pytest.raises(Throttled) as caught:
        read_answer(VendorResponse(429, headers, b""))
    assert caught.value.retry_after == seconds


def test_nothing_that_the_vendor_quotes_back_can_hold_a_signature() -> None:
    error = refused(401, "SignatureDoesNotMatch", f"got\x1b[31m {'ab' * 32}")

    assert "abab" not in str(error)
    assert "\x1b" not in str(error)
