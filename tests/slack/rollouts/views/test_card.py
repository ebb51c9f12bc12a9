"""Rollouts as messages: plans, cards in every state, notes, reports, lists, jobs and modals."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any, get_args

import pytest

from bot.demo.slack.limits import problems_of_view
from bot.domain.firmware import DeviceProgress, Firmware, JobDevice, JobId, JobStatus, VendorJob
from bot.domain.gateways import GatewayId
from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentSummary
from bot.domain.rollouts.events import (
    Aborted,
    AlertAcknowledged,
    AlertOpened,
    AlertOutgrown,
    ApprovalReminder,
    Approved,
    CanaryDone,
    CaughtUp,
    Denied,
    Expired,
    Finished,
    Frozen,
    LateResult,
    LateResults,
    MoreAlerts,
    NamedGateway,
    NotCalledOff,
    NotReturned,
    Paused,
    Person,
    Promoted,
    Requested,
    Resumed,
    Retried,
    RolloutEvent,
    Scheduled,
    Started,
    TimelineEntry,
    Unfrozen,
    Voided,
    WaitBegan,
    WaitEnded,
    WaveStarted,
    Withdrawn,
    over_with,
)
from bot.domain.rollouts.firmware_choice import FirmwareChoice
from bot.domain.rollouts.freezes import Freeze, FreezeEffect
from bot.domain.rollouts.lifecycle import (
    Approval,
    Decision,
    Rollout,
    RolloutId,
    RolloutState,
    TargetClass,
    TargetRecord,
    TargetState,
)
from bot.domain.rollouts.plan import Plan, Target
from bot.domain.rollouts.progress import DrawnPlan, Evidence, RolloutStatus, paused_spans, worked
from bot.slack import ids
from bot.slack.ids import CardRef, FreezeRef, PageRef, PlanRef, decode
from bot.slack.rollouts.views import card as cards
from bot.slack.rollouts.views import dialogs, freezes, notes
from bot.slack.rollouts.views import lists as views
from bot.slack.rollouts.views import plan as plan_views
from bot.slack.views.blocks import Message, date
from bot.slack.views.paging import PagePosition
from tests.slack.shown import HOSTILE, LONG, NAMES, buttons, elements, sendable, words
from tests.worlds import builders
from tests.worlds.builders import MONDAY as NOW
from tests.worlds.builders import firmware, rollout_rules

MINUTE = timedelta(minutes=1)
PAUL = Approval("U0PAUL", "Paul", Decision.APPROVED, "hash", NOW)
TOUCHED = (
    IncidentSummary(IncidentId(4), 2, IncidentKind.OFFLINE, ("oslo",), 3),
    IncidentSummary(IncidentId(5), 1, IncidentKind.STORM, ("oslo", "bergen"), 2),
    IncidentSummary(IncidentId(6), 1, IncidentKind.FLAPPING, ("oslo",), 1),
    IncidentSummary(IncidentId(7), 1, IncidentKind.OFFLINE, ("bergen",), 1),
)
FROZEN = Freeze("3.5.0", "U0ADAM01", "Ada", "it bricks", NOW)
PINGS = ("<!channel", "<!here", "<!everyone", "<!subteam")
HEADINGS = [
    "Who",
    "goes",
    "first",
    "Ended",
    "badly",
    "Requested",
    "Approved",
    "Denied",
    "by",
    "Query",
    "Model",
    "File",
    "Failed",
]
RUNNING = {(1, TargetState.VERIFIED): 5, (2, TargetState.IN_PROGRESS): 4, (2, TargetState.FAILED): 1}


def rollout(state: RolloutState = RolloutState.RUNNING, **changes: object) -> Rollout:
    begun = state.is_under_way or state in {RolloutState.FINISHED, RolloutState.ABORTED}
    values = {
        "last_event": 30,
        "state": state,
        "version": 3,
        "started_at": NOW if begun else None,
        "finished_at": NOW + 90 * MINUTE if state.is_final else None,
        "wave": 2 if begun else 0,
        "approvals": (PAUL,) if begun else (),
    }
    return builders.rollout(**(values | changes))


def record(label: str = "MT1", site: str = "oslo", reason: str | None = "it bricked") -> TargetRecord:
    return TargetRecord(
        GatewayId("g"),
        label,
        site,
        "3.4.1",
        TargetClass.ELIGIBLE,
        2,
        TargetState.FAILED,
        reason,
        1,
        NOW,
        NOW,
        MINUTE,
    )


def picture(shown: Rollout, counts: Mapping[Any, int] = RUNNING, **changes: object) -> RolloutStatus:
    classes = {TargetClass.ELIGIBLE: 10, TargetClass.OFFLINE: 2, TargetClass.ALREADY: 0}
    made = RolloutStatus(shown, counts, classes, NOW + 90 * MINUTE, rollout_rules())
    return replace(made, **changes)  # type: ignore[arg-type]


def card(shown: Rollout, counts: Mapping[Any, int] = RUNNING, **changes: object) -> Message:
    return sendable(cards.card(picture(shown, counts, **changes)))


# ---- the card, state by state

WITHDRAW, PAUSE, ABORT = ids.ROLLOUT_CANCEL, ids.ROLLOUT_PAUSE, ids.ROLLOUT_ABORT
DENY, RESUME, PROMOTE = ids.ROLLOUT_DENY, ids.ROLLOUT_RESUME, ids.ROLLOUT_PROMOTE


@pytest.mark.parametrize(
    ("state", "says", "offers"),
    [
        (
            RolloutState.REQUESTED,
            "waiting for approval: 1 person must approve by",
            {ids.ROLLOUT_APPROVE, ids.ROLLOUT_DENY, WITHDRAW},
        ),
        (RolloutState.SCHEDULED, "approved, starts", {WITHDRAW}),
        (RolloutState.RUNNING, "running since", {PAUSE, ABORT}),
        (
            RolloutState.PROMOTION,
            "canary done, waiting for promotion",
            {ids.ROLLOUT_PROMOTE, PAUSE, ABORT},
        ),
        (RolloutState.PAUSED, "paused, started", {ids.ROLLOUT_RESUME, ABORT}),
        (RolloutState.FINISHED, "finished with failures", set()),
        (RolloutState.ABORTED, "aborted", set()),
        (RolloutState.DENIED, "denied", set()),
        (RolloutState.EXPIRED, "expired", {ids.ROLLOUT_REPLAN}),
        (RolloutState.CANCELED, "withdrawn", set()),
        (RolloutState.VOID, "void: not as it was approved", {ids.ROLLOUT_REPLAN}),
    ],
)
def test_a_card_says_its_state_and_offers_what_can_be_done(
    state: RolloutState, says: str, offers: set[str]
) -> None:
    drawn = card(rollout(state))
    assert says in drawn.text
    assert says in words(drawn)
    assert set(buttons(drawn)) == offers
    assert set(buttons(drawn).values()) <= {CardRef("7", 30)}


def test_a_card_has_a_bar_for_each_wave_with_counts_of_gateways() -> None:
    drawn = card(rollout())
    assert "Canary: " in drawn.text
    assert "5 of 5 verified" in drawn.text
    assert "Wave 2: " in drawn.text
    assert " verified · 4 updating · 1 failed" in drawn.text


def test_a_single_wave_is_no_canary() -> None:
    assert "Canary" not in card(rollout(), {(1, TargetState.VERIFIED): 5}).text


def test_a_card_says_who_denied_it_and_of_what_ended_undecided_that_nobody_approved_it() -> None:
    denied = rollout(RolloutState.DENIED, approvals=(replace(PAUL, decision=Decision.DENIED),))
    assert "Requested by <@U0OLGA>, denied by <@U0PAUL>" in card(denied).text
    assert "approved by nobody. Query" in card(rollout(RolloutState.CANCELED, approvals=())).text


def test_a_card_says_who_did_what() -> None:
    overriding = replace(PAUL, user_id="U0ADAM01", reason="nobody else is awake")
    drawn = card(rollout(approvals=(overriding,), through_freeze="Ada: the fix is tested"))
    assert "Requested by <@U0OLGA>, approved by <@U0ADAM01>" in drawn.text
    assert "overriding: nobody else is awake" in drawn.text
    assert "Goes on through a freeze, by Ada: the fix is tested" in drawn.text


def test_a_card_names_the_reason_of_a_pause_and_the_failed_gateways_with_theirs() -> None:
    paused = rollout(RolloutState.PAUSED, reason="1 gateway of the canary failed")
    drawn = card(paused, failures=(record(),))
    assert "Reason: 1 gateway of the canary failed" in drawn.text
    assert "1 failed: MT1 · oslo: it bricked" in drawn.text
    assert "• MT1 · oslo: it bricked" in words(drawn)
    assert "Nothing more is started until somebody resumes it" in drawn.text


def test_who_decides_sees_the_waves_the_first_gateways_and_open_incidents_on_the_card() -> None:
    counts = {(1, TargetState.WAITING): 2, (2, TargetState.WAITING): 3, (3, TargetState.WAITING): 5}
    drawn = card(rollout(RolloutState.REQUESTED), counts, first=(record("MT1"),), incidents=TOUCHED)
    assert "A canary of 2, then 3 and 5" in drawn.text
    assert "First: MT1 (oslo) and 1 more" in drawn.text
    for said in (
        "Open alert A-4: 3 gateways offline at oslo",
        "Open alert A-5: 2 gateways offline at 2 of its sites",
        "Open alert A-6: 1 gateway going on and off at oslo",
        "And 1 more open alert: see alerts",
    ):
        assert said in drawn.text
    details = [decode(block["accessory"]["value"]) for block in drawn.blocks if "accessory" in block]
    assert details == [CardRef("4", 2), CardRef("5", 1), CardRef("6", 1)]


def test_a_card_names_stragglers_and_when_it_will_be_done() -> None:
    counts = {(1, TargetState.VERIFIED): 5, (2, TargetState.WAITING): 5}
    drawn = card(rollout(), counts, stragglers=(record(),), worked=20 * MINUTE)
    assert "Slow: MT1 (1 h 30 min)" in drawn.text
    assert "about 20 min of work left." in drawn.text


def test_what_is_left_counts_work_and_names_the_time_between_waves_apart() -> None:
    counts = {(1, TargetState.VERIFIED): 5, (2, TargetState.WAITING): 5, (4, TargetState.WAITING): 10}
    drawn = card(rollout(), counts, worked=20 * MINUTE)
    assert "about 1 h of work left, and 1 h between waves" in drawn.text


def test_the_time_that_people_let_it_wait_is_no_work() -> None:
    spans = [
        (NOW, NOW + 10 * MINUTE),
        (NOW + 5 * MINUTE, NOW + 20 * MINUTE),
        (NOW + 60 * MINUTE, NOW + 70 * MINUTE),
    ]
    entries = [
        replace(happened(Paused("a word")), at=NOW + 15 * MINUTE),
        replace(happened(Resumed()), at=NOW + 30 * MINUTE),
    ]
    assert worked(spans, paused_spans(entries, NOW + 90 * MINUTE)) == 25 * MINUTE


def test_a_card_says_who_is_still_in_a_job_though_counted_as_failed() -> None:
    shown = cards.card(picture(rollout(RolloutState.FINISHED), late=2))
    assert "2 gateways that count as failed are still in Meshtech's jobs" in shown.text
    alone = cards.card(picture(rollout(RolloutState.FINISHED), late=1))
    assert "until that is over for it, no other rollout gets it" in alone.text


def test_a_card_says_when_the_next_wave_starts() -> None:
    soaking = rollout(wave=1, wave_settled_at=NOW)
    drawn = card(soaking, {(1, TargetState.VERIFIED): 5, (2, TargetState.WAITING): 5})
    assert f"Wave 2 starts {date(NOW + 30 * MINUTE)}" in drawn.text


def test_a_frozen_rollout_says_so_and_offers_to_start_anyway() -> None:
    held = rollout(held=FROZEN.says())
    drawn = card(held, freeze=FROZEN)
    assert "running, and held" in drawn.text
    assert "Nothing is started now: firmware 3.5.0 is frozen by Ada: it bricks" in drawn.text
    assert ids.ROLLOUT_RESUME in buttons(drawn)
    assert ids.ROLLOUT_RESUME not in buttons(card(replace(held, through_freeze="Ada: tested"), freeze=FROZEN))


def test_what_is_held_by_the_night_cannot_be_started_anyway() -> None:
    drawn = card(rollout(held="outside the window; it opens Monday 22:00 (Europe/Oslo)"))
    assert "it opens Monday 22:00" in drawn.text
    assert ids.ROLLOUT_RESUME not in buttons(drawn)


def test_a_downgrade_is_named_as_such() -> None:
    drawn = card(rollout(RolloutState.REQUESTED, downgrades=2))
    assert (
        "2 gateways would go back to an older version, or may. Only an admin's approval counts" in drawn.text
    )
    assert "1 person must approve (an admin, since it is a downgrade)" in drawn.text


def test_what_can_be_taken_up_again_has_its_buttons_with_counts() -> None:
    drawn = card(rollout(RolloutState.FINISHED), retryable=1, returned=2)
    assert set(buttons(drawn)) == {ids.ROLLOUT_RETRY_FAILED, ids.ROLLOUT_CATCH_UP}
    assert [one["text"]["text"] for one in elements(drawn)] == ["Retry 1 gateway", "Catch up 2 gateways"]


@pytest.mark.parametrize("state", list(RolloutState))
def test_what_ends_it_or_flashes_once_more_asks_first_and_nothing_else_does_where_all_is_shown(
    state: RolloutState,
) -> None:
    asks = {WITHDRAW, ABORT, ids.ROLLOUT_RETRY_FAILED, ids.ROLLOUT_CATCH_UP}
    for one in elements(card(rollout(state), retryable=1, returned=2)):
        assert ("confirm" in one) == (one["action_id"] in asks)
        assert "R-7" in one.get("confirm", {}).get("title", {}).get("text", "R-7")


def test_where_not_all_is_shown_what_lets_it_go_on_asks_first() -> None:
    for state, action_id, asked in (
        (RolloutState.REQUESTED, ids.ROLLOUT_APPROVE, "This updates 10 gateways of model 2011 to 3.5.0"),
        (RolloutState.PROMOTION, PROMOTE, "Wave 3 starts with 0 gateways; later waves follow"),
        (RolloutState.PAUSED, RESUME, "goes on. 1 gateway failed so far; it will not stop it again."),
    ):
        offered = cards.buttons(picture(rollout(state)), CardRef("7", 30), shows_all=False)
        (text,) = [one["confirm"]["text"]["text"] for one in offered if one["action_id"] == action_id]
        assert asked in text


def test_after_a_failed_canary_abort_is_the_emphasised_button_and_comes_first() -> None:
    failed = {(1, TargetState.FAILED): 2, (2, TargetState.WAITING): 8}
    shown = elements(card(rollout(RolloutState.PAUSED, wave=1), failed))
    assert [(one["action_id"], one.get("style")) for one in shown] == [(ABORT, "danger"), (RESUME, None)]
    later = elements(card(rollout(RolloutState.PAUSED)))
    assert [one.get("style") for one in later] == ["primary", "danger"]


@pytest.mark.parametrize("start", [None, NOW])
def test_who_decides_sees_when_it_starts(start: datetime | None) -> None:
    text = card(rollout(RolloutState.REQUESTED, start_at=start)).text
    assert f"Starts {f'{date(NOW)}, ' if start else ''}once it is approved" in text


# ---- sentences


def everything_said(hostile: str) -> list[Message]:
    """Each message of the feature, with names that others chose."""
    shown = [record(hostile, hostile, hostile)] * 5
    many = {(wave, state): 2 for wave in (1, 2, 3, 4, 5) for state in TargetState}
    denial = Approval("U0PAUL", hostile, Decision.DENIED, "hash", NOW, hostile)
    all_at_once = {
        "reason": hostile,
        "query": hostile,
        "held": hostile,
        "through_freeze": hostile,
        "downgrades": 3,
        "approvals": (PAUL, replace(PAUL, reason=hostile), denial),
    }
    around: dict[str, Any] = {
        "failures": shown,
        "stragglers": shown[:3],
        "first": shown[:2],
        "incidents": [replace(one, sites=(hostile,)) for one in TOUCHED],
        "late": 3,
        "retryable": 3,
        "returned": 2,
        "freeze": replace(FROZEN, reason=hostile, by_name=hostile),
        "evidence": Evidence(50, 40, 10, 3 * MINUTE, 9 * MINUTE),
    }
    every = [rollout(state, **all_at_once) for state in RolloutState]
    entries = [happened(event, OLGA) for event in hostile_events(hostile)]
    decided = [one for one in entries if isinstance(one.event, DECISIONS)]
    device = JobDevice(GatewayId("g"), DeviceProgress.FAILED, hostile, hostile, NOW)
    job = VendorJob(JobId(hostile), hostile, JobStatus.COMPLETED, hostile, None, NOW, NOW, (device,) * 12)
    short = firmware(hostile[:50], hostile[:50], file_name=hostile)
    drawn = plan(hostile, file=firmware(hostile, hostile, file_name=hostile))
    frozen = replace(FROZEN, reason=hostile, by_name=hostile)
    told = {"ended": False, "by": "U0ADAM01", "version": hostile, "reason": hostile, "rollouts": [7, 8]}
    told["still_held"] = {"8": hostile}
    return [
        *(cards.card(picture(one, many, **around)) for one in every),
        notes.report(picture(every[2], many, **around), entries, []),
        *(notes.event_note(picture(every[2], many, **around), one, None, ["U0OLGA"]) for one in entries),
        *(notes.told(picture(one, many, **around), entry, None) for one in every for entry in decided),
        *(
            notes.told(picture(every[2]), one, two)
            for one in decided
            for two in entries
            if over_with(one, [two])
        ),
        plan_views.plan(drawn, rollout_rules()),
        plan_views.firmware_choice(FirmwareChoice(hostile[:100], hostile[:50], ((short, 3),) * 3)),
        freezes.freezes([frozen] * 3),
        freezes.freeze_asked([RolloutId(7)] * 30, FreezeRef("", hostile[:1000], "C0OPS00001")),
        freezes.frozen(FreezeEffect(frozen, (RolloutId(7),) * 30)),
        freezes.unfrozen(FreezeEffect(frozen, (RolloutId(7), RolloutId(8)), {RolloutId(8): hostile})),
        freezes.told_of_freeze(told),
        freezes.told_of_freeze(told | {"ended": True}),
        views.rollout_list(
            [(one, {TargetState.FAILED: 3}) for one in every], PagePosition("rollouts", 10, 40, 10)
        ),
        views.job_list([(job, None), (job, RolloutId(7))], PagePosition("jobs", 0, 2, 10)),
        views.job(job, None, str),
        plan_views.requested(every[0], ["C0ROLLOUT1", "C0OPS00001"]),
        plan_views.plan_forgotten(),
    ]


OLGA = Person("U0OLGA", "Olga")
MT1 = (NamedGateway("MT1", "oslo"),)
R_7 = "R-7 (3.5.0, tag:oslo)"
SAYS: Sequence[tuple[RolloutEvent, str]] = [
    (Requested(), f"⏳ {R_7} requested by Olga. It updates 10 gateways."),
    (Approved(0, None, "a word"), f"✅ {R_7} approved by Olga: a word."),
    (Denied("a word."), f"🚫 {R_7} denied by Olga: a word."),
    (Withdrawn(), f"🛑 {R_7} withdrawn by Olga."),
    (Voided("a word"), f"⚠️ {R_7} turned out void when Olga approved it: a word."),
    (Expired(), f"🛑 {R_7} has expired: nobody decided in time."),
    (ApprovalReminder(1, NOW), f"⏳ {R_7} still waits for 1 person to approve it, until {date(NOW)}."),
    (Scheduled(NOW), f"⏳ {R_7} starts {date(NOW)}."),
    (Started(), f"🔄 {R_7} has started."),
    (WaveStarted(2, 5, 1), f"🔄 {R_7}: wave 2 begins, 5 verified, 1 failed so far."),
    (CanaryDone(5, 1), f"⏳ {R_7}: canary done, 5 verified, 1 failed. It waits for promotion."),
    (Promoted(), f"🔄 {R_7} promoted by Olga."),
    (Paused(), f"⏸️ {R_7} paused by Olga."),
    (Resumed("a word"), f"🔄 {R_7} resumed by Olga: a word."),
    (Aborted(), f"🛑 {R_7} aborted by Olga."),
    (Retried(3), f"🔄 {R_7}: Olga retries 3 gateways."),
    (CaughtUp(3, 4), f"🔄 {R_7}: Olga lets 3 gateways catch up."),
    (
        WaitBegan(5, 0, 3, NOW),
        f"⏳ {R_7}: 5 verified, 0 failed; it waits for 3 gateways that are offline, until {date(NOW)}.",
    ),
    (WaitEnded(2), f"⌛ {R_7} no longer waits for 2 gateways that did not return: Olga ended that."),
    (Finished(5, 1, "U0OLGA"), f"⚠️ {R_7} finished: 5 verified, 1 failed."),
    (
        Finished(5, 0, "U0OLGA", 2, (NamedGateway("MT1", "oslo"),)),
        f"✅ {R_7} finished: 5 verified, 0 failed. Offline to the end, and not updated, were 2 gateways: "
        "MT1 (oslo) and 1 more.",
    ),
    (
        LateResults(3, (LateResult("MT1", "oslo", "timed out"),)),
        f"⌛ {R_7}: 3 gateways that counted as failed already: MT1 (oslo) timed out; and 2 more.",
    ),
    (
        NotCalledOff("meshbot R-7 w1 b1", "a word"),
        f"⚠️ {R_7}: Meshtech does not call off meshbot R-7 w1 b1, so what it has not begun is "
        "updated all the same: a word.",
    ),
    (Frozen("3.5.0", "a word"), f"🧊 {R_7}: Olga froze firmware 3.5.0: a word."),
    (Unfrozen(""), f"🔄 {R_7}: Olga unfroze everything."),
    (
        AlertOpened(12, IncidentKind.OFFLINE, "oslo", 3),
        f"🚨 {R_7}: alert A-12, 3 gateways went offline at oslo.",
    ),
    (AlertAcknowledged(12), f"👀 {R_7}: Olga acknowledged alert A-12."),
    (
        AlertOutgrown(12, 3, "U0PAUL"),
        f"🚨 {R_7}: alert A-12 outgrew what <@U0PAUL> acknowledged by 3 gateways: nobody had it from "
        "then on.",
    ),
    (MoreAlerts(3), f"🚨 {R_7}: and 3 more alerts."),
    (NotReturned(3, "3.5.0", MT1), f"❌ {R_7}: 3 gateways did not return: MT1 (oslo) and 2 more."),
]
DECISIONS = (
    *(Approved, Denied, Withdrawn, Voided, Expired),
    *(Paused, CanaryDone, NotReturned, Aborted, Finished),
)


def happened(event: RolloutEvent, by: Person | None = None) -> TimelineEntry:
    return TimelineEntry(RolloutId(7), NOW, by, event)


def hostile_events(hostile: str) -> list[RolloutEvent]:
    """Each of them, with names and reasons that others chose."""
    named: dict[str, Any] = {
        "reason": hostile,
        "version": hostile,
        "site": hostile,
        "job": hostile,
        "gateways": (NamedGateway(hostile, hostile),) * 10,
        "results": (LateResult(hostile, hostile, "timed out"),) * 10,
    }
    return [
        _renamed(event, {one.name: named[one.name] for one in fields(event) if one.name in named})
        for event, _ in SAYS
    ]


def _renamed(event: Any, names: Mapping[str, Any]) -> RolloutEvent:
    changed: RolloutEvent = replace(event, **names)
    return changed


def test_every_kind_of_event_has_a_sentence() -> None:
    assert {type(event) for event, _ in SAYS} == set(get_args(RolloutEvent))


THEN = {
    Requested: RolloutState.REQUESTED,
    ApprovalReminder: RolloutState.REQUESTED,
    CanaryDone: RolloutState.PROMOTION,
    Paused: RolloutState.PAUSED,
    Aborted: RolloutState.ABORTED,
    Finished: RolloutState.FINISHED,
}


def note(
    event: RolloutEvent,
    state: RolloutState | None = None,
    by: Person | None = None,
    call: Sequence[str] = (),
    over: TimelineEntry | None = None,
) -> Message:
    standing = picture(rollout(state or THEN.get(type(event), RolloutState.RUNNING)))
    return sendable(notes.event_note(standing, happened(event, by), over, call))


@pytest.mark.parametrize(("event", "says"), SAYS, ids=lambda one: getattr(one, "kind", ""))
def test_every_event_is_one_sentence_in_the_thread_that_begins_with_the_rollout(
    event: RolloutEvent, says: str
) -> None:
    assert note(event, by=OLGA).text == says


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (CanaryDone(5, 1), f"⏳ {R_7}: canary done, 5 verified, 1 failed."),
        (ApprovalReminder(1, NOW), f"⏳ {R_7} waited for 1 person to approve it, until {date(NOW)}."),
    ],
)
def test_a_note_asks_nobody_for_what_is_done_by_the_time_it_is_said(event: RolloutEvent, says: str) -> None:
    assert note(event, RolloutState.RUNNING).text == says


@pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (IncidentKind.STORM, "went offline, and others with them"),
        (IncidentKind.FLAPPING, "kept going on and off at oslo"),
        (IncidentKind.NOT_RETURNED, "did not return"),
    ],
)
def test_an_alert_of_each_kind_says_what_it_was_about(trouble: IncidentKind, says: str) -> None:
    drawn = note(AlertOpened(12, trouble, "oslo", 3))
    assert drawn.text == f"🚨 {R_7}: alert A-12, 3 gateways {says}."


def test_what_it_did_by_itself_says_why() -> None:
    assert note(Paused("5 of 5 canaries failed")).text == f"⏸️ {R_7} paused: 5 of 5 canaries failed."
    stopped = note(Aborted("a word", frozen=True))
    assert stopped.text == f"🛑 {R_7} stopped for good: a word. Its firmware is frozen."


@pytest.mark.parametrize(
    ("event", "call", "says", "offers"),
    [
        (Requested(), ["S0TEAM"], "<!subteam^S0TEAM> can approve or deny it.", {ids.ROLLOUT_APPROVE, DENY}),
        (
            CanaryDone(5, 0),
            ["U0OLGA"],
            "<@U0OLGA> can promote, pause or abort it.",
            {PROMOTE, PAUSE, ABORT},
        ),
        (Paused("a word"), ["U0OLGA"], "<@U0OLGA> can resume or abort it.", {RESUME, ABORT}),
        (NotReturned(3, "3.5.0", MT1), ["U0OLGA"], "<@U0OLGA> can pause or abort it.", {PAUSE, ABORT}),
        (Aborted("a word"), ["U0OLGA"], "<@U0OLGA> requested it.", None),
        (Finished(5, 1, "U0OLGA"), ["U0OLGA"], "<@U0OLGA> requested it.", set()),
    ],
    ids=lambda one: getattr(one, "kind", ""),
)
def test_a_note_mentions_whose_move_it_is_and_has_the_buttons_for_it(
    event: RolloutEvent, call: list[str], says: str, offers: set[str] | None
) -> None:
    drawn = note(event, call=call)
    assert drawn.text.endswith(says)
    assert set(buttons(drawn)) == (set() if offers is None else {*offers, ids.OPEN})
    copy = note(event)
    assert not re.search(r"<[@!]", copy.text.replace("<!date", ""))
    assert set(buttons(copy)) == set(buttons(drawn))


def test_a_note_about_what_is_over_says_what_came_of_it_and_calls_nobody() -> None:
    resumed = replace(happened(Resumed(), Person("U0PAUL", "Paul")), at=NOW + MINUTE)
    drawn = note(Paused("a word"), RolloutState.RUNNING, call=["U0OLGA"], over=resumed)
    assert drawn.text == f"⏸️ {R_7} paused: a word. Resumed by Paul {date(NOW + MINUTE)}."
    assert drawn.is_over
    assert buttons(drawn) == {}


def test_in_a_list_the_gateways_that_take_part_add_up() -> None:
    counts = {
        TargetState.VERIFIED: 15,
        TargetState.FAILED: 1,
        TargetState.NOT_RETURNED: 1,
        TargetState.SKIPPED: 1,
        TargetState.EXCLUDED: 18,
    }
    drawn = views.rollout_list([(rollout(RolloutState.FINISHED), counts)], PagePosition("rollouts", 0, 1, 10))
    assert drawn.text.startswith("1 rollout. ")
    assert "15 of 36 verified, 1 failed, 1 did not return, 1 skipped: offline, 18 left out" in drawn.text


def test_a_job_is_done_only_when_each_of_its_gateways_succeeded() -> None:
    job = VendorJob(JobId("J-1"), "nightly", JobStatus.COMPLETED, "COMPLETED")
    good = JobDevice(GatewayId("a"), DeviceProgress.SUCCEEDED, "SUCCEEDED")
    bad = JobDevice(GatewayId("b"), DeviceProgress.FAILED, "FAILED")
    assert views.job(replace(job, devices=(good,)), None, str).text.startswith("✅ COMPLETED")
    assert views.job(replace(job, devices=(good, bad)), None, str).text.startswith("🏁 COMPLETED")
    assert "🏁 COMPLETED" in views.job_list([(job, None)], PagePosition("jobs", 0, 1, 10)).text


@pytest.mark.parametrize(
    ("state", "event", "by", "says", "offers"),
    [
        (
            RolloutState.RUNNING,
            Approved(0),
            OLGA,
            "approved by Olga. It starts now. You can pause or abort it.",
            {PAUSE, ABORT},
        ),
        (
            RolloutState.SCHEDULED,
            Approved(0, NOW),
            OLGA,
            f"approved by Olga. It starts {date(NOW)}. You can withdraw it.",
            {WITHDRAW},
        ),
        (
            RolloutState.REQUESTED,
            Approved(1),
            OLGA,
            "approved by Olga. It needs one more approval. You can withdraw it.",
            {WITHDRAW},
        ),
        (RolloutState.DENIED, Denied("a word"), OLGA, "denied by Olga: a word.", set()),
        (RolloutState.CANCELED, Withdrawn(), OLGA, "withdrawn by Olga.", set()),
        (
            RolloutState.VOID,
            Voided("a word"),
            OLGA,
            "turned out void when Olga approved it: a word. You can draw a new plan.",
            {ids.ROLLOUT_REPLAN},
        ),
        (
            RolloutState.VOID,
            Voided("a word"),
            None,
            "turned out void: a word. You can draw a new plan.",
            {ids.ROLLOUT_REPLAN},
        ),
        (
            RolloutState.EXPIRED,
            Expired(),
            None,
            "has expired: nobody decided in time. You can draw a new plan.",
            {ids.ROLLOUT_REPLAN},
        ),
        (
            RolloutState.PAUSED,
            Paused("a word"),
            None,
            "paused: a word. You can resume or abort it.",
            {RESUME, ABORT},
        ),
        (RolloutState.ABORTED, Aborted("a word"), None, "stopped for good: a word.", set()),
        (RolloutState.FINISHED, Finished(5, 1, "U0OLGA"), None, "finished: 5 verified, 1 failed.", set()),
    ],
    ids=lambda one: getattr(one, "kind", None),
)
def test_the_requester_is_told_what_happened_and_can_do_what_is_left_to_do(
    state: RolloutState, event: RolloutEvent, by: Person | None, says: str, offers: set[str]
) -> None:
    drawn = sendable(notes.told(picture(rollout(state)), happened(event, by), None))
    assert R_7 in drawn.text
    assert drawn.text.endswith(f" {says}")
    assert set(buttons(drawn)) == {*offers, ids.OPEN}


def test_the_requester_is_told_what_came_of_a_pause_in_the_same_message() -> None:
    resumed = replace(happened(Resumed(), Person("U0PAUL", "Paul")), at=NOW + MINUTE)
    drawn = sendable(notes.told(picture(rollout()), happened(Paused("a word")), resumed))
    assert drawn.text == f"⏸️ {R_7} paused: a word. Resumed by Paul {date(NOW + MINUTE)}."
    assert drawn.is_over


@pytest.mark.parametrize("hostile", [*NAMES, "", "plain"])
def test_slack_takes_every_message_whatever_things_are_called(hostile: str) -> None:
    for message in everything_said(hostile):
        assert not any(ping in sendable(message).text for ping in PINGS)


def test_no_sentence_ends_twice() -> None:
    for message in everything_said("a word"):
        assert ".." not in message.text, message.text
        assert ": ." not in message.text
        assert "  " not in message.text


def test_the_text_says_all_that_the_blocks_say() -> None:
    for drawn in everything_said("plain"):
        spoken = re.findall(r"\w+", drawn.text)
        shown = re.findall(r"\w+", words(drawn))
        assert set(shown) - set(spoken) <= set(HEADINGS), drawn.text


def test_a_dialog_and_a_heading_are_whole_whatever_model_and_firmware_are_called() -> None:
    asked = rollout(RolloutState.REQUESTED, model=LONG, firmware_version=LONG, downgrades=2)
    assert card(asked).blocks[0]["text"]["text"].endswith("for 10 gateways")
    asks = note_of_a_request(asked)
    (confirmed,) = [one["confirm"] for one in elements(asks) if one["action_id"] == ids.ROLLOUT_APPROVE]
    assert "2 go back to an older version, or may." in confirmed["text"]["text"]


def note_of_a_request(asked: Rollout) -> Message:
    return sendable(notes.event_note(picture(asked), happened(Requested(), OLGA), None, ["S0TEAM"]))


# ---- plans


def plan(
    site: str = "oslo", waves: tuple[int, ...] = (1, 2), file: Firmware | None = None, **changes: object
) -> DrawnPlan:
    target = Target(GatewayId("g"), site, site, "2011", "3.4.1", TargetClass.ELIGIBLE, 1)
    left_out = [replace(target, cls=cls, wave=0) for cls in TargetClass if not cls.takes_part]
    eligible = [target, replace(target, wave=2), replace(target, wave=2)] if waves else []
    made = Plan("tag:oslo", file or firmware(), (*eligible, *left_out), waves, 2, 50)
    return DrawnPlan("id1", replace(made, **changes))  # type: ignore[arg-type]


def test_a_plan_names_every_class_its_waves_its_approvers_and_its_evidence() -> None:
    drawn = sendable(
        plan_views.plan(
            replace(plan(), evidence=Evidence(9, 8, 1, 3 * MINUTE, 9 * MINUTE), incidents=TOUCHED[:1]),
            rollout_rules(),
        )
    )
    for said in (
        "3 gateways of 9 that match",
        "3 will be updated",
        "1 is on this version already",
        "1 is of another model",
        "1 is offline: skipped, and can catch up later",
        "1 keeps going on and off: left out",
        "1 is in another rollout",
        "1 failed 3 times in a day: left alone for 24 h",
        "A canary of 1, then 2",
        "2 approvers must approve it, one more than usual for so many gateways",
        "9 tried, 8 verified, 1 failed; usually back in 3 min, nearly always in 9 min",
        "Open alert A-4: 3 gateways offline at oslo",
    ):
        assert said in drawn.text
    assert buttons(drawn) == {ids.ROLLOUT_REQUEST: PlanRef("id1"), ids.ROLLOUT_CANCEL: PlanRef("id1")}


def test_a_plan_with_nobody_to_update_offers_no_request() -> None:
    drawn = sendable(plan_views.plan(plan(waves=()), rollout_rules()))
    assert "There is no gateway to update" in drawn.text
    assert ids.ROLLOUT_REQUEST not in buttons(drawn)


def test_a_plan_whose_gateways_are_all_offline_says_what_to_do_and_offers_it() -> None:
    made = plan(waves=()).plan
    offline = [replace(one, cls=TargetClass.OFFLINE) for one in made.targets[:2]]
    drawn = sendable(
        plan_views.plan(DrawnPlan("id1", replace(made, targets=tuple(offline))), rollout_rules())
    )
    assert "All 2 are offline, so nobody can be updated now. Look again once some are back" in drawn.text
    leads = buttons(drawn)
    assert leads[ids.OPEN] == PageRef("devices", 0, "tag:oslo is:offline")
    again = leads[ids.ROLLOUT_REPLAN]
    assert isinstance(again, PlanRef)
    assert (again.query, again.version, again.file) == ("tag:oslo", made.version, made.firmware.id)


def test_who_goes_first_are_the_canaries_and_where_there_are_none_it_says_who() -> None:
    assert (
        "Who goes first: oslo · oslo · now on 3.4.1."
        in sendable(plan_views.plan(plan(), rollout_rules())).text
    )
    alone = sendable(plan_views.plan(plan(waves=(3,)), rollout_rules())).text
    assert alone.count("oslo · oslo · now on 3.4.1") == 3
    assert "Who is updated:" in alone


def test_a_plan_names_the_rollouts_that_have_some_of_its_gateways_and_leads_to_them() -> None:
    drawn = sendable(plan_views.plan(replace(plan(), busy_in=(RolloutId(3), RolloutId(5))), rollout_rules()))
    assert "1 is in another rollout: R-3, R-5" in drawn.text
    (doors,) = [one["options"] for one in elements(drawn) if one["action_id"] == ids.OPEN]
    assert [decode(one["value"]) for one in doors] == [PageRef("rollout", 0, "3"), PageRef("rollout", 0, "5")]
    alone = sendable(plan_views.plan(replace(plan(), busy_in=(RolloutId(3),)), rollout_rules()))
    assert buttons(alone)[ids.OPEN] == PageRef("rollout", 0, "3")


def test_lists_answers_and_dialogs_say_when_an_update_starts() -> None:
    later = rollout(RolloutState.REQUESTED, start_at=NOW)
    listed = views.rollout_list([(later, {})], PagePosition("rollouts", 0, 1, 10)).text
    for text in (
        listed,
        plan_views.requested(later, ["C0ROLLOUT1"]).text,
        str(dialogs.deny_modal(later, CardRef("7", 3))),
        note_of_a_request(later).text,
    ):
        assert f", and starts {date(NOW)}" in text


def test_a_plan_says_when_it_starts_and_what_is_frozen() -> None:
    drawn = sendable(plan_views.plan(replace(plan(), start_at=NOW, freeze=FROZEN), rollout_rules()))
    assert f"It starts {date(NOW)}, once it is approved" in drawn.text
    assert "firmware 3.5.0 is frozen by Ada: it bricks" in drawn.text


def test_a_plan_for_one_person_asks_for_their_own_confirmation() -> None:
    drawn = sendable(plan_views.plan(plan(approvals_needed=0), rollout_rules()))
    assert "Your own confirmation is enough" in drawn.text
    assert "Nothing is sent before that" in drawn.text


# ---- modals


@pytest.mark.parametrize("name", [*NAMES, "plain"])
def test_slack_takes_the_modals_whatever_the_reason_was(name: str) -> None:
    held = rollout(firmware_version=name, held=name)
    for view in (
        dialogs.deny_modal(held, CardRef("7", 3, channel="C0OPS")),
        dialogs.override_modal(CardRef("7", 3), ids.ROLLOUT_APPROVE, name),
        dialogs.override_modal(CardRef("7", 3), ids.ROLLOUT_RESUME, name),
    ):
        assert problems_of_view(view) == []


def test_a_name_cannot_ping_from_a_rollouts_card() -> None:
    drawn = card(rollout(reason=HOSTILE), failures=(record(HOSTILE, HOSTILE, HOSTILE),))
    assert "<!channel>" not in drawn.text + words(drawn)


# ---- those that are offline


def offline_plan(eligible: int) -> DrawnPlan:
    gone = Target(GatewayId("a"), "MT1", "oslo", "2011", "3.4.1", TargetClass.OFFLINE)
    there = [
        replace(gone, gateway_id=GatewayId(f"g{one}"), cls=TargetClass.ELIGIBLE, wave=1)
        for one in range(eligible)
    ]
    waves = (eligible,) if eligible else ()
    targets = (gone, replace(gone, gateway_id=GatewayId("b")), *there)
    return DrawnPlan("id1", Plan("tag:oslo", firmware(), targets, waves, 1, 50, wait_for=timedelta(days=7)))


@pytest.mark.parametrize(
    ("eligible", "waves"),
    [
        (0, "Those that return first are the canary. A person promotes it"),
        (1, "A canary of 1. A person promotes it"),
    ],
)
def test_a_plan_says_how_long_it_waits_for_those_that_are_offline_and_can_be_requested(
    eligible: int, waves: str
) -> None:
    drawn = sendable(plan_views.plan(offline_plan(eligible), rollout_rules()))
    assert f"{eligible + 2} gateways of {eligible + 2} that match" in drawn.text
    assert "2 are offline: updated on their return" in drawn.text
    assert (
        "It waits up to 7 d for 2 gateways that are offline, and updates them on return, 1 in a wave"
        in drawn.text
    )
    assert waves in drawn.text
    assert ids.ROLLOUT_REQUEST in buttons(drawn)


AWAITED = {(1, TargetState.WAITING): 5, (0, TargetState.AWAY): 3}


def test_an_approval_names_the_waiting_on_the_card_in_the_dialog_and_in_the_note() -> None:
    asked = picture(rollout(RolloutState.REQUESTED, wait_for=timedelta(days=7)), AWAITED)
    shown = sendable(cards.card(asked))
    assert "firmware 3.5.0 for 8 gateways" in shown.text.replace("`", "")
    assert "It waits up to 7 d for 3 gateways that are offline" in shown.text
    offered = cards.buttons(asked, CardRef("7", 30), shows_all=False)
    (text,) = [one["confirm"]["text"]["text"] for one in offered if one["action_id"] == ids.ROLLOUT_APPROVE]
    assert "It waits up to 7 d for 3 of them that are offline." in text
    note = notes.event_note(asked, happened(Requested(), OLGA), None, ["S0TEAM"])
    assert "It updates 8 gateways. It waits up to 7 d for 3 of them that are offline." in note.text


def test_the_card_counts_those_that_are_waited_for_and_until_when() -> None:
    counts = {(1, TargetState.VERIFIED): 5, (1, TargetState.AWAY): 1, (0, TargetState.AWAY): 2}
    waits = rollout(RolloutState.RUNNING, started_at=NOW, wait_for=timedelta(days=7))
    drawn = sendable(card(waits, counts))
    assert "waiting for 3 gateways" in drawn.text
    assert f"3 wait for their return, until {date(NOW + timedelta(days=7))}." in drawn.text
    assert "In no wave" not in drawn.text, "said once"
    assert ids.ROLLOUT_END_WAITING in buttons(drawn)


def test_those_that_came_back_are_told_of_by_themselves() -> None:
    said = notes.event_words(happened(CaughtUp(2, 4)), RolloutState.RUNNING)
    assert said == "🔄 R-7: 2 gateways that were offline came back, and are updated now."
    ended = notes.event_words(
        happened(WaitEnded(1, "Paul may not approve it any more")), RolloutState.RUNNING
    )
    assert ended.endswith(
        "no longer waits for 1 gateway that did not return: Paul may not approve it any more."
    )
