"""Renaming and tagging from Slack."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.demo.fleet.simulator import FaultKind
from bot.domain.errors import InvalidInput, NotAllowed, NotFound, Stale
from bot.domain.gateways import fold
from bot.slack import ids
from bot.slack.fleet.renames_and_tags import TagChange, parse_names, parse_rename, parse_tag
from bot.slack.incoming.command_router import normalise
from tests.slack.fleet.room import VERA, Room, device, opened
from tests.slack.shown import buttons, elements


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    """MT0000 to MT0011 at oslo, and two gateways that are both called Twin."""
    fleet = [device(number) for number in range(12)]
    twins = [device(number, "Twin", labels=["Kyiv office"]) for number in (90, 91)]
    async with opened(tmp_path, *fleet, *twins) as made:
        yield made


# ---- rename
@pytest.mark.parametrize(
    "typed",
    [
        "rename MT0001 Roof, north",
        "rename bmac-0001 “Roof, north”",
        'rename "mt0001"   "Roof, north"',
        "RENAME\u00a0MT0001 Roof, north",
    ],
)
async def test_a_gateway_is_renamed_and_shown_before_and_after(room: Room, typed: str) -> None:
    text = await room.says(typed)
    assert "MT0001 bmac-0001 renamed\nBefore: MT0001\nAfter: Roof, north" in text
    assert room.device("bmac-0001").friendly_name == "Roof, north"


async def test_a_gateway_is_renamed_from_its_card_and_the_dialog_says_how_it_ended(room: Room) -> None:
    await room.says("device MT0001")
    await room.clicks(ids.GATEWAY_RENAME)
    assert "MT0001" in str(room.modals.opened[-1])
    assert (await room.submits(name="MT0001")).errors[ids.NAME].startswith("bmac-0001 is called")
    ended = await room.submits(name="Roof, north")
    assert ids.WRITE_UNDO in str(ended.view)
    assert room.device("bmac-0001").friendly_name == "Roof, north"
    assert "renamed meanwhile" in (await room.submits(name="Cellar")).errors[ids.NAME]


async def test_the_tags_of_a_gateway_are_edited_as_lines(room: Room) -> None:
    await room.says("device bmac-0090")
    await room.clicks(ids.GATEWAY_TAGS)
    assert ids.TAGS in (await room.submits(tags="kyiv OFFICE\n")).errors
    await room.submits(tags="roof\n\n north mast ")
    assert room.device("bmac-0090").labels == ["roof", "north mast"]
    assert "changed meanwhile" in (await room.submits(tags="")).errors[ids.TAGS]


async def test_a_viewer_s_card_of_a_gateway_has_what_a_viewer_may_do(room: Room) -> None:
    await room.says("device MT0001", VERA)
    assert list(buttons(room.answers.last)) == [ids.OPEN, ids.REFRESH]


async def test_undo_gives_the_old_name_back_and_its_button_goes(room: Room) -> None:
    await room.says("rename MT0001 Roof")
    text = await room.clicks(ids.WRITE_UNDO)
    assert "renamed back\nBefore: Roof\nAfter: MT0001" in text
    assert room.device("bmac-0001").friendly_name == "MT0001"
    assert buttons(room.answers.last) == {}


async def test_undo_shows_the_last_change_as_one_that_still_holds(room: Room) -> None:
    await room.says("rename MT0001 Roof")
    text = await room.says("undo")
    assert text.startswith("Your last change, just now. It still holds: press Undo to take it back.\n")
    assert room.device("bmac-0001").friendly_name == "Roof"
    await room.clicks(ids.WRITE_UNDO)
    assert room.device("bmac-0001").friendly_name == "MT0001"


async def test_undo_shows_the_latest_change_that_can_still_be_taken_back(room: Room) -> None:
    await room.says("rename MT0001 Roof")
    await room.says("rename MT0002 Mast")
    await room.clicks(ids.WRITE_UNDO)
    assert "Roof" in await room.says("undo")
    await room.clicks(ids.WRITE_UNDO)
    with pytest.raises(NotFound, match="no rename or change of tags of yours"):
        await room.says("undo")


async def test_the_age_of_a_change_counts_from_when_it_was_carried_out(room: Room) -> None:
    await room.says("tag tag:oslo +roof")
    room.later(minutes=8)
    await room.clicks(ids.WRITE_CONFIRM)
    assert "Your last change, just now." in await room.says("undo")


async def test_one_name_for_several_gateways_is_answered_with_the_form_that_counts_them(room: Room) -> None:
    for asked in ('rename tag:oslo to "OSL"', "rename tag:oslo OSL"):
        with pytest.raises(InvalidInput, match=r'needs \{n\}.* rename tag:oslo to "OSL-\{n:03\}"'):
            await room.says(asked)


async def test_the_form_that_counts_is_offered_without_a_brace_that_was_left_open(room: Room) -> None:
    with pytest.raises(InvalidInput, match=r'to "OSL-\{n:03\}"'):
        await room.says('rename tag:oslo to "OSL-{n"')


async def test_a_second_undo_is_refused_and_loses_its_button(room: Room) -> None:
    await room.says("rename MT0001 Roof")
    await room.clicks(ids.WRITE_UNDO)
    with pytest.raises(Stale):
        await room.clicks(ids.WRITE_UNDO, seen=0)
    assert "This was undone." in room.answers.last.text
    assert buttons(room.answers.last) == {}


async def test_an_undo_that_the_vendor_refuses_keeps_its_button(room: Room) -> None:
    await room.says("rename MT0001 Roof")
    room.portal.faults.add("RENAME_DEVICE", 403)
    await room.clicks(ids.WRITE_UNDO)
    assert "may not do this" in room.answers.added[-1].text
    await room.clicks(ids.WRITE_UNDO)
    assert room.device("bmac-0001").friendly_name == "MT0001"


async def test_undo_after_ten_minutes_is_refused_and_loses_its_button(room: Room) -> None:
    await room.says("rename MT0001 Roof")
    room.later(minutes=10)
    with pytest.raises(Stale):
        await room.clicks(ids.WRITE_UNDO)
    assert room.device("bmac-0001").friendly_name == "Roof"
    assert buttons(room.answers.last) == {}


async def test_a_name_of_several_gateways_is_never_guessed(room: Room) -> None:
    with pytest.raises(InvalidInput, match=r"bmac-0090.*bmac-0091"):
        await room.says("rename Twin Roof")
    assert room.device("bmac-0090").friendly_name == room.device("bmac-0091").friendly_name == "Twin"


def test_a_new_name_with_a_place_for_a_number_is_for_a_query_with_to_or_quotes_and_without() -> None:
    for text in ("tag:oslo to OSL-{n:03}", 'tag:oslo "OSL-{n:03}"', "tag:oslo OSL-{n:03}"):
        assert parse_names(text) == ("tag:oslo", "OSL-{n:03}")
    assert parse_names('tag:"Kyiv office" KYI {n}') == ('tag:"Kyiv office"', "KYI {n}")
    assert parse_names("MT1 Roof") is None
    assert parse_names("{n}") is None


async def test_a_name_in_use_is_given_with_a_warning(room: Room) -> None:
    assert "⚠️ warning" in await room.says("rename MT0001 Twin")
    assert room.device("bmac-0001").friendly_name == "Twin"


async def test_several_are_numbered_after_a_preview_that_names_collisions_and_taken_back(room: Room) -> None:
    seen = sorted(one.friendly_name for one in room.portal.devices.values() if one.friendly_name)
    await room.says(f'rename "{seen[0]}" OSL-002')
    await room.list_again()
    said = await room.says('rename tag:oslo -name:OSL-002 to "OSL-{n:03}"')
    assert "OSL-001" in said
    assert "Other gateways are called OSL-002 already." in said
    assert "Nothing has been changed yet" in said
    await room.clicks(ids.WRITE_CONFIRM)
    assert "OSL-001" in {one.friendly_name for one in room.portal.devices.values()}
    await room.clicks(ids.WRITE_UNDO)
    names = {one.friendly_name for one in room.portal.devices.values()}
    assert names & {"OSL-001", "OSL-002"} == {"OSL-002"}
    with pytest.raises(InvalidInput, match="has several"):
        await room.says('rename tag:oslo to "{n}-{n}"')
    with pytest.raises(NotAllowed):
        await room.says('rename tag:oslo to "X-{n}"', VERA)


async def test_the_rows_of_a_file_rename_after_a_preview_that_names_collisions_and_are_undone(
    room: Room,
) -> None:
    await room.says("rename bmac-0002 Roof")
    await room.list_again()
    await room.says("rename csv")
    wrong = await room.submits(csv="id,name\nnobody,A\nbmac-0001,\nbmac-0001,B\nbmac-0003,b")
    assert [line.partition(": ")[0] for line in wrong.errors[ids.CSV].splitlines()] == [
        "Line 2, id",
        "Line 3, name",
        "Line 5, name",
    ]
    assert "no column name" in (await room.submits(csv="id\nbmac-0001")).errors[ids.CSV]
    preview = await room.submits(csv="Name;x;ID\nRoof;1;bmac-0001\nMT0003;2;bmac-0003")
    assert preview.view is not None
    assert "Other gateways are called Roof already." in str(preview.view)
    assert "Rename 1 gateway" in str(preview.view["submit"])
    assert room.device("bmac-0001").friendly_name == "MT0001", "nothing is changed yet"
    await room.modals.open("trigger", preview.view)
    done = await room.submits()
    assert room.device("bmac-0001").friendly_name == "Roof"
    assert done.view is not None
    await room.clicks_on(done.view, ids.WRITE_UNDO)
    assert room.device("bmac-0001").friendly_name == "MT0001"
    with pytest.raises(NotAllowed):
        await room.says("rename csv", VERA)


async def test_a_viewer_renames_nothing(room: Room) -> None:
    with pytest.raises(NotAllowed):
        await room.says("rename MT0001 Roof", VERA)
    assert room.device("bmac-0001").friendly_name == "MT0001"


async def test_a_rename_that_the_vendor_refuses_says_so_without_undo(room: Room) -> None:
    room.portal.faults.add("RENAME_DEVICE", 400)
    assert "was not changed" in await room.says("rename MT0001 Roof")
    assert buttons(room.answers.last) == {}


async def test_an_unknown_gateway_is_answered_with_the_nearest(room: Room) -> None:
    with pytest.raises(NotFound, match="MT0001"):
        await room.says("rename MT00O1 Roof")


# ---- tag
@pytest.mark.parametrize(
    "typed",
    [
        'tag MT0001 +"Kyiv office" -oslo',
        "tag bmac-0001 +“Kyiv office” –oslo",
        "tag “mt0001” -OSLO +Kyiv“ ”office",
        "tag name:MT0001 —oslo\u00a0+„Kyiv office“",
    ],
)
async def test_one_gateway_is_tagged_at_once_and_shown_before_and_after(room: Room, typed: str) -> None:
    text = await room.says(typed)
    assert "MT0001 bmac-0001 tags changed\nBefore: oslo\nAfter: Kyiv office" in text
    assert room.device("bmac-0001").labels == ["Kyiv office"]


async def test_undo_of_a_tag_gives_the_old_tags_back(room: Room) -> None:
    await room.says("tag MT0001 +roof -oslo")
    await room.clicks(ids.WRITE_UNDO)
    assert room.device("bmac-0001").labels == ["oslo"]
    assert buttons(room.answers.last) == {}


async def test_several_gateways_are_shown_first_and_changed_on_confirm(room: Room) -> None:
    text = await room.says("tag tag:oslo +roof")
    assert "12 gateways" in text
    assert "… and 2 more" in text
    assert room.device("bmac-0001").labels == ["oslo"]
    assert "done: +roof on 12 gateways, all changed" in await room.clicks(ids.WRITE_CONFIRM)
    assert all("roof" in (room.device(f"bmac-{number:04}").labels or []) for number in range(12))


async def test_the_confirm_dialog_names_the_count(room: Room) -> None:
    await room.says("tag tag:oslo +roof")
    confirm = next(one for one in elements(room.answers.last) if one["action_id"] == ids.WRITE_CONFIRM)
    assert "12 gateways" in confirm["confirm"]["text"]["text"]


async def test_undo_of_several_takes_all_of_them_back(room: Room) -> None:
    await room.says("tag tag:oslo +roof")
    await room.clicks(ids.WRITE_CONFIRM)
    await room.clicks(ids.WRITE_UNDO)
    assert all(room.device(f"bmac-{number:04}").labels == ["oslo"] for number in range(12))


async def test_cancel_changes_nothing_and_takes_the_buttons_away(room: Room) -> None:
    await room.says("tag tag:oslo +roof")
    assert "Nothing was changed" in await room.clicks(ids.WRITE_CANCEL)
    assert room.device("bmac-0001").labels == ["oslo"]
    assert buttons(room.answers.last) == {}


async def test_a_confirm_after_a_cancel_is_refused_and_shows_what_is_true(room: Room) -> None:
    await room.says("tag tag:oslo +roof")
    await room.clicks(ids.WRITE_CANCEL)
    with pytest.raises(Stale):
        await room.clicks(ids.WRITE_CONFIRM, seen=0)
    assert "Nothing was changed" in room.answers.last.text
    assert room.device("bmac-0001").labels == ["oslo"]


async def test_a_confirm_too_late_is_refused_and_loses_its_buttons(room: Room) -> None:
    await room.says("tag tag:oslo +roof")
    room.later(minutes=30, seconds=1)
    with pytest.raises(Stale):
        await room.clicks(ids.WRITE_CONFIRM)
    assert buttons(room.answers.last) == {}


async def test_failures_are_told_by_gateway_and_the_rest_can_be_undone(room: Room) -> None:
    await room.says("tag tag:oslo +roof")
    room.portal.faults.add("ADD_LABEL", 400, times=2)
    text = await room.clicks(ids.WRITE_CONFIRM)
    assert "10 of 12 gateways changed" in text
    assert text.count("❌") == 2
    assert ids.WRITE_UNDO in buttons(room.answers.last)


async def test_a_long_change_shows_its_progress_meanwhile(room: Room) -> None:
    await room.says("tag tag:oslo +roof")
    room.progress_after = (timedelta(0), timedelta(minutes=1))
    slow = room.portal.faults.add("ADD_LABEL", FaultKind.SLOW)
    clicked = asyncio.create_task(room.clicks(ids.WRITE_CONFIRM))
    assert "of 12 gateways" in (await room.answers.next()).text
    slow.release()
    assert "all changed" in await clicked


async def test_a_second_click_leaves_the_answer_to_the_change_that_is_carried_out(room: Room) -> None:
    await room.says("tag tag:oslo +roof")
    slow = room.portal.faults.add("ADD_LABEL", FaultKind.SLOW)
    first = asyncio.create_task(room.clicks(ids.WRITE_CONFIRM, seen=0))
    await slow.reached.wait()
    answers = len(room.answers.shown)
    with pytest.raises(Stale, match="being carried out"):
        await room.clicks(ids.WRITE_CONFIRM, seen=0)
    assert len(room.answers.shown) == answers
    slow.release()
    await first
    assert ids.WRITE_UNDO in buttons(room.answers.last)


async def test_a_second_undo_leaves_the_button_to_the_one_that_is_carried_out(room: Room) -> None:
    await room.says("rename MT0001 Roof")
    slow = room.portal.faults.add("RENAME_DEVICE", FaultKind.SLOW)
    first = asyncio.create_task(room.clicks(ids.WRITE_UNDO, seen=0))
    await slow.reached.wait()
    answers = len(room.answers.shown)
    with pytest.raises(Stale, match="taken back already"):
        await room.clicks(ids.WRITE_UNDO, seen=0)
    assert len(room.answers.shown) == answers
    slow.release()
    await first


async def test_tags_of_a_query_that_matches_nothing_are_refused(room: Room) -> None:
    with pytest.raises((InvalidInput, NotFound)):
        await room.says("tag tag:nowhere +roof")


async def test_an_unknown_name_to_tag_is_answered_with_the_nearest(room: Room) -> None:
    with pytest.raises(NotFound, match="MT0001"):
        await room.says("tag MT00O1 +roof")


async def test_part_of_a_name_tags_all_that_have_it_after_a_preview(room: Room) -> None:
    assert "10 gateways" in await room.says("tag MT000 +roof")
    assert ids.WRITE_CONFIRM in buttons(room.answers.last)


async def test_all_changes_the_whole_fleet_after_a_preview_and_never_one_that_has_it_in_its_name(
    room: Room,
) -> None:
    await room.says("rename MT0001 Hall-A")
    fleet = len(room.portal.devices)
    assert f"+roof on {fleet} gateways" in await room.says("tag all +roof")
    assert f"{fleet} gateways to X-{{n}}" in await room.says("rename everything to X-{n}")
    await room.says('tag "all" +roof')
    assert room.device("bmac-0001").labels == ["oslo", "roof"]


async def test_a_viewer_tags_nothing(room: Room) -> None:
    with pytest.raises(NotAllowed):
        await room.says("tag MT0001 +roof", VERA)
    assert room.device("bmac-0001").labels == ["oslo"]


# ---- what is typed
@pytest.mark.parametrize("text", ["", "MT1", 'MT1 ""', '"" New', '"MT1"'])
def test_a_rename_without_a_gateway_or_a_name_says_how_it_is_used(text: str) -> None:
    with pytest.raises(InvalidInput, match="rename <id, name or query> <new name>"):
        parse_rename(text)


def test_a_quote_around_the_gateway_that_is_not_closed_is_named() -> None:
    with pytest.raises(InvalidInput, match="not closed"):
        parse_rename('"MT1 New name')


def test_quotes_within_a_new_name_stay() -> None:
    assert parse_rename('MT1 5" pipe') == ("MT1", '5" pipe')


@pytest.mark.parametrize(
    ("text", "new_name"),
    [
        ("MT1 to Roof", "Roof"),
        ('MT1 To  "Roof, north"', "Roof, north"),
        ('"MT1" to Roof', "Roof"),
        ("MT1 to", "to"),
        ('MT1 "to Roof"', "to Roof"),
        ("MT1 together", "together"),
    ],
)
def test_the_word_to_before_a_new_name_is_no_part_of_it(text: str, new_name: str) -> None:
    assert parse_rename(text) == ("MT1", new_name)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "at least one change"),
        ("MT1", "at least one change"),
        ("+roof", "I need gateways"),
        ("MT1 +roof basement", "basement is neither"),
        ("MT1 +", r"Behind \+"),
        ('MT1 -""', "Behind -"),
        ('MT1 +"Kyiv office', "not closed"),
        ("MT1 +Roof -roof", "Roof is to be added and removed"),
    ],
)
def test_a_change_of_tags_that_makes_no_sense_is_answered_with_its_word(text: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        parse_tag(text)


def test_the_target_of_a_change_stands_as_it_was_typed() -> None:
    change = parse_tag('tag:"Kyiv office" is:offline +check -new')
    assert change == TagChange('tag:"Kyiv office" is:offline', ("check",), ("new",))


def test_a_sign_within_a_word_begins_no_change() -> None:
    assert parse_tag("bmac-c0 a+b -x") == TagChange("bmac-c0 a+b", (), ("x",))


def test_a_name_that_begins_with_a_sign_is_quoted() -> None:
    assert parse_tag('"-5 V" +roof') == TagChange('"-5 V"', ("roof",), ())


# A word without quotes and spaces; what Slack or the bot would strip from it is left out.
WORDS = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters='"“”„‟«»–—&<>＜＞＝≤≥：＠＃'), min_size=1
)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


def plain_word(word: str) -> bool:
    return word[0] not in '+-"'


@given(which=NAMES, new_name=NAMES)
def test_a_quoted_gateway_and_its_name_are_read_as_they_were_typed(which: str, new_name: str) -> None:
    assert parse_rename(f'"{which}" {new_name}') == (which, new_name)
    assert parse_rename(f'"{which}" "{new_name}"') == (which, new_name)


@given(which=WORDS, new_name=NAMES)
def test_the_first_word_is_the_gateway(which: str, new_name: str) -> None:
    assert parse_rename(f"{which}  {new_name}") == (which, new_name)


@given(st.text())
def test_whatever_is_typed_a_rename_is_understood_or_refused_in_words(text: str) -> None:
    try:
        which, new_name = parse_rename(normalise(text))
    except InvalidInput:
        return
    assert which.strip() == which != ""
    assert new_name.strip() == new_name != ""


@given(
    target=st.lists(WORDS.filter(plain_word), min_size=1, max_size=3).map(" ".join),
    tags=st.lists(NAMES, min_size=1, max_size=6, unique_by=fold),
    signs=st.lists(st.sampled_from("+-"), min_size=6, max_size=6),
    quote=st.sampled_from(['"', "“"]),
)
def test_tags_are_read_as_they_were_typed(target: str, tags: list[str], signs: list[str], quote: str) -> None:
    changes = list(zip(signs, tags, strict=False))
    typed = f"{target} " + " ".join(f"{sign}{quote}{tag}{quote}" for sign, tag in changes)
    add = tuple(tag for sign, tag in changes if sign == "+")
    remove = tuple(tag for sign, tag in changes if sign == "-")
    assert parse_tag(normalise(typed)) == TagChange(target, add, remove)


@given(st.text(st.sampled_from('+-" ab'), max_size=20) | st.text())
def test_whatever_is_typed_a_change_is_understood_or_refused_in_words(text: str) -> None:
    try:
        change = parse_tag(normalise(text))
    except InvalidInput:
        return
    assert change.target
    assert change.add or change.remove
    assert all(tag.strip() == tag != "" for tag in (*change.add, *change.remove))
