"""People approve or cancel a waiting unban where the console shows the unbans."""

from __future__ import annotations

from typing import Any

import pytest

Visit = Any

PHONE = {"width": 390, "height": 844}
WAITING = "tr:has-text('waits for')"


def ready(visit: Visit, name: str = "ben") -> None:
    visit.sign_in(name, "audit")
    visit.page.wait_for_selector(WAITING)


def choose(visit: Visit, button: str) -> None:
    """Open the dialog by keyboard, and wait until it says how many URLs the unban is about."""
    visit.page.locator(WAITING).get_by_role("button", name=button).focus()
    visit.press("Enter")
    visit.page.wait_for_selector("dialog >> text=240 URLs")


def give_reason(visit: Visit, reason: str) -> None:
    visit.page.locator("dialog").get_by_label("Reason", exact=True).focus()
    visit.page.keyboard.type(reason)
    visit.press("Enter")


def buttons(visit: Visit) -> list[str]:
    return [str(each) for each in visit.page.locator(WAITING).get_by_role("button").all_inner_texts()]


@pytest.mark.parametrize("who", ["ben", "olga"])
def test_another_person_approves_an_unban_by_keyboard_with_a_reason(visit: Visit, decided: Any, who: str) -> None:
    ready(visit, who)
    assert "waits for a second person" in visit.text()
    choose(visit, "Approve")
    assert "anna asked 4 h ago to unban all of new-desk: the feed was poisoned" in visit.page.inner_text("dialog")
    give_reason(visit, "seen with the desk")
    visit.page.wait_for_selector("text=Approved: 240 URLs unbanned.")
    visit.page.wait_for_selector(WAITING, state="detached")
    assert decided() == [{"unban_id": "u-3", "decision": "approve", "reason": "seen with the desk", "by": who}]


def test_a_person_who_asked_for_an_unban_may_cancel_it_and_not_approve_it(visit: Visit, decided: Any) -> None:
    ready(visit, "anna")
    assert "waits for another person than you" in visit.text()
    assert buttons(visit) == ["Cancel"]
    choose(visit, "Cancel")
    give_reason(visit, "the wrong source")
    visit.page.wait_for_selector("text=The unban is cancelled: the bans stay.")
    assert decided() == [{"unban_id": "u-3", "decision": "cancel", "reason": "the wrong source", "by": "anna"}]


def test_nothing_is_decided_without_a_reason_or_by_closing_the_dialog(visit: Visit, decided: Any) -> None:
    ready(visit)
    choose(visit, "Approve")
    assert visit.page.get_by_role("button", name="Approve the unban").is_disabled()
    visit.press("Escape")
    visit.page.wait_for_selector("dialog", state="detached")
    assert visit.page.evaluate("document.activeElement.textContent") == "Approve"
    assert decided() == []


def test_a_reader_sees_that_an_unban_waits_and_decides_nothing(visit: Visit) -> None:
    ready(visit, "rita")
    assert buttons(visit) == []


def test_what_the_api_refuses_is_shown_in_its_words(visit: Visit) -> None:
    visit.tolerates = ("409",)
    message = "you have asked for this unban: it takes another person to approve it"
    error = {"code": "conflict", "message": message, "request_id": "r"}
    visit.page.route("**/v1/unbans/*/approve", lambda route: route.fulfill(status=409, json={"error": error}))
    ready(visit)
    choose(visit, "Approve")
    give_reason(visit, "seen")
    assert visit.page.get_by_role("dialog").get_by_role("alert").inner_text() == message


def test_the_slower_of_two_people_at_once_is_told(visits: Any, decided: Any) -> None:
    quick, slow = visits(), visits()
    slow.tolerates = ("404",)
    ready(quick)
    ready(slow, "olga")
    choose(slow, "Approve")
    choose(quick, "Cancel")
    give_reason(quick, "the feed was right")
    quick.page.wait_for_selector("text=The unban is cancelled")
    give_reason(slow, "seen")
    slow.page.wait_for_selector("dialog >> text=it is decided already")
    assert [each["decision"] for each in decided()] == ["cancel"]


def test_an_unban_beyond_the_first_page_is_shown(visit: Visit) -> None:
    ready(visit)
    table = visit.page.get_by_role("region", name="How far unbans are")
    assert table.locator("tbody tr").count() == 5
    visit.page.get_by_role("region", name="Unbans").get_by_role("button", name="Show more").click()
    table.locator("tbody tr").nth(5).wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_waiting_unban_is_decided_on_a_phone_and_axe_finds_nothing(visits: Any, theme: str) -> None:
    visit = visits(viewport=PHONE, color_scheme=theme)
    ready(visit)
    table = visit.page.get_by_role("region", name="How far unbans are")
    assert table.evaluate("table => table.scrollWidth <= table.clientWidth"), "the buttons are in sight"
    assert visit.findings() == []
    choose(visit, "Approve")
    assert visit.findings() == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert visit.page.get_by_role("button", name="Approve the unban").is_visible()


def test_a_person_who_asks_for_an_unban_is_told_that_it_waits_and_led_to_it(visit: Visit) -> None:
    def wait(route: Any) -> None:
        answer = {"unban_id": "u-9", "complete": False, "approvals_needed": 2, "urls": 0}
        route.continue_() if route.request.post_data_json.get("preview") else route.fulfill(status=202, json=answer)

    visit.page.route("**/v1/unbans", wait)
    visit.sign_in("olga", "tasks/20261127T1")
    visit.page.get_by_role("button", name="Undo the task").click()
    visit.page.locator("dialog").get_by_label("Reason", exact=True).fill("a mistake")
    visit.page.locator("dialog button.danger").click()
    visit.page.wait_for_selector(".toast >> text=The unban waits until another person approves it.")
    visit.page.locator(".toast").get_by_role("link", name="To the unbans").click()
    visit.page.wait_for_selector(WAITING)
