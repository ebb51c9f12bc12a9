"""What a channel may subscribe to, and what is said about what it may not."""

from datetime import time

import pytest

from bot.domain.errors import InvalidInput
from bot.domain.query import parse
from bot.domain.subscriptions import Draft, Topic, parse_number, parse_subscription


def test_a_channel_subscribes_to_a_topic_for_some_gateways_or_for_all() -> None:
    some = parse_subscription('Offline  tag:"Kyiv office"  -model:2011')
    assert some == Draft(Topic.OFFLINE, parse('tag:"Kyiv office" -model:2011'))
    assert parse_subscription("rollouts") == Draft(Topic.ROLLOUTS, parse(""))


@pytest.mark.parametrize(
    "text",
    [
        "digest tag:oslo at 07:30 in Europe/Oslo",
        "digest tag:oslo in europe/oslo at 7:30",
        "DIGEST tag:oslo At 07:30 IN EUROPE/OSLO",
    ],
)
def test_a_digest_has_its_time_and_zone_at_the_end_in_either_order(text: str) -> None:
    assert parse_subscription(text) == Draft(Topic.DIGEST, parse("tag:oslo"), time(7, 30), "Europe/Oslo")


def test_a_digest_may_leave_out_everything() -> None:
    assert parse_subscription("digest") == Draft(Topic.DIGEST, parse(""))


def test_what_stands_in_quotes_is_no_time() -> None:
    draft = parse_subscription('digest tag:"mast at 08:00"')
    assert (draft.query, draft.at) == (parse('tag:"mast at 08:00"'), None)


@pytest.mark.parametrize(
    "text", ["availability tag:oslo monthly at 07:30", "availability monthly tag:oslo at 07:30"]
)
def test_what_tells_of_a_month_has_a_query_and_a_time(text: str) -> None:
    assert parse_subscription(text) == Draft(Topic.AVAILABILITY, parse("tag:oslo"), time(7, 30))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("availability only here", "to no other channel"),
        ("monthly", "subscribe availability [query] [monthly]"),
        ("", "subscribe digest [query]"),
        ("oflline tag:oslo", "Did you mean “/mesh subscribe offline [query] [only here]”"),
        ("alerts", "Did you mean “/mesh subscribe offline [query] [only here]”"),
        ("xyzzy", "subscribe rollouts [query]"),
        ("digest at 25:00", "write it as 08:00"),
        ("digest at 8am", "write it as 08:00"),
        ("digest at", "After “at” stands a time"),
        ("digest tag:oslo in", "After “in” stands a time zone"),
        ("digest in oslo", "Did you mean Europe/Oslo"),
        ("digest in Europ/Oslo", "Did you mean Europe/Oslo"),
        ("digest in ../../etc/passwd", "Write it as Europe/Oslo"),
        ("digest tagg:oslo", "Did you mean tag:"),
        ("offline tag:oslo at 08:00", "Only a digest"),
        ("offline tagg:oslo", "Did you mean tag:"),
        ('offline tag:"oslo', "quote is not closed"),
    ],
)
def test_an_error_says_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_subscription(text)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["offline for:>1h", "offline tag:oslo is:offline", "rollouts -is:updating"])
def test_cards_are_not_chosen_by_how_a_gateway_fares(text: str) -> None:
    with pytest.raises(InvalidInput, match="when it is opened"):
        parse_subscription(text)
    assert parse_subscription("digest is:offline for:>1h").query == parse("is:offline for:>1h")


def test_a_subscription_is_named_by_its_number() -> None:
    assert [parse_number(text) for text in ("3", "#3", " 3 ")] == [3, 3, 3]
    with pytest.raises(InvalidInput, match="subscriptions"):
        parse_number("offline tag:oslo")
