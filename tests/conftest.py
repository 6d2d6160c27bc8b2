"""For all tests: the fakes check what functions do against their policies; after all tests, the policies too."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dev.fakes import rights

UNIT = Path(__file__).parent / "unit"

OTHERWISE_NEEDED: dict[tuple[str, str], str] = {
    ("api_handler", "dynamodb:UpdateItem Ledger"): "pause and resume: tests/app/test_operators_api.py",
    ("archive_ledger", "s3:GetObject Archive/ledger-manifest/*"): "of one statement with the files that are read back",
    ("detect_drift", "dynamodb:DeleteItem Ledger"): "a chunk of lost bans whose URLs were all claimed meanwhile",
    ("renew_bans", "dynamodb:DeleteItem Ledger"): "a renewal whose URLs were all unbanned meanwhile",
    ("intake_reports", "s3:GetObject Intake/*"): "tests/unit/pipeline/intake/test_objects.py, over a fake of boto3",
    ("intake_reports", "s3:GetObjectVersion Intake/*"): "the same",
}
"""(function, what its policy allows) that the fakes see no function do in the unit tests → when it is needed."""


settings.register_profile("edgeban", deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pytest_configure() -> None:
    settings.load_profile("edgeban")  # No test may fail because the machine is busy.
    rights.switch_on()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a parameter of bytes by its kind: packed bytes hold the second in which they were packed.

    A name that changes from one collection to the next ends a run on several cores.
    """
    return "bytes" if isinstance(val, bytes) else None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail after all unit tests if a policy allows what no test made its function do."""
    ran = {item.path for item in session.items}
    if exitstatus or not {*UNIT.rglob("test_*.py")} <= ran or session.config.getoption("keyword"):
        return
    unused = rights.unused() - OTHERWISE_NEEDED.keys()
    idle = OTHERWISE_NEEDED.keys() - rights.unused()
    for function, action in sorted(unused):
        print(f"\n{function} may do {action}, and no unit test makes it do that: take the right away, or test it")
    for function, action in sorted(idle):
        print(f"\n{function} does {action} after all: take the excuse away")
    if unused or idle:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
