"""The query language: what a line means, and what a wrong one is answered with."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import InvalidInput
from bot.domain.gateways import Connectivity, KnownGateway
from bot.domain.query import (
    ALL,
    LONGEST,
    MOST_VALUES,
    MOST_WILDCARDS,
    Field,
    bare_words,
    exactly,
    parse,
    read_bare,
)
from tests.worlds.builders import NOW, known

OFFLINE = Connectivity.OFFLINE
ONE = known(
    "bmac-c0141f68fc3d",
    name="MT10225 Tromsø",
    model="2011",
    tags=("Kyiv-office", "site:oslo", "Kyiv office"),
    firmware="3.4.1",
    hardware="1.0.0",
    site="Oslo",
    since=NOW - timedelta(hours=2),
)
PIECES = """tag: site: fw: is: for: name: id: - , " < >= * none online offline flapping 1h 30m 3.4.1
3.10.0-beta.2 oslo TROMSØ :"""
pieces = st.sampled_from([*PIECES.split(), " "]) | st.text(max_size=4)
words = st.lists(pieces, max_size=14).map("".join)


def matches(text: str, one: KnownGateway = ONE) -> bool:
    return parse(text).matches(one, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tag:kyiv-OFFICE",
        "tag:none,kyiv-office",
        'tag:"kyiv office"',
        "tag:site:oslo",
        "tag:kyiv*",
        "-tag:none",
        "site:oslo",
        "model:20*1",
        "hw:1.0.0",
        "fw:3.4.1",
        "fw:=3.4.1",
        "fw:<3.10.0",
        "fw:>=3.4.1",
        "fw:<=3.4.1",
        "fw:>3.4.1-beta.9",
        "fw:2.0.0,>3.0.0",
        "fw:>3.4",
        "fw:>3",
        "fw:v3.04.1",
        "fw:<3.4.1.1",
        "fw:>3.4.1-rc1",
        "fw:3.4.1+g1a2b3c",
        "is:online",
        "is:offline,online",
        "-is:flapping,updating",
        "for:1h",
        "for:>1h",
        "for:<3h",
        "for:>1h30m",
        "name:MT*",
        "NAME:*TROMSØ",
        "id:bmac-c0*3D",
        "tromsø",
        "C0141F",
        "mt*tromsø",
        "nothing,10225",
        "-nothing",
        "tag:none,kyiv-office is:online for:>1h -id:x*",
    ],
)
def test_a_query_that_matches(text: str) -> None:
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "tag:none",
        "tag:kyiv",
        '-tag:"kyiv office"',
        "site:os",
        "model:2012",
        "fw:<3.4.1",
        "fw:>3.10.0",
        "fw:3.4",
        "fw:>3.4.1.0",
        "fw:3.4.1-rc1",
        "is:offline",
        "is:flapping",
        "is:updating",
        "-is:online",
        "for:<1h",
        "for:>2h",
        "for:<2h",
        "name:MT",
        "name:*mt10225",
        'name:"MT10225 Tromsø*ø"',
        "id:c0141f68fc3d",
        "10225 nothing",
        "-10225",
    ],
)
def test_a_query_that_does_not_match(text: str) -> None:
    assert not matches(text)


def test_a_gateway_that_lacks_a_field_matches_its_negation_only() -> None:
    bare = known(name=None, model=None, tags=(), firmware=None, hardware=None)
    assert matches("tag:none -fw:>0.0.1 -fw:<9.9.9 -model:2011 -name:MT* fw:*", bare)


def test_a_version_without_order_equals_itself_only() -> None:
    odd = known(firmware="Nightly-7")
    assert matches("fw:nightly-7 -fw:<9.0.0 -fw:>0.0.1 fw:nightly*", odd)


def test_a_tag_that_is_called_none_is_found_in_quotes() -> None:
    tagged = known(tags=("none",))
    assert matches('tag:"none" -tag:none', tagged)


def test_flapping_and_updating_are_what_the_snapshot_says() -> None:
    assert matches("is:flapping is:updating", known(flapping=True, updating=True))


def test_unknown_is_neither_online_nor_offline() -> None:
    assert matches("-is:online -is:offline is:unknown", known(connectivity=Connectivity.UNKNOWN))


def test_what_is_special_elsewhere_is_a_letter_here() -> None:
    odd = known(name=r"100%_a\b[c]?.+", tags=())
    assert matches(r"name:100%_a\b[c]?.+ %_ name:1*+ a\b", odd)
    assert not matches("name:100__a%", odd)


def test_quotes_keep_commas_colons_and_a_leading_minus_in_a_word() -> None:
    odd = known(name="-a:b, c", hardware="<1")
    assert matches('"-a:b, c" name:"-a:b, c" hw:"<1"', odd)
    assert len(next(parse('"-a:b, c"').single_terms).values) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tga:oslo", "tga:oslo: there is no field “tga”. Did you mean tag:"),
        ("firmware:3.4.1", "Did you mean fw:"),
        ("is:oflline", "Did you mean is:offline"),
        ("is:x", "The states are online, offline"),
        ("tag:", "tag:: a value is missing, write tag:oslo"),
        ("tag:a,,b", "tag:a,,b: a value is missing"),
        ("fw:<abc", "“abc” has no order; after < stands a version"),
        ("for:3", "“3” is not a duration"),
        ("for:>1y", "for:>1y: “1y” is not a duration"),
        ("for:=1h", "a duration is compared"),
        ("hw:<1.0.0", "only firmware and ages are compared; write hw:1.0.0"),
        ("model:>=2011", "write model:2011"),
        ("for:9999d", "ten years"),
        ('tag:"oslo', "A quote is not closed"),
        ("-", "a word is missing"),
        ("name:" + "*" * (MOST_WILDCARDS + 1), f"{MOST_WILDCARDS} times"),
        ("a," * MOST_VALUES + "a", f"{MOST_VALUES} are the most"),
        ("a " * MOST_VALUES + "a", f"{MOST_VALUES} are the most"),
        ("x" * (LONGEST + 1), f"{LONGEST} are the most"),
    ],
)
def test_an_error_names_the_term_and_what_would_be_right(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    assert says in str(caught.value)


def test_the_first_colon_ends_the_field() -> None:
    (term,) = parse("tag:site:oslo").single_terms
    assert (term.field, term.text) == (Field.TAG, 'tag:"site:oslo"')


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ('  TAG:"Kyiv office"   -is:ONLINE ', 'tag:"Kyiv office" -is:online'),
        ("for:1H30M fw:=3.4.1", "for:>1h30m fw:3.4.1"),
        ('tag:None,"None"', 'tag:none,"None"'),
        ('"a b",c', '"a b",c'),
    ],
)
def test_a_query_has_one_spelling(text: str, canonical: str) -> None:
    assert parse(text).text == canonical


@pytest.mark.parametrize(("text", "taken"), [("102\x0025", "10225"), ("name:half\ud83d", "name:half?")])
def test_what_no_database_takes_is_mended(text: str, taken: str) -> None:
    assert parse(text).text == taken


@pytest.mark.parametrize("text", ["all", "Everything", " all  gateways ", "ALL devices", "*", "all and"])
def test_a_lone_all_is_the_whole_fleet(text: str) -> None:
    assert parse(text) == ALL
    assert ALL.matches(ONE, NOW)
    assert parse(ALL.text) == ALL


@pytest.mark.parametrize("text", ['"all"', "-all", "all oslo", "oslo,all", "hall"])
def test_in_quotes_or_beside_others_all_is_a_word_to_look_for(text: str) -> None:
    assert parse(text) != ALL
    assert parse(text).text == text


@given(words | st.text())
def test_any_text_is_a_query_or_an_explained_error(text: str) -> None:
    with suppress(InvalidInput):
        query = parse(text)
        assert query.matches(ONE, NOW) in {True, False}
        assert parse(query.text) == query


@given(st.text(min_size=1, max_size=20))
def test_an_exact_query_matches_that_very_text_or_there_is_none(text: str) -> None:
    query = exactly(Field.NAME, text)
    if query is None:
        assert {"*", '"'} & set(text)
    elif text.strip() and "\0" not in text:
        assert matches(query, known(name=text))
        assert not matches(query, known(name=text + "x"))


# ---- plain words
@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("offline", "is:offline"),
        ("OFFLINE,unknown", "is:offline,unknown"),
        ('"offline"', '"offline"'),
        ("offline for 24h", "is:offline for:>24h"),
        ("is:offline > 24h", "is:offline for:>24h"),
        ("offline since 2d", "is:offline for:>2d"),
        ("for < 30m", "for:<30m"),
        ("fw < 3.4", "fw:<3.4"),
        ("site oslo", "site:oslo"),
        ("tag oslo down", "tag:oslo is:offline"),
        ("model 2011 or label roof", "model:2011 or tag:roof"),
        ("site offline", "site is:offline"),
        ("version 3.3.0", "fw:3.3.0"),
        ("oslo and online", "oslo is:online"),
        ("tag:a or tag:b", "tag:a,b"),
        ("tag:a OR is:offline -tag:c", "tag:a or is:offline -tag:c"),
        ("tag:a or -tag:b", "tag:a or -tag:b"),
        ('for "or"', '"for" "or"'),
    ],
)
def test_plain_words_mean_terms(typed: str, means: str) -> None:
    assert parse(typed).text == means
    assert parse(means) == parse(typed)


def test_or_binds_its_two_terms_closer_than_a_space() -> None:
    assert matches("tag:nowhere or model:2011 is:online")
    assert not matches("tag:nowhere or model:2011 is:offline")
    assert not matches("tag:nowhere or model:2012")


@pytest.mark.parametrize("text", ["or", "or tag:a", "tag:a or", "tag:a or or tag:b"])
def test_an_or_with_nothing_beside_it_is_explained(text: str) -> None:
    with pytest.raises(InvalidInput, match="stands between two terms"):
        parse(text)


def test_a_bare_word_is_what_the_fleet_has_it_for_the_likeliest_first() -> None:
    query = parse('oslo or offline -2011 3.3.0 nothing "quoted" any*')
    fits = {"oslo": (Field.TAG, Field.ANY), "2011": (Field.MODEL,), "3.3.0": (Field.FIRMWARE, Field.ANY)}

    assert bare_words(query) == ["oslo", "2011", "3.3.0", "nothing"]
    read, words = read_bare(query, fits)
    assert read.text == 'tag:oslo or is:offline -model:2011 fw:3.3.0 nothing "quoted" any*'
    assert [(one.word, one.term) for one in words] == [
        ("oslo", "tag:oslo"),
        ("2011", "model:2011"),
        ("3.3.0", "fw:3.3.0"),
    ]
    ((term, other),) = words[0].others
    assert (term, other.text) == (
        '"oslo"',
        '"oslo" or is:offline -model:2011 fw:3.3.0 nothing "quoted" any*',
    )


def test_a_word_that_is_in_names_alone_stays_as_it_is() -> None:
    query = parse("roof")
    assert read_bare(query, {"roof": (Field.ANY,)}) == (query, [])
