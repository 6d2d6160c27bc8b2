"""Statements of reasons by command line: shown, and sent to a simulated transparency database, each once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.config.policy import parse
from dev.fakes.api import Api, fixed
from dev.fakes.operations import STATING
from dev.fakes.shell import Result, Shell, shell_of
from dev.fakes.world import POLICY, pages
from dev.simulators.transparency import Fault, TransparencySimulator
from edgeban import transparency


@pytest.fixture
def shell(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shell]:
    monkeypatch.setattr(transparency, "PAUSE", 0.0)
    api.world.clock.advance(minutes=-10)
    api.world.policy = parse({**POLICY, **STATING})
    api.services._policy = fixed(api.world.policy)
    with shell_of(api, monkeypatch, tmp_path) as shell:
        yield shell


@pytest.fixture
def database(tmp_path: Path) -> Iterator[TransparencySimulator]:
    with TransparencySimulator() as database:
        (tmp_path / "token").write_text(f"{database.token}\n")
        yield database


def ban(shell: Shell, urls: list[str]) -> None:
    shell.api.post({"urls": urls})
    shell.api.settle()


def send(shell: Shell, database: TransparencySimulator, tmp_path: Path, *options: str, typed: str = "") -> Result:
    words = ("statements", "send", "--to", database.url, "--token-file", str(tmp_path / "token"), "--since", "2d")
    result = shell(*words, *options, who="rita", terminal=bool(typed), typed=typed)
    assert database.token not in result.out + result.err
    return result


# --- shown -----------------------------------------------------------------------------------------------------------


def test_statements_are_shown_for_people_and_for_machines(shell: Shell) -> None:
    ban(shell, pages(2))
    table = shell("statements", "--since", "2d", terminal=True, who="rita")
    assert table.status == 0, table
    assert "Terms of service, section 4.2" in table.out
    (statement,) = shell.json("statements", "--url", pages(1)[0], who="rita")
    assert statement["missing"] == []
    lines = shell("statements", "--since", "2d", "--csv", who="rita").out.splitlines()
    assert lines[0].startswith("puid,url,account,")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--url", "x", "--since", "2d"), "choose one of --url, --report and --since"),
        (("--url", "x", "--until", "2d"), "--until goes with --since"),
    ],
)
def test_a_question_about_two_things_is_refused(shell: Shell, options: tuple[str, ...], said: str) -> None:
    result = shell("statements", *options)
    assert result.status == 2
    assert said in result.err


# --- sent ------------------------------------------------------------------------------------------------------------


def test_nothing_is_sent_by_a_preview_or_without_a_yes(
    shell: Shell, database: TransparencySimulator, tmp_path: Path
) -> None:
    ban(shell, pages(3))
    preview = send(shell, database, tmp_path, "--preview")
    assert preview.status == 0
    assert "3 statements would be sent to 127.0.0.1" in preview.out
    assert "STATEMENT_CATEGORY_SCAMS_AND_FRAUD" in preview.out
    assert send(shell, database, tmp_path).status == 2
    assert send(shell, database, tmp_path, typed="n\n").status == 130
    assert database.calls == []


def test_statements_are_sent_in_batches_and_again_without_a_second_one(
    shell: Shell, database: TransparencySimulator, tmp_path: Path
) -> None:
    ban(shell, pages(230))
    first = send(shell, database, tmp_path, "--yes", "--json")
    assert (first.status, json.loads(first.out)) == (0, {"made": 230, "known": 0, "left_out": 0})
    assert database.calls == [201, 201, 201]
    ban(shell, ["https://www.example.com/more"])
    second = send(shell, database, tmp_path, "--yes", "--json")
    assert json.loads(second.out) == {"made": 1, "known": 230, "left_out": 0}
    assert len(database.statements) == 231


@pytest.mark.parametrize("fault", ["busy", "broken", "reset_before", "reset_after"])
def test_a_failure_of_the_database_makes_no_second_statement_and_loses_none(
    shell: Shell, database: TransparencySimulator, tmp_path: Path, fault: Fault
) -> None:
    ban(shell, pages(3))
    database.faults = [fault]
    result = send(shell, database, tmp_path, "--yes", "--json")
    assert result.status == 0, result
    told = json.loads(result.out)
    assert told["made"] + told["known"] == 3
    assert len(database.statements) == 3


def test_a_database_that_does_not_answer_is_told_and_asked_again_later(
    shell: Shell, database: TransparencySimulator, tmp_path: Path
) -> None:
    ban(shell, pages(3))
    database.faults = ["broken"] * transparency.TRIES
    result = send(shell, database, tmp_path, "--yes")
    assert result.status == 7
    assert "send the same again later" in result.err
    assert send(shell, database, tmp_path, "--yes").status == 0
    assert len(database.statements) == 3


def test_what_the_policy_does_not_say_is_left_out_and_the_status_says_partly(
    shell: Shell, database: TransparencySimulator, tmp_path: Path
) -> None:
    ban(shell, pages(2))
    shell.api.services._policy = fixed(parse(POLICY))
    result = send(shell, database, tmp_path, "--yes")
    assert result.status == 6
    assert "2 bans are left out" in result.err
    assert database.calls == []


def test_a_wrong_token_and_an_address_in_clear_text_are_refused(
    shell: Shell, database: TransparencySimulator, tmp_path: Path
) -> None:
    ban(shell, pages(1))
    (tmp_path / "token").write_text("nobody's")
    refused = send(shell, database, tmp_path, "--yes")
    assert refused.status == 4
    assert "the database refuses the token" in refused.err
    (tmp_path / "token").write_text("t")
    words = ("statements", "send", "--token-file", str(tmp_path / "token"), "--since", "2d", "--yes")
    clear = shell(*words, "--to", "http://transparency.example.org/api/v1/statements")
    assert clear.status == 2
    assert "must begin with https://" in clear.err
