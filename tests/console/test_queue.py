"""The review queue, by keyboard alone."""

from __future__ import annotations

from typing import Any

Visit = Any


def ready(visit: Visit, name: str = "ben") -> None:
    visit.sign_in(name, "queue")
    visit.page.wait_for_selector(".scroll[aria-busy=false] tr.cursor")


def group(visit: Visit) -> str:
    return str(visit.page.locator(".group[aria-selected=true]").inner_text())


def move_to(visit: Visit, words: str) -> None:
    for _ in range(6):
        if words in group(visit):
            visit.page.wait_for_selector("tr.cursor")
            return
        visit.press("n")
        visit.page.wait_for_timeout(60)
    raise AssertionError(f"no group says {words!r}")


def test_holds_of_one_rule_and_source_are_one_group(visit: Visit) -> None:
    ready(visit)
    assert visit.page.locator(".group").count() == 4
    assert "9 URLs, 9 holds" in group(visit)
    assert "164 URLs in 12 holds wait" in visit.text()


def test_a_group_says_who_asks_for_its_urls_beside_the_source_that_they_are_held_for(visit: Visit) -> None:
    ready(visit)
    visit.page.locator(".group", has_text="also isp").click()
    assert "Also asked for by isp." in visit.text()


def test_a_group_is_approved_with_a_reason_and_an_exception(visit: Visit, decided: Any) -> None:
    visit.tolerates = ("404",)  # A hold was decided while its URLs are read.
    ready(visit)
    visit.press("j", "x", "i")
    visit.page.keyboard.type("ticket 4711")
    visit.press("Enter", "a")
    visit.page.wait_for_selector("text=8 URLs approved, 1 refused.")
    assert len(decided()) == 9
    excepted = [each["except"] for each in decided() if "except" in each]
    assert excepted == [["https://shop1.example.com/"]]
    assert {each["reason"] for each in decided()} == {"ticket 4711"}
    visit.page.wait_for_selector("text=Missing at the vendor")
    assert "Missing" in group(visit)


def test_nothing_is_decided_without_a_reason(visit: Visit, decided: Any) -> None:
    ready(visit)
    visit.press("a")
    visit.page.wait_for_selector("text=Write the reason first")
    assert visit.page.evaluate("document.activeElement.id") == "reason"
    assert decided() == []


def test_keys_that_are_typed_into_the_reason_decide_nothing(visit: Visit, decided: Any) -> None:
    ready(visit)
    visit.press("i")
    visit.page.keyboard.type("a rather bad jar")
    assert visit.page.locator("#reason").input_value() == "a rather bad jar"
    assert decided() == []


def test_a_group_is_refused(visit: Visit, decided: Any) -> None:
    ready(visit)
    move_to(visit, "Missing at the vendor")
    visit.press("i")
    visit.page.keyboard.type("the vendor cleaned up")
    visit.press("Enter", "r")
    visit.page.wait_for_selector("text=14 URLs refused.")
    assert [each["decision"] for each in decided()] == ["refuse"]


def test_two_approvers_agree_on_a_large_hold(visits: Any, decided: Any) -> None:
    first, second = visits(), visits()
    ready(first, "anna")
    move_to(first, "Source under review")
    first.press("i")
    first.page.keyboard.type("ticket 9")
    first.press("Enter", "a")
    first.page.wait_for_selector("text=A second approver must agree")
    ready(second, "ben")
    move_to(second, "Source under review")
    assert "anna at" in second.text()
    assert "You are the second." in second.text()
    second.press("i")
    second.page.keyboard.type("the same")
    second.press("Enter", "a")
    second.page.wait_for_selector("text=121 URLs approved.")
    assert [each["by"] for each in decided()] == ["anna", "ben"]


def test_the_first_approver_cannot_be_the_second(visit: Visit) -> None:
    ready(visit, "anna")
    move_to(visit, "Above the source's cap")
    assert "It needs another person than you." in visit.text()
    assert visit.page.get_by_role("button", name="Approve").is_disabled()


def test_whoever_is_slower_is_told_who_was_quicker(visit: Visit) -> None:
    error = {"code": "conflict", "message": "the hold is decided already, by anna"}
    result = {"hold_id": "h-drift", "status": "failed", "state": None, "error": error}
    visit.page.route("**/v1/holds/decisions", lambda route: route.fulfill(json={"results": [result]}))
    ready(visit)
    move_to(visit, "Missing at the vendor")
    visit.press("i")
    visit.page.keyboard.type("seen")
    visit.press("Enter", "r")
    visit.page.wait_for_selector(".toast >> text=the hold is decided already, by anna")


def test_an_empty_queue_says_what_it_means(visit: Visit) -> None:
    visit.page.route("**/v1/holds?*", lambda route: route.fulfill(json={"holds": [], "groups": []}))
    visit.sign_in("ben", "queue")
    visit.page.wait_for_selector("text=Nothing waits for a person.")


def test_a_key_does_not_leave_a_group_of_which_urls_are_still_read(visit: Visit) -> None:
    held: list[Any] = []
    seen: list[str] = []

    def keep_all_but_the_first(route: Any) -> None:
        seen.append(route.request.url)
        (held.append if len(seen) > 1 else lambda one: one.continue_())(route)

    visit.page.route("**/v1/holds/*", keep_all_but_the_first)
    visit.sign_in("ben", "queue")
    visit.page.wait_for_selector(".scroll[aria-busy=true] tr.cursor")
    chosen = group(visit)
    visit.press("j", "j")
    assert group(visit) == chosen
    for route in held:
        route.continue_()
