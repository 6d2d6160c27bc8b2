"""The index of bans equals the claims, whatever happened, wherever it was cut, and whenever it was deleted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chalicelib.domain.ban_index import ORDERS, Ban, Index, Wanted, counted, dump, load
from chalicelib.domain.urls import url_key
from chalicelib.ledger import journal
from chalicelib.ledger.row import epoch
from chalicelib.ledger.subjects import ERASED
from chalicelib.pipeline.answers import ban_index
from chalicelib.pipeline.answers.ban_index import CURRENT, Reader, index_bans, up_to_now
from dev.erase import forget_in_index
from dev.fakes.objects import MemoryViews
from dev.fakes.operations import ROOTS, banned, carry_on_all, held, lasting, renew, undo, world_with
from dev.fakes.world import ACCOUNT, START, World, pages
from dev.fakes.wrappers import Meanwhile


def urls(world: World, reader: Reader) -> set[str]:
    index, as_of = up_to_now(world.run(), reader)
    return {Ban.of(line).url for line in Wanted().select(index, now=as_of)}


def test_an_answer_is_as_new_as_the_journal_also_before_anything_was_indexed() -> None:
    world, reader = banned(), Reader(MemoryViews())
    assert urls(world, reader) == set(pages(5))
    undo(world, urls=tuple(pages(2)))
    world.minutes(3)
    assert urls(world, reader) == set(pages(5)[2:])


def test_a_ban_shows_who_reported_it_which_task_carried_it_and_when_it_ends() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": pages(1), "reporter": "carl"})
    world.minutes(3)
    (ban,) = up_to_now(world.run(), Reader(MemoryViews()))[0].bans()
    assert (ban.account, ban.source, ban.reporter, ban.category, ban.rule) == (
        ACCOUNT,
        "desk",
        "carl",
        "phishing",
        "default",
    )
    assert ban.planned_until
    assert ban.planned_until - ban.until > 59 * 86_400


def test_a_renewal_moves_the_end_and_is_no_new_ban() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": pages(1)})
    world.minutes(3)
    reader = Reader(MemoryViews())
    (before,) = up_to_now(world.run(), reader)[0].bans()
    world.clock.advance(days=29, hours=12)
    renew(world)
    world.minutes(3)
    (after,) = up_to_now(world.run(), reader)[0].bans()
    assert after.until > before.until
    assert (after.banned_at, after.rule) == (before.banned_at, before.rule)


def test_the_bans_of_a_source_are_counted_once_and_a_renewal_or_an_end_counts_for_nobody() -> None:
    world, reader = lasting(ban_for_days=60), Reader(MemoryViews())
    world.post({"urls": pages(3)})
    world.minutes(3)
    world.clock.advance(minutes=11)
    index_bans(world.run(), reader)
    assert by_source(reader) == {"desk": (3, 0)}
    world.clock.advance(days=28, hours=12)
    renew(world)
    world.minutes(3)
    undo(world, urls=tuple(pages(1)))
    world.minutes(3)
    world.clock.advance(minutes=11)
    index_bans(world.run(), reader)
    assert by_source(reader) == {"desk": (3, 1)}
    world.clock.advance(days=3)
    world.queue({"urls": pages(1, "shop.example.com")})
    world.minutes(3)
    world.clock.advance(minutes=11)
    index_bans(world.run(), reader)
    assert by_source(reader) == {"desk": (0, 1), "queue": (1, 0)}, "its first bans are older than 30 days"


def by_source(reader: Reader) -> dict[str, tuple[int, int]]:
    head = reader.head()
    assert head
    return {source: (bans.banned, bans.undone) for source, bans in head.by_source.items()}


def test_an_ended_ban_is_not_listed() -> None:
    world, reader = banned(), Reader(MemoryViews())
    world.clock.advance(days=8)
    assert urls(world, reader) == set()


def test_the_place_stays_behind_what_may_still_be_committed() -> None:
    world, reader = banned(), Reader(MemoryViews())
    index_bans(world.run(), reader)
    assert not reader.read(world.clock()).index.lines
    world.clock.advance(minutes=11)
    assert index_bans(world.run(), reader) == 5


def test_nothing_is_written_where_nothing_happens_until_the_view_has_rested() -> None:
    world, views = banned(), MemoryViews()
    world.clock.advance(minutes=11)
    for _ in range(50):
        index_bans(world.run(), Reader(views))
        world.clock.advance(minutes=1)
    assert views.writes == 2
    world.clock.advance(minutes=20)
    index_bans(world.run(), Reader(views))
    assert views.writes == 4


def test_the_view_may_be_deleted_at_any_time() -> None:
    world, views = banned(), MemoryViews()
    world.clock.advance(minutes=11)
    index_bans(world.run(), Reader(views))
    for key in list(views.objects):
        gone = views.objects.pop(key)
        assert urls(world, Reader(views)) == set(pages(5))
        assert index_bans(world.run(), Reader(views)) == 5
        assert gone


@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_dies_between_two_writes_leaves_a_view_that_is_right(after: bool) -> None:
    for at in range(1, 8):
        world, views = banned(), MemoryViews()
        world.clock.advance(minutes=11)
        with world.crash(at, after=after):
            index_bans(world.run(), Reader(world.crasher.wrap(views)))
        assert urls(world, Reader(views)) == set(pages(5))
        assert index_bans(world.run(), Reader(views)) == 5


def test_one_of_two_runs_at_one_moment_writes() -> None:
    world, views = banned(), MemoryViews()
    world.clock.advance(minutes=11)

    class Overtaken(MemoryViews):
        """A view that another run writes between this run's reading and its writing."""

        def get(self, key: str) -> tuple[bytes, str] | None:
            found = views.get(key)
            index_bans(world.run(), Reader(views))
            return found

        def put(self, key: str, body: bytes, *, version: str | None = None) -> bool:
            return views.put(key, body, version=version)

    index_bans(world.run(), Reader(Overtaken()))
    assert world.events("index_written_elsewhere")
    assert urls(world, Reader(views)) == set(pages(5))


def test_the_fold_is_the_same_wherever_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    world = banned()
    undo(world, urls=tuple(pages(2)))
    world.minutes(3)
    world.post({"urls": ROOTS}, webhook_id="w9")
    world.minutes(1)
    world.approve()
    carry_on_all(world)
    world.minutes(15)
    whole = up_to_now(world.run(), Reader(MemoryViews()))[0]
    monkeypatch.setattr(ban_index, "PAGE", 1)
    index = Index()
    place = "20260101T000000.000000Z"
    moment = world.clock() - timedelta(minutes=30)
    while moment < world.clock():
        place, _ = ban_index.fold(world.run(), index, place, until=moment)
        index = load(dump(index))
        moment += timedelta(seconds=20)
    ban_index.fold(world.run(), index, place, until=world.clock())
    assert index == whole
    assert {ban.url for ban in whole.bans()} == {*pages(5)[2:], *ROOTS}


def test_an_approved_hold_is_listed_and_a_refused_one_is_not() -> None:
    world, _ = held()
    reader = Reader(MemoryViews())
    assert urls(world, reader) == set()
    world.approve()
    world.minutes(3)
    assert urls(world, reader) == set(ROOTS)


def test_what_is_said_of_a_held_url_does_not_revive_its_ban_that_has_ended() -> None:
    world, page = banned(pages(1)), pages(1)
    world.clock.advance(days=8)
    world.policy = world_with(sources={"desk": {"trust": "review"}, "queue": {"trust": "review"}}).policy
    world.post({"urls": page}, webhook_id="held")
    world.intake()
    world.clock.advance(hours=2)
    world.queue({"urls": page, "category": "phishing", "reporter": "zoe"})
    world.intake()
    assert world.state(page[0]) == "held"
    assert "words" in {entry.kind for entry in journal.read(world.rows, world.clock().date())}
    assert urls(world, Reader(MemoryViews())) == set()


def test_a_ban_that_the_policy_does_not_let_go_on_ends_with_the_vendors() -> None:
    world = lasting(ban_for_days=90)
    world.post({"urls": pages(2)})
    world.minutes(3)
    protected = [{"url": pages(1)[0], "comment": "a customer"}]
    world.policy = world_with(categories={"phishing": {"ban_for_days": 90}}, protected=protected).policy
    world.clock.advance(days=29, hours=1)
    renew(world)
    world.minutes(3)
    assert urls(world, Reader(MemoryViews())) == set(pages(2))
    world.clock.advance(days=1)
    world.vendor.settle()
    assert urls(world, Reader(MemoryViews())) == {*world.vendor.bans} == {pages(2)[1]}


def test_bans_are_found_by_host_text_and_time_and_counted() -> None:
    world = banned([*pages(2), *pages(3, "a.shop.example.net")])
    index, now = up_to_now(world.run(), Reader(MemoryViews()))

    def found(**wanted: object) -> int:
        return len(Wanted(**wanted).select(index, now=now))  # type: ignore[arg-type]

    assert (found(host="www.example.com"), found(host="example.com"), found(host=".example.com")) == (2, 0, 2)
    assert (found(host=".example.net"), found(q="PAGE/1"), found(q="page/7")) == (3, 2, 0)
    assert (found(source="desk"), found(source="other"), found(category="Phishing")) == (5, 0, 5)
    assert (found(ends_before=now + timedelta(days=8)), found(ends_before=now + timedelta(days=6))) == (5, 0)
    assert (found(since=now - timedelta(hours=1)), found(since=now + timedelta(hours=1))) == (5, 0)
    lines = Wanted().select(index, now=now)
    assert counted(lines, "host") == [("a.shop.example.net", 3), ("www.example.com", 2)]
    assert sum(count for _, count in counted(lines, "ends")) == 5


def test_current_names_what_it_holds() -> None:
    world, views = banned(), MemoryViews()
    world.clock.advance(minutes=11)
    index_bans(world.run(), Reader(views))
    assert b'"bans": 5' in views.objects[CURRENT][0]


def test_what_senders_wrote_comes_back_as_it_was_and_is_found() -> None:
    awkward = ["a\tb", "a\nb", "a\\tb", "\\", "\\\t", "é\u2028\x85", "=1"]
    index = Index({}, {"k": 5}, {"desk": 7})
    for number, text in enumerate(awkward):
        url = f"https://x.example.com/{number}?a=\\n"
        ban = Ban(url_key(ACCOUNT, url), url, ACCOUNT, "desk", text, text, "default", "r", "c", "t", 1, 2, None)
        assert Ban.of(ban.line()) == ban
        index.put(ban)
    assert load(dump(index)) == index
    for text in awkward:
        found = Wanted(category=text).select(index, now=START)
        assert [Ban.of(line).category for line in found] == [text]
    assert len(Wanted(q="\\N").select(index, now=START)) == len(awkward)
    assert dict(counted(index.lines.values(), "category")) == dict.fromkeys(awkward, 1)


@pytest.mark.parametrize("name", ORDERS)
def test_pages_of_each_order_have_every_ban_once_also_where_one_is_lifted_between_them(name: str) -> None:
    world = banned([*pages(20), *pages(20, "a.shop.example.net")])
    index, now = up_to_now(world.run(), Reader(MemoryViews()))
    order, token, seen = ORDERS[name], "", list[str]()
    lines = Wanted().select(index, now=now)
    while following := order.page(lines, token):
        page = following[:7]
        seen += page
        token = order.token_of(page[-1])
        lines = [line for line in lines if line != page[-1]]  # The ban that the token names is lifted.
        assert len(token) <= 200
        assert token.isprintable()
    assert sorted(seen) == sorted(index.lines.values())
    assert seen == order.page(list(index.lines.values()), "")


def test_a_view_of_another_shape_is_folded_anew() -> None:
    world, views = banned(), MemoryViews()
    world.clock.advance(minutes=11)
    views.objects[CURRENT] = (b'{"place": "x", "body": "bans/old", "bans": 9, "as_of": ""}', "v0")
    assert urls(world, Reader(views)) == set(pages(5))
    assert Reader(views).head() is None
    assert index_bans(world.run(), Reader(views)) == 5
    head = Reader(views).head()
    assert head
    assert head.bans == 5


def test_the_view_says_when_each_source_reported_last() -> None:
    world, views = banned(), MemoryViews()
    first = world.clock()
    world.clock.advance(hours=1)
    world.queue({"urls": pages(1)})
    world.intake()
    world.clock.advance(minutes=11)
    index_bans(world.run(), Reader(views))
    head = Reader(views).head()
    assert head
    assert head.reported["queue"] == epoch(first + timedelta(hours=1))
    assert epoch(first) - 180 <= head.reported["desk"] < epoch(first)


def test_a_reporter_is_erased_from_the_index_and_the_bans_stay_listed() -> None:
    world = World()
    world.post({"urls": [{"url": url, "reporter": "Ana@Example.org"} for url in pages(2)]})
    world.post({"urls": [{"url": pages(3)[2], "reporter": "bert@example.org"}]}, webhook_id="w2")
    world.minutes(3)
    world.clock.advance(minutes=11)
    index_bans(world.run(), Reader(world.views))
    reader = Reader(world.views)
    reader.read(world.clock())
    assert forget_in_index(world.views, "ana@example.org", now=world.clock())[0] == 2
    for reading in (reader, Reader(world.views)):  # A reader that keeps what it has read forgets the person too.
        reporters = sorted(ban.reporter for ban in reading.read(world.clock()).index.bans())
        assert reporters == sorted([ERASED, ERASED, "bert@example.org"])
    assert urls(world, Reader(world.views)) == set(pages(3))
    assert forget_in_index(world.views, "ana@example.org", now=world.clock())[0] == 0


def test_an_index_that_is_written_meanwhile_is_erased_in_what_was_written() -> None:
    world = World()
    world.post({"urls": [{"url": pages(1)[0], "reporter": "ana@example.org"}]})
    world.minutes(3)
    world.clock.advance(minutes=11)
    index_bans(world.run(), Reader(world.views))
    world.clock.advance(hours=2)
    views = Meanwhile(world.views, "put", lambda: index_bans(world.run(), Reader(world.views)))
    assert forget_in_index(views, "ana@example.org", now=world.clock())[0] == 1
    (ban,) = Reader(world.views).read(world.clock()).index.bans()
    assert ban.reporter == ERASED


def test_what_the_vendor_names_as_failed_is_not_listed_and_what_it_bans_later_is() -> None:
    world, reader = World(), Reader(MemoryViews())
    world.vendor.fail, world.vendor.names_failed = set(pages(3)[1:]), True
    world.post({"urls": pages(3)})
    world.minutes()
    world.clock.advance(seconds=1)
    assert urls(world, reader) == {pages(3)[0]}
    world.vendor.fail = {pages(3)[1]}
    world.minutes(8)
    assert world.states(pages(3)) == {"banned": 2, "failed": 1}
    assert urls(world, reader) == {pages(3)[0], pages(3)[2]}
