"""Links to the portal: what fills a template comes from outside."""

import pytest

from bot.slack.views.portal_links import Portal, linked

PORTAL = Portal("https://p.example/g/{gateway}?at={site}", "https://p.example/sites/{site}")


def test_a_link_names_the_gateway_and_its_site() -> None:
    assert PORTAL.gateway("bmac-1", "Kyiv office") == "https://p.example/g/bmac-1?at=Kyiv%20office"
    assert PORTAL.site("tromsø") == "https://p.example/sites/troms%C3%B8"


@pytest.mark.parametrize("hostile", ["a/../../admin", "x|<!channel>", "a&b=c#d?", "{site}", "\ud800 \n"])
def test_what_comes_from_outside_stays_one_part_of_the_address(hostile: str) -> None:
    part = PORTAL.site(hostile).removeprefix("https://p.example/sites/")
    assert part
    assert not set(part) & set("/|<>&#?{} \n")


@pytest.mark.parametrize("missing", ["", ".", ".."])
def test_without_a_value_that_makes_a_part_there_is_no_link(missing: str) -> None:
    assert PORTAL.site(missing) == PORTAL.gateway("bmac-1", missing) == ""


def test_without_a_template_a_name_is_no_link() -> None:
    assert Portal().gateway("bmac-1", "oslo") == Portal().site("oslo") == ""
    assert linked("*MT1*", "") == "*MT1*"


def test_a_link_is_written_as_slack_reads_it() -> None:
    assert linked("a|b", "https://p.example/?a=1&b=2") == "<https://p.example/?a=1&amp;b=2|a¦b>"
