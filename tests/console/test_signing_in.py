"""A person gives the token once; the tab alone keeps it, for a quarter of an hour of rest."""

from __future__ import annotations

from typing import Any

Visit = Any


def test_a_person_signs_in_and_sees_who_and_where(visit: Visit) -> None:
    visit.sign_in("anna")
    assert "anna approver" in visit.page.locator("header").inner_text()
    assert visit.heading() == "Overview"
    assert "local" in visit.page.locator("nav").inner_text()


def test_a_token_that_nobody_has_is_refused_with_what_to_do(visit: Visit) -> None:
    visit.tolerates = ("401",)
    visit.open()
    visit.page.get_by_label("Your operator's token").fill("another")
    visit.press("Enter")
    assert "Nobody has this token" in visit.page.get_by_role("alert").inner_text()


def test_the_token_is_in_no_address_and_gone_with_the_tab(visit: Visit) -> None:
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.sign_in()
    visit.see("bans")
    assert len(asked) > 10
    assert not [url for url in asked if "token-of" in url]
    assert visit.page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    other = visit.page.context.new_page()
    other.goto(visit.page.url)
    assert other.get_by_label("Your operator's token").is_visible()


def test_signing_out_leaves_nothing(visit: Visit) -> None:
    visit.sign_in()
    visit.page.get_by_role("button", name="Sign out").click()
    assert visit.page.get_by_label("Your operator's token").is_visible()
    assert visit.page.evaluate("sessionStorage.length") == 0


def test_a_quarter_of_an_hour_of_rest_locks_the_console(visit: Visit) -> None:
    visit.page.clock.install()
    visit.sign_in()
    visit.page.clock.fast_forward("14:30")
    assert visit.heading() == "Overview"
    visit.press("Shift")
    visit.page.clock.fast_forward("14:30")
    assert visit.heading() == "Overview"
    visit.page.clock.fast_forward("01:00")
    visit.page.wait_for_selector("text=Locked after 15 minutes")
    assert visit.page.evaluate("sessionStorage.length") == 0


def test_a_token_that_is_taken_back_signs_out(visit: Visit) -> None:
    visit.tolerates = ("401",)
    visit.sign_in()
    body = '{"error": {"code": "not_authenticated", "message": "nobody has this token", "request_id": "r"}}'
    visit.page.route("**/v1/**", lambda route: route.fulfill(status=401, body=body))
    visit.page.evaluate("location.hash = '#/bans'")
    visit.page.wait_for_selector("text=Your token is no longer known")


def test_roles_hide_what_the_server_would_refuse(visit: Visit) -> None:
    visit.sign_in("rita", "queue")
    visit.page.wait_for_selector("text=you need the role approver")
    assert visit.page.get_by_role("button", name="Approve").count() == 0
    visit.see("bans")
    assert visit.page.get_by_role("button", name="Unban").count() == 0
