"""What may be said of firmware, whose gateways it is about, and what is behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import InvalidInput
from bot.domain.firmware import FirmwarePolicy, PolicyId, PolicyKind
from bot.domain.fleet.firmware_policy import (
    PolicyRequest,
    PolicyState,
    RunningCount,
    compliance,
    holds_for,
    is_behind,
    is_untold,
    may_clash,
    parse_policy,
    scope,
)
from bot.domain.gateways import KnownGateway
from bot.domain.query import parse
from tests.worlds.builders import NOW, OPERATOR, known, limited

WANTED, BAD = PolicyKind.WANTED, PolicyKind.BAD


def policy(number: int, version: str, query: str = "", kind: PolicyKind = WANTED) -> FirmwarePolicy:
    return FirmwarePolicy(PolicyId(number), kind, version, query, "U0OPER0001", "Ola", NOW)


def states(*standing: FirmwarePolicy, running: list[RunningCount]) -> tuple[PolicyState, ...]:
    return compliance(standing, running, lambda version: "it is frozen" if version == "9.0.0" else None)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("want 3.5.0", PolicyRequest(WANTED, "3.5.0")),
        ("want 3.5.0 for model:2011", PolicyRequest(WANTED, "3.5.0", "model:2011")),
        (
            "Want 3.5.0 for tag:oslo because of the contract",
            PolicyRequest(WANTED, "3.5.0", "tag:oslo", "of the contract"),
        ),
        ('bad "3 x" because it bricks', PolicyRequest(BAD, "3 x", "", "it bricks")),
        (
            "bad 3.3.0 for model:2011 because CVE-2026-1 https://example.com/a?b=c&d",
            PolicyRequest(BAD, "3.3.0", "model:2011", "CVE-2026-1", "https://example.com/a?b=c&d"),
        ),
        ("bad 3.3.0 https://example.com/", PolicyRequest(BAD, "3.3.0", link="https://example.com/")),
        ("want 3.5.0 on model:2011", PolicyRequest(WANTED, "3.5.0", "model:2011")),
        ("end P-3", 3),
        ("end 3", 3),
    ],
)
def test_what_somebody_says_of_a_version(text: str, asked: object) -> None:
    assert parse_policy(text) == asked


@pytest.mark.parametrize("text", ["", "want", "3.5.0", "end", "end S-3", "good 3.5.0", "want 3.5.0 now"])
def test_what_is_no_policy_is_told_how_one_is_written(text: str) -> None:
    with pytest.raises(InvalidInput, match="/mesh policy"):
        parse_policy(text)


@pytest.mark.parametrize(
    "text", ['""', "latest", "<3.4", ">=3.4", "3.4.*", "3.4.0,3.4.1", '"3.4.0; 3.4.1"', "fw:3.4"]
)
@pytest.mark.parametrize("kind", PolicyKind)
def test_a_policy_is_about_one_version_since_no_gateway_runs_a_pattern(text: str, kind: PolicyKind) -> None:
    with pytest.raises(InvalidInput, match="is not one version"):
        parse_policy(f"{kind} {text} because it bricks")


def test_a_policy_is_typed_again_as_it_was_meant() -> None:
    asked = PolicyRequest(BAD, "3.3.0", "model:2011 tag:oslo")
    assert parse_policy(asked.text) == asked


def test_a_policy_is_for_what_gateways_are() -> None:
    with pytest.raises(InvalidInput, match="how they fare"):
        scope(parse("is:offline"), OPERATOR)
    assert scope(parse("all"), OPERATOR).text == ""


def test_who_is_limited_says_it_of_their_gateways_alone() -> None:
    theirs = limited(OPERATOR, "tag:oslo model:2011", "tag:bergen")
    of_theirs = scope(parse("fw:<3.0.0"), theirs)
    for tags, model, is_theirs in [
        (("oslo",), "2011", True),
        (("oslo",), "2012", False),
        (("bergen",), "2012", True),
        (("voss",), "2011", False),
    ]:
        one = known(tags=tags, model=model, firmware="2.0.0")
        assert of_theirs.matches(one, NOW) is is_theirs


def test_an_older_version_is_behind_and_one_without_an_order_never_is() -> None:
    assert is_behind("3.4.1", "3.10.0")
    assert is_behind("3.5.0-rc1", "3.5.0")
    for present in ("3.5.0", "3.6.0", "3.5.0+build7", "custom", "", None):
        assert not is_behind(present, "3.5.0")
    assert not is_behind("3.4.1", "custom")
    assert is_untold("custom", "3.5.0")
    assert not is_untold("Custom", "custom")


def test_of_two_wanted_versions_the_newest_that_matches_holds() -> None:
    fleet, oslo = policy(1, "3.5.0"), policy(2, "3.6.0", "tag:oslo")
    mine = holds_for(fleet, [fleet, oslo])
    assert mine is not None
    assert mine.text == "-tag:oslo"
    assert holds_for(oslo, [fleet, oslo]) == parse("tag:oslo")
    assert holds_for(oslo, [oslo, policy(3, "3.7.0")]) is None


def test_other_models_need_not_be_left_out() -> None:
    one, other = policy(1, "3.5.0", "model:2011"), policy(2, "3.6.0", "model:2012")
    mine = holds_for(one, [one, other])
    assert mine is not None
    assert mine.text == "model:2011"
    assert may_clash(PolicyRequest(BAD, "3.6.0", "model:2011"), [other]) == []


_TERMS = st.sampled_from(
    ["tag:oslo", "-tag:oslo", "tag:oslo,bergen", "model:2011 or tag:bergen", "model:20*"]
)
_QUERIES = st.lists(_TERMS, max_size=3).map(" ".join)
_GATEWAYS = st.builds(
    lambda tags, model: known(tags=tags, model=model),
    st.sampled_from([(), ("oslo",), ("bergen",), ("oslo", "bergen")]),
    st.sampled_from(["2011", "2012", "1999"]),
)


@given(st.lists(_QUERIES, min_size=1, max_size=4), _GATEWAYS)
def test_each_gateway_has_the_newest_policy_that_matches_and_no_other(
    queries: list[str], one: KnownGateway
) -> None:
    standing = [policy(number, "3.5.0", query) for number, query in enumerate(queries, 1)]
    matching = [each.id for each in standing if parse(each.query).matches(one, NOW)]
    held = {each.id: holds_for(each, standing) for each in standing}
    found = [number for number, query in held.items() if query is not None and query.matches(one, NOW)]
    assert found == matching[-1:]


def test_a_version_is_not_wanted_and_bad_for_the_same_gateways() -> None:
    assert may_clash(PolicyRequest(WANTED, "3.3"), [policy(1, "3.3.0", "tag:oslo", BAD)])
    assert not may_clash(PolicyRequest(WANTED, "3.4.0"), [policy(1, "3.3.0", "", BAD)])


def test_the_fleet_is_told_by_what_is_wanted_and_what_is_bad() -> None:
    wanted, bad = policy(1, "3.5.0", "model:2011"), policy(2, "3.3.0", "", BAD)
    behind, on_it, fine, unclear = (
        RunningCount(wanted.id, None, "3.4.1", 27, 3),
        RunningCount(wanted.id, bad.id, "3.3.0", 4),
        RunningCount(wanted.id, None, "3.5.0", 200),
        RunningCount(wanted.id, None, "custom", 9),
    )
    first, second = states(wanted, bad, running=[behind, on_it, fine, unclear])
    assert (first.is_bad, first.affected, first.query, first.remedy) == (True, 4, "fw:3.3.0", "3.5.0")
    assert (second.affected, second.gateways, second.new, second.untold) == (31, 240, 3, 9)
    assert second.query == "model:2011 fw:<3.5.0"


def test_what_is_frozen_by_now_is_held() -> None:
    (state,) = states(policy(1, "9.0.0"), running=[])
    assert state.held == "it is frozen"
