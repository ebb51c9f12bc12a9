"""Ids of buttons, and what a button's value may say."""

import pytest

from bot.domain.errors import InvalidInput
from bot.slack import ids
from bot.slack.ids import CardRef, FreezeRef, GatewayRef, PageRef, PlanRef, Ref, decode

# Written out: these names do not change without a note in the changelog.
PUBLIC = {
    "rollout_request rollout_cancel rollout_approve rollout_deny rollout_pause rollout_resume rollout_abort "
    "rollout_promote rollout_retry_failed rollout_catch_up rollout_end_waiting rollout_replan "
    "incident_ack incident_silence "
    "incident_pause_rollout incident_details write_confirm write_cancel write_undo page_next page_previous "
    "refresh export_csv reason duration until person note what incident_ack_all "
    "incident_take_over incident_give_back incident_assign open unfreeze subscription_end "
    "gateway_rename gateway_tags gateway_silence gateway_find "
    "chart names_csv site_edit site_silence site_undo sites_csv sites_confirm"
}


def test_the_public_names_are_as_they_were() -> None:
    ours = {value for name, value in vars(ids).items() if name.isupper() and isinstance(value, str)}
    assert {name for names in PUBLIC for name in names.split()} <= ours


@pytest.mark.parametrize(
    "ref",
    [
        CardRef("R-7", 3),
        CardRef("a_b-C9", 123_456_789_012),
        CardRef("7", 3, channel="C0OPS"),
        CardRef("7", 3, PageRef("alerts", 10, "a.b\nø")),
        CardRef("7", 3, PageRef("alerts"), "C0OPS"),
        PageRef("devices", 10, "tag:oslo fw:<3.4.1 a.b"),
        PageRef("x", 1, "ø\n"),
        GatewayRef("bmac-1 ø.b\n", 4_294_967_295, "C0OPS"),
        PlanRef(),
        PlanRef("id1"),
        PlanRef("id1", "C0OPS", "20.11", "3.4.1", "tag:oslo a.b\nø", "fw 1.b"),
        FreezeRef(),
        FreezeRef("3.6.0", "it a.b\nø", "C0OPS"),
    ],
)
def test_a_reference_comes_back_as_it_went(ref: Ref) -> None:
    assert decode(str(ref)) == ref


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "R-7.3",
        "card.1",
        "card.x.",
        "card.x.y",
        "card.a b.1",
        "card.x.1234567890123456789",
        "card.7.3.C0OPS.plan...\n\n",
        "page.devices.10",
        "page.devices.1234567890.",
        "page.devices.0." + "x" * 1801,
        "plan.id1",
    ],
)
def test_a_value_that_is_none_of_ours_is_refused_in_words(value: str) -> None:
    with pytest.raises(InvalidInput, match="run the command again"):
        decode(value)
