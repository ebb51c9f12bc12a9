"""What people do with the site book in Slack: before a real database and a simulated portal."""

import csv
import io
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.domain.access import Action, Actor, Role, require_within
from bot.domain.errors import BotError, InvalidInput, NotAllowed, NotFound, Stale
from bot.domain.query import parse
from bot.services.context import Context
from bot.services.sites.book import SiteBook
from bot.slack import ids
from bot.slack.ids import PageRef, Ref, decode
from bot.slack.incoming.listeners import Click, CommandCall, Submission, SubmissionAnswer
from bot.slack.sites.book import SiteListeners
from bot.slack.views.blocks import Message, View
from bot.slack.views.paging import SITE
from bot.storage.cards.late_answers import answering
from bot.storage.db.tables import audit, notes
from tests.slack.shown import HOSTILE, Answers, Modals, buttons, doors, sendable
from tests.worlds.databases import sqlite_url
from tests.worlds.fleet import World, world

ANA = Actor("U0ANA00001", "Ana", Role.OPERATOR)
VERA = Actor("U0VERA0001", "Vera", Role.VIEWER)
OF_BODØ = Actor("U0LIV00001", "Liv", Role.OPERATOR, limits={Role.OPERATOR: (parse("tag:Bodø"),)})
FIELD = "@oslo-field (S0OSLO0001)"
HEADING = "site,owner,call,hours,note,runbook,map,portal"


class Desk:
    """The listeners, the last answer and the last dialog."""

    def __init__(self, fleet: World) -> None:
        self.fleet = fleet
        self.book = SiteBook(
            Context(fleet.database, fleet.now), within=self._within, contacts=self._contacts, zone="UTC"
        )
        self.modals = Modals()
        self.listeners = SiteListeners(self.book, self.modals, said=[self._said])
        self.answers = Answers()

    async def _within(self, actor: Actor, action: Action, gateways: Sequence[str]) -> None:
        require_within(actor, action, await self.fleet.fleet.gateways(gateways), self.fleet.now())

    async def _contacts(self, texts: Collection[str]) -> Mapping[str, str]:
        known = {"@oslo-field": FIELD, FIELD: FIELD, "Ana": "Ana (U0ANA00001)"}
        return {one: known[one] for one in texts if one in known}

    async def _said(self, site: str) -> Sequence[str]:
        return ["2 gateways. 99 % available."]

    async def says(self, text: str, actor: Actor = ANA) -> str:
        word, _, rest = text.partition(" ")
        self.answers = Answers()
        await (
            self.listeners.feature()
            .commands[word]
            .listener(CommandCall(actor, "C0OPS", rest, self.answers, "trigger"))
        )
        return sendable(self.answers.last).text if self.answers.shown else ""

    async def clicks(self, action_id: str, ref: Ref, actor: Actor = ANA) -> Message | None:
        self.answers = Answers()
        click = Click(actor, "C0OPS", action_id, ref, self.answers, "trigger")
        await self.listeners.feature().clicks[action_id](click)
        return sendable(self.answers.last) if self.answers.shown else None

    async def submits(self, actor: Actor = ANA, view: View | None = None, **values: str) -> SubmissionAnswer:
        """Sends the dialog that is on the screen."""
        shown = view or self.modals.opened[-1]
        ref = decode(shown["private_metadata"]) if "private_metadata" in shown else PageRef(SITE)
        sent = Submission(actor, shown["callback_id"], ref, values)
        answer = await self.listeners.feature().submissions[shown["callback_id"]](sent)
        if answer.view is not None:
            await self.modals.open("trigger", answer.view)
        return answer

    async def pastes(self, *rows: str, actor: Actor = ANA) -> SubmissionAnswer:
        await self.says("sites csv", actor)
        return await self.submits(actor, csv="\n".join([HEADING, *rows]))

    async def file(self) -> str:
        export = self.listeners.lists()["sites"].export
        assert export is not None
        return (await export(ANA, "")).content.decode("utf-8")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Two gateways in Oslo, of which one is offline, one in Bodø, and one at a site with a hostile name."""
    async with world(sqlite_url(tmp_path)) as fleet:
        fleet.device("a", labels=["Oslo"])
        fleet.device("b", labels=["Oslo"], connected=False)
        fleet.device("c", labels=["Bodø"])
        fleet.device("d", labels=[HOSTILE])
        await fleet.taken()
        yield Desk(fleet)


async def test_the_list_has_each_site_with_its_gateways_and_a_door(desk: Desk) -> None:
    said = await desk.says("sites")
    assert "3 sites, by name" in said
    assert "Oslo 2 gateways, 🔴 1 offline. No entry" in said
    assert [
        ref.question
        for action, ref in doors(desk.answers.last)
        if action == ids.OPEN and isinstance(ref, PageRef)
    ] == [
        HOSTILE.strip(),
        "Bodø",
        "Oslo",
    ]
    assert "1 site" in await desk.says("sites osl")
    assert "No site has “nowhere” in its name" in await desk.says("sites nowhere")


async def test_an_entry_is_made_by_words_shown_on_the_card_of_the_site_and_undone(desk: Desk) -> None:
    await desk.says("describe oslo owner Telenor")
    await desk.says("describe Oslo hours Mo-Fr 07:00-16:00 in Europe/Oslo")
    await desk.says("describe Oslo map https://maps.example.com/?q={site}")
    said = await desk.says("describe Oslo call @oslo-field")
    assert "Oslo · Call: nothing → @oslo-field (S0OSLO0001)" in said
    undo = buttons(desk.answers.last)[ids.SITE_UNDO]
    card = await desk.says("site OSLO", VERA)  # on a Sunday at noon
    for words in ("Owner: Telenor", "Call: @oslo-field", "2026-03-02 06:00 UTC", "99 % available"):
        assert words in card
    assert "<https://maps.example.com/?q=Oslo|Map>" in str(desk.answers.last.blocks)
    assert ids.SITE_EDIT not in buttons(desk.answers.last), "a viewer reads"
    undone = await desk.clicks(ids.SITE_UNDO, undo)
    assert undone is not None
    assert "says of Oslo what it said before" in undone.text
    assert "@oslo-field" not in await desk.says("site oslo")
    with pytest.raises(Stale, match="undone already"):
        await desk.clicks(ids.SITE_UNDO, undo)


async def test_a_change_is_undone_only_while_it_stands(desk: Desk) -> None:
    await desk.says("describe Oslo owner Telenor")
    undo = buttons(desk.answers.last)[ids.SITE_UNDO]
    await desk.says("describe Oslo owner Telia")
    with pytest.raises(Stale, match="changed again"):
        await desk.clicks(ids.SITE_UNDO, undo)


async def test_each_change_is_in_the_audit_log_with_before_and_after(desk: Desk) -> None:
    await desk.says("describe Oslo owner Telenor")
    await desk.clicks(ids.SITE_UNDO, buttons(desk.answers.last)[ids.SITE_UNDO])
    rows = await desk.fleet.rows(select(audit.c.action, audit.c.subject, audit.c.before, audit.c.after))
    assert [tuple(row) for row in rows] == [
        ("site_edit", "Oslo", "owner: nothing", "owner: Telenor"),
        ("site_undo", "Oslo", "owner: Telenor", "owner: nothing"),
    ]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("describe oslo", InvalidInput, "Write it as"),
        ("describe Osla owner x", NotFound, "Did you mean Oslo"),
        ("describe Oslo call @nobody", InvalidInput, "a telephone number goes into the note"),
        ("describe Oslo map http://maps.example.com", InvalidInput, "begins with https://"),
        ("describe Oslo owner -", InvalidInput, "nothing to change"),
        ("site Osla", NotFound, "Did you mean Oslo"),
    ],
)
async def test_what_cannot_be_said_of_a_site_is_refused_with_a_reason(
    desk: Desk, text: str, error: type[BotError], said: str
) -> None:
    with pytest.raises(error, match=said):
        await desk.says(text)


async def test_the_dialog_shows_the_entry_and_saves_what_changed(desk: Desk) -> None:
    await desk.says("describe Oslo owner Telenor")
    await desk.says("site oslo")
    await desk.clicks(ids.SITE_EDIT, edit := buttons(desk.answers.last)[ids.SITE_EDIT])
    answer = await desk.submits(owner="Telenor", hours="nonsense", runbook="ftp://x")
    assert set(answer.errors) == {"hours", "runbook"}
    assert (await desk.submits(owner="Telenor", note="Key at the reception")).errors == {}
    assert "Key at the reception" in await desk.says("site oslo")
    await desk.clicks(ids.SITE_EDIT, edit)
    late = desk.modals.opened[-1]
    await desk.says("describe Oslo owner Telia")
    assert "meanwhile" in (await desk.submits(view=late, owner="Ice")).errors["owner"]


async def test_a_file_is_previewed_then_changes_all_of_its_sites_and_is_undone_as_one(desk: Desk) -> None:
    await desk.says("describe Bodø owner Ice")
    preview = await desk.pastes("oslo,Telenor,@oslo-field,,,,,", "Bodø,Ice,,,,,,")
    assert preview.view is not None
    assert "Nothing has been changed yet" in str(preview.view)
    assert "1 site is so already" in str(preview.view)
    assert "No entry" in await desk.says("sites oslo")
    await desk.submits()
    assert "Call @oslo-field. Owner: Telenor" in await desk.says("sites oslo")
    done = desk.modals.opened[-1]
    await desk.clicks(ids.SITE_UNDO, buttons(Message("", done["blocks"]))[ids.SITE_UNDO])
    assert "No entry" in await desk.says("sites oslo")


async def test_all_that_is_wrong_in_a_file_is_said_by_line_and_column_and_nothing_is_changed(
    desk: Desk,
) -> None:
    wrong = await desk.pastes(
        "Oslo,Telenor,,,,,,", "Osla,x,,,,,,", "Bodø,,@nobody,never,,ftp://x,,", "oslo,y,,,,,,"
    )
    said = wrong.errors[ids.CSV].splitlines()
    assert [line.partition(": ")[0] for line in said] == [
        "Line 3, site",
        "Line 4, call",
        "Line 4, hours",
        "Line 4, runbook",
        "Line 5, site",
    ]
    assert "Telenor" not in await desk.says("sites")


async def test_the_file_of_the_list_changes_nothing_when_it_is_pasted_back(desk: Desk) -> None:
    await desk.says('describe Oslo note =HYPERLINK("x"); -1')
    await desk.says("describe Oslo hours Mo-Fr 07:00-16:00, Sa 09:00-10:00 in Europe/Oslo")
    await desk.says("describe Oslo call @oslo-field")
    text = await desk.file()
    (row,) = [
        one for one in csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))) if one["site"] == "Oslo"
    ]
    assert row["note"] == "'=HYPERLINK(\"x\"); '-1", "no spreadsheet runs it"
    await desk.says("sites csv")
    assert "says already" in (await desk.submits(csv=text)).errors[ids.CSV]


async def test_a_file_that_somebody_overtook_changes_nothing(desk: Desk) -> None:
    await desk.pastes("Oslo,Telenor,,,,,,", "Bodø,Telenor,,,,,,")
    preview = desk.modals.opened[-1]
    await desk.says("describe Bodø owner Ice")
    with pytest.raises(Stale, match="Bodø"):
        await desk.submits(view=preview)
    assert "Telenor" not in await desk.says("sites")


async def test_only_who_sent_a_file_confirms_it_and_once(desk: Desk) -> None:
    await desk.pastes("Oslo,Telenor,,,,,,")
    preview = desk.modals.opened[-1]
    with pytest.raises(NotAllowed, match="Only who proposed"):
        await desk.submits(Actor("U0BEN00001", "Ben", Role.OPERATOR), view=preview)
    await desk.submits(view=preview)
    with pytest.raises(Stale, match="confirmed already"):
        await desk.submits(view=preview)


async def test_a_site_is_in_scope_when_its_gateways_are(desk: Desk) -> None:
    await desk.says("describe Bodø owner Ice", OF_BODØ)
    with pytest.raises(NotAllowed, match="only among the gateways of “tag:Bodø”"):
        await desk.says("describe Oslo owner Ice", OF_BODØ)
    with pytest.raises(NotAllowed, match="only among the gateways of “tag:Bodø”"):
        await desk.pastes("Bodø,Telenor,,,,,,", "Oslo,Telenor,,,,,,", actor=OF_BODØ)
    with pytest.raises(NotAllowed, match="need to be an operator"):
        await desk.says("describe Bodø owner Ice", VERA)


async def test_a_site_that_vanished_keeps_its_entry_and_says_so(desk: Desk) -> None:
    await desk.says("describe Bodø owner Ice")
    desk.fleet.portal.device("c").labels = ["Oslo"]
    await desk.fleet.taken()
    assert "Bodø ⚠️ no gateways. Owner: Ice" in await desk.says("sites")
    assert "⚠️ no gateways." in await desk.says("site bodø")
    assert "Bodø,Ice" in await desk.file()
    with pytest.raises(NotAllowed, match="No gateway stands at Bodø now"):
        await desk.says("describe Bodø owner Telia", OF_BODØ)
    await desk.says("describe Bodø owner -")
    undo = buttons(desk.answers.last)[ids.SITE_UNDO]
    assert "Bodø" not in await desk.says("sites"), "without an entry it is nothing"
    await desk.clicks(ids.SITE_UNDO, undo)
    assert "Bodø ⚠️ no gateways. Owner: Ice" in await desk.says("sites")


async def test_who_changes_an_entry_or_undoes_it_hears_of_it_though_the_answer_is_lost(desk: Desk) -> None:
    async with answering(desk.fleet.database, desk.fleet.now):
        await desk.says("describe Oslo owner Telia")
        await desk.clicks(ids.SITE_UNDO, buttons(desk.answers.last)[ids.SITE_UNDO])
        async with desk.fleet.database.read() as connection:
            owed = [one.body["action"] for one in await connection.execute(select(notes))]
    assert sorted(owed) == ["site_edit", "site_undo"]


async def test_cards_of_alerts_and_gateways_tell_what_is_known_of_a_site(desk: Desk) -> None:
    assert await desk.listeners.facts_of("Oslo") == []
    await desk.says("describe Oslo call @oslo-field")
    await desk.says("describe Oslo note <!channel> key at the *reception*")
    await desk.says("describe Oslo portal https://portal.example.com/{site}/{gateway}")
    (said,) = await desk.listeners.facts_of("oslo")
    assert "Call *@oslo-field*." in said
    assert "<!channel" not in said
    assert "portal.example.com" not in said, "that link is of a gateway"
    assert "<https://portal.example.com/Oslo/a|Portal>" in (await desk.listeners.facts_of("Oslo", "a"))[0]
    assert await desk.book.called_at(["Oslo", "Bodø"]) == {"Oslo": "S0OSLO0001"}
