"""What admins read of a broken channel, and every message about subscriptions with names that are markup."""

from datetime import UTC, datetime, time

import pytest

from bot.domain.default_channels import DefaultChannels
from bot.domain.subscriptions import Subscribed, Subscription, SubscriptionContext, SubscriptionId, Topic
from bot.slack.views import subscriptions as views
from tests.slack.shown import NAMES, sendable, words

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
AROUND = SubscriptionContext(DefaultChannels("C0ALERTS01", "C0ROLLOUT1"), "UTC", time(8), time(8))


def broken(*numbers: int, channel: str = "C0OPS00001", reason: str = "is_archived") -> str:
    body = {"channel": channel, "reason": reason, "subscriptions": list(numbers)}
    return sendable(views.broken(body, AROUND)).text


def test_an_admin_reads_which_channel_why_and_how_to_mend_it() -> None:
    said = broken(3, 4)
    assert "cannot post in <#C0OPS00001>, 2 subscriptions wait: the channel is archived" in said
    assert "Until then these wait: 3, 4" in said
    assert "/invite" in said


def test_a_default_channel_is_named_by_its_setting() -> None:
    assert "MESHBOT_CHANNELS__ALERTS" in broken(channel="C0ALERTS01")
    assert "MESHBOT_CHANNELS__ROLLOUTS" in broken(channel="C0ROLLOUT1")
    assert "MESHBOT_CHANNELS" not in broken(1)


def test_a_reason_that_nobody_knows_is_shown_as_slack_says_it() -> None:
    assert "restricted_action" in broken(reason="restricted_action")


@pytest.mark.parametrize("query", NAMES)
@pytest.mark.parametrize("topic", Topic)
def test_a_query_is_shown_and_never_read_as_markup(topic: Topic, query: str) -> None:
    one = Subscription(SubscriptionId(1), "C0OPS00001", topic, query, "U0ANA00001", NOW, broken="is_archived")
    messages = [
        views.subscribed(Subscribed(one, None, 1), AROUND),
        views.subscribed(Subscribed(one, one, 0), AROUND),
        views.unsubscribed(one, AROUND),
        views.undone(one, is_back=True),
        views.listed([one] * 11, "C0OPS00001", AROUND, 0),
    ]
    for drawn in messages:
        shown = sendable(drawn)
        assert "<!channel" not in shown.text + words(shown)
