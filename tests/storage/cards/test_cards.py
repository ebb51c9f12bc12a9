"""Cards and notes as rows: who claims what, in which order, and what is remembered of an attempt."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from bot.storage.cards import card_outbox, note_outbox, outbox
from bot.storage.cards import cards as wanted
from bot.storage.cards.card_outbox import CardClaim, EditPace
from bot.storage.cards.cards import About, CardKind
from bot.storage.cards.note_outbox import NoteClaim
from bot.storage.cards.outbox import backlog
from bot.storage.db.engine import Database
from bot.storage.db.leases import LASTS
from bot.storage.db.tables import cards, notes

pytestmark = pytest.mark.on_both

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
PACE = EditPace(edited_before=START - timedelta(seconds=15), notes_before=START - timedelta(minutes=1))
R7 = About(CardKind.ROLLOUT, "7")


@dataclass
class Rows:
    """A database with cards, and a clock."""

    database: Database
    now: datetime = START
    pace: EditPace = PACE

    def later(self, seconds: float) -> None:
        by = timedelta(seconds=seconds)
        before = self.pace.notes_before or self.now
        self.now += by
        self.pace = replace(self.pace, edited_before=self.pace.edited_before + by, notes_before=before + by)

    async def open(self, *channels: str, about: About = R7) -> None:
        async with self.database.write() as connection:
            await wanted.open_cards(connection, about, channels, self.now)

    async def touch(self, *, urgent: bool = False) -> None:
        async with self.database.write() as connection:
            await wanted.touch(connection, R7, urgent=urgent)

    async def note(self, key: str, *, broadcast: bool = False) -> None:
        async with self.database.write() as connection:
            await wanted.add_note(connection, R7, key, "progress", {"n": key}, self.now, broadcast=broadcast)

    async def message(self, key: str, channel: str = "C1") -> None:
        async with self.database.write() as connection:
            await wanted.add_message(connection, channel, key, "digest", {}, self.now)

    async def claim(self, owner: str = "one", besides: Sequence[int] = ()) -> CardClaim | None:
        async with self.database.write() as connection:
            return await card_outbox.claim_card(connection, self.pace, owner, self.now, besides)

    async def claim_notes(self, owner: str = "one", besides: Sequence[int] = ()) -> NoteClaim | None:
        async with self.database.write() as connection:
            return await note_outbox.claim_notes(connection, self.pace, owner, self.now, besides)

    async def show(self, claim: CardClaim, ts: str = "1.1") -> None:
        async with self.database.write() as connection:
            await card_outbox.record_shown(
                connection, claim, channel=claim.channel, ts=ts, edited_at=self.now
            )

    async def post(self, claim: NoteClaim) -> None:
        async with self.database.write() as connection:
            await note_outbox.record_notes_intent(connection, claim, self.now)
            await note_outbox.record_notes_posted(connection, claim, "2.2")

    async def is_gone(self, card: CardClaim, ts: str) -> bool:
        """Whether a message that is gone is posted again, or was already."""
        async with self.database.write() as connection:
            return await card_outbox.record_gone(connection, card.id, ts, "message_not_found")

    async def shown_card(self, channel: str = "C1") -> CardClaim:
        """A card that Slack shows in its newest version."""
        await self.open(channel)
        claim = await self.claim()
        assert claim
        await self.show(claim)
        return claim


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Rows]:
    database = Database.open(database_url)
    yield Rows(database)
    await database.close()


async def test_a_card_is_claimed_by_one_alone(rows: Rows) -> None:
    await rows.open("C1")
    claim = await rows.claim()
    assert claim is not None
    assert (claim.about, claim.channel, claim.ts, claim.wanted) == (R7, "C1", None, 1)
    assert await rows.claim() is None


async def test_a_note_whose_file_is_being_sent_is_left_alone_meanwhile(rows: Rows) -> None:
    await rows.shown_card()
    await rows.note("a")
    claim = await rows.claim_notes()
    assert claim is not None
    async with rows.database.write() as connection:
        await note_outbox.record_notes_said(connection, claim, "2.2")
    rows.later(LASTS.total_seconds() - 1)
    assert await rows.claim_notes("two") is None
    rows.later(1)
    again = await rows.claim_notes()
    assert again is not None
    assert again.ts == "2.2"


async def test_any_number_of_cards_changes_at_once(rows: Rows) -> None:
    """More than either database takes as parameters of one statement."""
    await rows.open("C1")
    async with rows.database.write() as connection:
        await wanted.touch_all(connection, CardKind.ROLLOUT, {str(number) for number in range(70_000)})
    claim = await rows.claim()
    assert claim is not None
    assert claim.wanted == 2


async def test_a_claim_runs_out(rows: Rows) -> None:
    await rows.open("C1")
    await rows.claim()
    rows.later(LASTS.total_seconds() - 1)
    assert await rows.claim("two") is None
    rows.later(1)
    assert await rows.claim("two") is not None


async def test_who_was_too_slow_with_a_card_leaves_it_to_who_has_it(rows: Rows) -> None:
    await rows.open("C1")
    slow = await rows.claim()
    rows.now += LASTS
    await rows.claim("two")
    assert slow
    async with rows.database.write() as connection:
        await card_outbox.record_failure(connection, slow, rows.now, may_have_worked=True)
    assert await rows.claim("three") is None


async def test_what_a_worker_has_in_hand_no_other_of_its_process_claims(rows: Rows) -> None:
    await rows.shown_card()
    await rows.touch()
    await rows.note("a")
    rows.later(60)
    card, note = await rows.claim(), await rows.claim_notes()
    assert card
    assert note
    rows.now += LASTS  # nobody could renew them
    assert await rows.claim(besides=[card.id]) is None
    assert await rows.claim_notes(besides=[note.notes[0].id]) is None


async def test_who_was_too_slow_with_a_card_does_not_post_it_beside_another(rows: Rows) -> None:
    await rows.open("C1")
    slow = await rows.claim()
    rows.now += LASTS
    quick = await rows.claim("two")
    assert slow
    assert quick
    async with rows.database.write() as connection:
        assert await card_outbox.record_post_intent(connection, quick, rows.now)
        assert not await card_outbox.record_post_intent(connection, slow, rows.now)


async def test_who_was_too_slow_with_notes_does_not_post_them_beside_another(rows: Rows) -> None:
    await rows.shown_card()
    await rows.note("a")
    slow = await rows.claim_notes()
    rows.now += LASTS
    quick = await rows.claim_notes("two")
    assert slow
    assert quick
    async with rows.database.write() as connection:
        assert await note_outbox.record_notes_intent(connection, quick, rows.now)
        assert not await note_outbox.record_notes_intent(connection, slow, rows.now)


async def test_a_card_that_is_shown_is_not_claimed(rows: Rows) -> None:
    await rows.shown_card()
    rows.later(100)
    assert await rows.claim() is None


async def test_what_changed_while_a_card_was_drawn_is_drawn_next(rows: Rows) -> None:
    await rows.open("C1")
    claim = await rows.claim()
    assert claim
    await rows.touch()
    await rows.show(claim)
    rows.later(16)
    again = await rows.claim()
    assert again is not None
    assert (again.wanted, again.shown, again.ts) == (2, 1, "1.1")


async def test_edits_keep_their_distance_and_a_person_s_click_does_not_wait(rows: Rows) -> None:
    await rows.shown_card()
    await rows.touch()
    rows.later(14)
    assert await rows.claim() is None
    await rows.touch(urgent=True)
    assert await rows.claim() is not None


async def test_a_clock_that_is_set_back_does_not_keep_an_edit_waiting(rows: Rows) -> None:
    await rows.shown_card()
    rows.now -= timedelta(hours=2)
    await rows.touch()
    assert await rows.claim() is not None


async def test_edits_merge(rows: Rows) -> None:
    await rows.shown_card()
    for _ in range(5):
        await rows.touch()
    rows.later(15)
    claim = await rows.claim()
    assert claim
    await rows.show(claim)
    rows.later(60)
    assert await rows.claim() is None


async def test_urgency_ends_with_the_version_it_was_for(rows: Rows) -> None:
    await rows.shown_card()
    await rows.touch(urgent=True)
    claim = await rows.claim()
    assert claim
    await rows.show(claim)
    await rows.touch()
    assert await rows.claim() is None


async def test_a_paused_kind_of_call_is_not_claimed(rows: Rows) -> None:
    await rows.open("C1")
    rows.pace = replace(rows.pace, posts=False)
    assert await rows.claim() is None
    rows.pace = replace(rows.pace, posts=True, full_channels=frozenset({"C1"}))
    assert await rows.claim() is None


async def test_a_full_channel_does_not_hold_up_another(rows: Rows) -> None:
    await rows.open("C1", "C2")
    rows.pace = replace(rows.pace, full_channels=frozenset({"C1"}))
    claim = await rows.claim()
    assert claim is not None
    assert claim.channel == "C2"


async def test_a_failure_waits_until_its_time(rows: Rows) -> None:
    await rows.open("C1")
    claim = await rows.claim()
    assert claim
    async with rows.database.write() as connection:
        later = rows.now + timedelta(seconds=30)
        await card_outbox.record_failure(connection, claim, later, may_have_worked=False)
    rows.later(29)
    assert await rows.claim() is None
    rows.later(1)
    assert await rows.claim() is not None


@pytest.mark.parametrize("unsure", [True, False])
async def test_an_attempt_is_remembered_only_while_its_outcome_is_open(rows: Rows, unsure: bool) -> None:
    await rows.open("C1")
    claim = await rows.claim()
    assert claim
    async with rows.database.write() as connection:
        await card_outbox.record_post_intent(connection, claim, rows.now)
        await card_outbox.record_failure(connection, claim, rows.now, may_have_worked=unsure)
    again = await rows.claim()
    assert again is not None
    assert again.attempted_at == (START if unsure else None)


async def test_a_message_that_is_gone_is_wanted_once_more_and_only_once(rows: Rows) -> None:
    card = await rows.shown_card()
    assert await rows.is_gone(card, "1.1")
    again = await rows.claim()
    assert again is not None
    assert (again.ts, again.was_reposted) == (None, True)
    await rows.show(again, "3.3")
    assert not await rows.is_gone(card, "3.3")


async def test_an_edit_and_a_note_that_find_one_deletion_count_it_once(rows: Rows) -> None:
    card = await rows.shown_card()
    assert await rows.is_gone(card, "1.1")
    assert await rows.is_gone(card, "1.1")
    again = await rows.claim()
    assert again is not None
    await rows.show(again, "3.3")
    assert await rows.is_gone(card, "1.1")
    assert await rows.claim() is None


async def test_an_edit_of_what_was_found_gone_meanwhile_records_nothing(rows: Rows) -> None:
    card = await rows.shown_card()
    await rows.touch()
    rows.later(20)
    edit = await rows.claim()
    assert edit is not None
    assert await rows.is_gone(card, "1.1")
    await rows.show(edit, "1.1")
    again = await rows.claim()
    assert again is not None
    assert again.ts is None


async def test_who_looked_for_a_post_for_too_long_does_not_make_it(rows: Rows) -> None:
    await rows.open("C1")
    slow = await rows.claim()
    rows.later(91)
    quick = await rows.claim("two")
    assert slow is not None
    assert quick is not None
    async with rows.database.write() as connection:
        assert not await card_outbox.record_not_found(connection, slow)
        assert await card_outbox.record_not_found(connection, quick)


async def test_a_broken_card_and_its_notes_leave_the_line(rows: Rows) -> None:
    card = await rows.shown_card()
    await rows.note("a")
    await rows.touch()
    async with rows.database.write() as connection:
        await card_outbox.record_broken(connection, card.id, "channel_not_found")
    rows.later(60)
    assert await rows.claim() is None
    assert await rows.claim_notes() is None
    async with rows.database.read() as connection:
        errors = [(await connection.execute(select(table.c.error))).scalar_one() for table in (cards, notes)]
        left = await backlog(connection)
    assert errors == ["channel_not_found", "channel_not_found"]
    assert (left.waiting, left.broken) == (0, 2)


async def test_uids_differ_between_cards_and_between_databases(rows: Rows) -> None:
    await rows.open("C1", "C2")
    first, second = await rows.claim(), await rows.claim()
    assert first
    assert second
    assert first.uid != second.uid
    assert replace(first, created_at=START + timedelta(days=1)).uid != first.uid


# ---- notes
async def test_notes_wait_for_their_card(rows: Rows) -> None:
    await rows.open("C1")
    await rows.note("a")
    assert await rows.claim_notes() is None


async def test_the_notes_of_a_thread_go_in_order_as_one_message(rows: Rows) -> None:
    await rows.shown_card()
    for key in "abc":
        await rows.note(key)
    claim = await rows.claim_notes()
    assert claim is not None
    assert [note.body["n"] for note in claim.notes] == ["a", "b", "c"]
    assert (claim.channel, claim.thread_ts, claim.broadcast) == ("C1", "1.1", False)
    assert await rows.claim_notes() is None


async def test_a_broadcast_goes_alone_and_in_its_turn(rows: Rows) -> None:
    await rows.shown_card()
    await rows.note("a")
    await rows.note("b", broadcast=True)
    await rows.note("c")
    said = []
    for _ in range(3):
        claim = await rows.claim_notes()
        if claim is None:
            rows.later(60)
            claim = await rows.claim_notes()
        assert claim
        said.append((claim.broadcast, [note.body["n"] for note in claim.notes]))
        await rows.post(claim)
    assert said == [(False, ["a"]), (True, ["b"]), (False, ["c"])]


async def test_a_thread_gets_one_note_a_minute(rows: Rows) -> None:
    await rows.shown_card()
    await rows.note("a")
    claim = await rows.claim_notes()
    assert claim
    await rows.post(claim)
    await rows.note("b")
    rows.later(59)
    assert await rows.claim_notes() is None
    rows.later(1)
    assert await rows.claim_notes() is not None


async def test_a_broadcast_does_not_wait_and_takes_what_stands_before_it_along(rows: Rows) -> None:
    await rows.shown_card()
    await rows.note("a")
    claim = await rows.claim_notes()
    assert claim
    await rows.post(claim)
    await rows.note("b")
    await rows.note("c", broadcast=True)
    claim = await rows.claim_notes()
    assert claim is not None
    assert [note.body["n"] for note in claim.notes] == ["b"]


async def test_a_note_written_twice_is_said_once(rows: Rows) -> None:
    await rows.shown_card()
    await rows.note("a")
    await rows.note("a")
    claim = await rows.claim_notes()
    assert claim is not None
    assert len(claim.notes) == 1


async def test_what_was_attempted_together_is_claimed_together_again(rows: Rows) -> None:
    await rows.shown_card()
    await rows.note("a")
    await rows.note("b")
    claim = await rows.claim_notes()
    assert claim
    async with rows.database.write() as connection:
        await note_outbox.record_notes_intent(connection, claim, rows.now)
        await note_outbox.record_notes_failure(connection, claim, rows.now, may_have_worked=True)
    await rows.note("c")
    again = await rows.claim_notes()
    assert again is not None
    assert [note.uid for note in again.notes] == [note.uid for note in claim.notes]
    assert again.attempted_at == START


async def test_messages_of_their_own_need_no_card(rows: Rows) -> None:
    await rows.message("digest-1")
    await rows.message("digest-2", "U0SAM")
    first, second = await rows.claim_notes(), await rows.claim_notes()
    assert first
    assert second
    assert [(one.channel, one.thread_ts) for one in (first, second)] == [("C1", None), ("U0SAM", None)]


async def test_the_backlog_counts_what_slack_does_not_show(rows: Rows) -> None:
    await rows.open("C1")
    rows.later(30)
    await rows.message("digest-1")
    async with rows.database.read() as connection:
        assert await outbox.count_due(connection, rows.pace, rows.now, 4)
        left = await backlog(connection)
    assert (left.waiting, left.oldest) == (2, START)


async def test_what_may_not_be_done_yet_is_not_due(rows: Rows) -> None:
    await rows.shown_card()
    await rows.touch()
    await rows.message("digest-1")
    held = replace(rows.pace, posts=False)
    async with rows.database.read() as connection:
        assert not await outbox.count_due(connection, held, rows.now, 4)
        assert await outbox.count_due(connection, rows.pace, rows.now, 4)
    rows.later(15)
    async with rows.database.read() as connection:
        assert await outbox.count_due(connection, replace(rows.pace, posts=False), rows.now, 4)


async def test_live_cards_are_those_that_are_being_edited(rows: Rows) -> None:
    await rows.shown_card()
    await rows.open("C2", about=About(CardKind.INCIDENT, "1"))
    async with rows.database.read() as connection:
        assert await card_outbox.count_live(connection, START - timedelta(minutes=1)) == 1
        assert await card_outbox.count_live(connection, START + timedelta(minutes=1)) == 0


async def test_each_commit_that_slack_has_to_show_is_told_of(rows: Rows) -> None:
    told: list[str] = []
    rows.database.when_touched(lambda: told.append("touched"))
    await rows.open("C1")
    await rows.touch()
    await rows.note("a")
    await rows.message("b")
    assert len(told) == 4
    assert await rows.claim() is not None
    assert len(told) == 4, "a claim gives nothing to show"


async def test_what_is_rolled_back_is_not_told_of(rows: Rows) -> None:
    told: list[str] = []
    rows.database.when_touched(lambda: told.append("touched"))
    with contextlib.suppress(ZeroDivisionError):
        async with rows.database.write() as connection:
            await wanted.open_cards(connection, R7, ["C1"], rows.now)
            raise ZeroDivisionError
    assert await rows.claim() is None
    assert told == []


async def test_who_stalls_past_the_lease_records_no_failure_on_a_card_that_another_holds(rows: Rows) -> None:
    await rows.open("C1")
    slow = await rows.claim()
    assert slow is not None
    rows.later(100)
    quick = await rows.claim("two")
    assert quick is not None
    async with rows.database.write() as connection:
        await card_outbox.record_failure(connection, slow, rows.now, may_have_worked=False)
        await card_outbox.record_broken(connection, slow.id, "not_in_channel", slow.owner)
    assert await rows.claim() is None, "it is held still"
    async with rows.database.write() as connection:
        assert await card_outbox.record_post_intent(connection, quick, rows.now)
        await card_outbox.record_failure(connection, quick, rows.now, may_have_worked=False)
    assert await rows.claim() is not None, "who renewed the lease gives it back"


async def test_who_stalls_past_the_lease_records_no_failure_on_notes_that_another_holds(rows: Rows) -> None:
    await rows.message("a")
    slow = await rows.claim_notes()
    assert slow is not None
    rows.later(100)
    quick = await rows.claim_notes("two")
    assert quick is not None
    async with rows.database.write() as connection:
        await note_outbox.record_notes_failure(connection, slow, rows.now, may_have_worked=False)
        await note_outbox.record_notes_broken(connection, slow, "not_in_channel")
    assert await rows.claim_notes() is None, "they are held still"
    async with rows.database.write() as connection:
        assert await note_outbox.record_notes_intent(connection, quick, rows.now)
        await note_outbox.record_notes_failure(connection, quick, rows.now, may_have_worked=False)
    assert await rows.claim_notes() is not None, "who renewed the lease gives it back"


async def test_a_live_note_is_claimed_for_an_edit_by_one_and_for_the_newest_that_it_tells(rows: Rows) -> None:
    async with rows.database.write() as connection:
        for key in ("rollout/7/1", "rollout/70/1"):
            await wanted.add_message(connection, "U1", key, "decided", {}, rows.now, live=True)
    for _ in range(2):
        claim = await rows.claim_notes()
        assert claim is not None
        async with rows.database.write() as connection:
            await note_outbox.record_notes_posted(connection, claim, "2.2", channel="D1")
    async with rows.database.write() as connection:
        await wanted.touch_notes(connection, "rollout/7/")
        edit = await note_outbox.claim_edit(connection, rows.pace, "one", rows.now)
        again = await note_outbox.claim_edit(connection, rows.pace, "two", rows.now)
    assert edit is not None
    assert (edit.channel, edit.ts, edit.wanted, again) == ("D1", "2.2", 2, None)
    async with rows.database.write() as connection:
        await note_outbox.record_notes_posted(connection, edit, "2.2", channel="D1", is_over=True)
        await wanted.touch_notes(connection, "rollout/7/")
        assert await note_outbox.claim_edit(connection, rows.pace, "one", rows.now) is None
