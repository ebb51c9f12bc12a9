"""The firmware policy: which version gateways are to run, and which versions are known to be bad.

Of several wanted versions the newest entry that matches a gateway holds for it. Decides what somebody may
say, and what is behind. A version of which nobody can tell whether it is the older one is never behind.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product

from bot.domain.access import Action, Actor
from bot.domain.errors import InvalidInput, NotFound
from bot.domain.firmware import FirmwarePolicy, PolicyId, PolicyKind, firmware_key, is_same_firmware
from bot.domain.query import ALL, EVERYTHING, FARING, MOST_VALUES, Either, Field, Pattern, Query, Term, parse

LONGEST_TEXT = 1200  # characters of a request, which a button carries while it waits for a yes
USAGE = (
    "Write /mesh policy want 3.5.0 for model:2011, /mesh policy bad 3.3.0 because CVE-2026-1 https://…, "
    "or /mesh policy end P-1."
)
_LINK = re.compile(r"\s(https://[^\s<>|]{1,300})\s*$", re.IGNORECASE)
_DECLARED = re.compile(
    r'(?P<kind>want|wanted|bad)\s+(?P<version>"[^"]{1,60}"|\S{1,60})'
    r"(?:\s+(?:for|on)\s+(?P<query>.+?))?(?:\s+because\s+(?P<reason>.+))?",
    re.IGNORECASE | re.DOTALL,
)
_IS_NO_VERSION = re.compile(r'|latest|.*[<>=*,;:|"].*', re.IGNORECASE)  # nothing, or what says several
_ENDED = re.compile(r"end\s+(\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """What somebody wants to say of a version; an empty query means all gateways."""

    kind: PolicyKind
    version: str
    query: str = ""
    reason: str | None = None
    link: str | None = None

    @property
    def text(self) -> str:
        """As it is typed, without its reason and link."""
        said = "bad" if self.kind is PolicyKind.BAD else "want"
        return f'{said} "{self.version}"{f" for {self.query}" if self.query else ""}'


class PolicyReasonMissing(InvalidInput):
    """A bad version has to say why. ``covered``: how many gateways, of so many, it is about."""

    def __init__(self, covered: int, fleet: int) -> None:
        self.covered, self.fleet = covered, fleet
        super().__init__("Please say why it is bad: add “because …”, and a link to where it is described.")


def parse_policy(text: str) -> PolicyRequest | PolicyId:
    """What is said of a version, or the number of what is to end. Raises InvalidInput."""
    if len(text) > LONGEST_TEXT:
        raise InvalidInput(f"That has {len(text)} characters; a policy takes {LONGEST_TEXT} at most.")
    if ending := _ENDED.fullmatch(text.strip()):
        return parse_policy_number(ending[1])
    link = _LINK.search(text)
    match = _DECLARED.fullmatch((text[: link.start()] if link else text).strip())
    if match is None:
        raise InvalidInput(f"I need a version that is wanted or bad. {USAGE}")
    kind = PolicyKind.BAD if match["kind"].lower() == "bad" else PolicyKind.WANTED
    version, query = match["version"].strip('",'), (match["query"] or "").strip()
    if _IS_NO_VERSION.fullmatch(version):
        raise InvalidInput(
            f"“{version}” is not one version, such as 3.5.0. Say each of several by itself. {USAGE}"
        )
    return PolicyRequest(kind, version, query, match["reason"] or None, link[1] if link else None)


def check_reason(asked: PolicyRequest, covered: int, fleet: int) -> None:
    """Raises PolicyReasonMissing for a version that is said to be bad, and not why."""
    if asked.kind is PolicyKind.BAD and not asked.reason:
        raise PolicyReasonMissing(covered, fleet)


def parse_policy_number(text: str) -> PolicyId:
    """``P-3`` or ``3``. Raises InvalidInput."""
    match = re.fullmatch(r"(?:p-?)?(\d{1,15})", text.strip(), re.IGNORECASE)
    if match is None:
        raise InvalidInput("Name it by its number, such as /mesh policy end P-1. /mesh policy lists them.")
    return PolicyId(int(match[1]))


def unknown(number: PolicyId) -> NotFound:
    return NotFound(f"There is no P-{number} now. /mesh policy lists what is wanted and known to be bad.")


def scope(query: Query, actor: Actor) -> Query:
    """Whose gateways it is about: those of the query within the actor's limits. Raises InvalidInput."""
    if any(term.field in FARING for term in query.single_terms):
        raise InvalidInput(
            "A policy is for what gateways are (tag, site, model, version, name), and not for how they fare: "
            "leave “is:” and “for:” out."
        )
    query = EVERYTHING if query == ALL else query
    if limits := actor.limits_for(Action.POLICY):
        its = map(_any, _each([limit.terms for limit in limits]))
        query = Query(tuple(dict.fromkeys([*query.terms, *its])))
    return parse(query.text)  # refused where it is too long


def _each(choices: Sequence[Sequence[Term | Either]]) -> Iterator[Sequence[Term]]:
    """One of each, in all ways; more of them than a query takes are not looked at."""
    return (_singles(each) for each in islice(product(*choices), MOST_VALUES + 1))


def _singles(terms: Sequence[Term | Either]) -> list[Term]:
    return [one for term in terms for one in (term.terms if isinstance(term, Either) else (term,))]


def _any(terms: Sequence[Term]) -> Term | Either:
    found = tuple(dict.fromkeys(terms))
    return found[0] if len(found) == 1 else Either(found)


def _besides(query: Query) -> Iterator[Term | Either]:
    """The terms of what does not match the query."""
    for each in _each([_singles([term]) for term in query.terms]):
        yield _any([replace(term, negated=not term.negated) for term in each])


def _are_apart(query: Query, other: Query) -> bool:
    """Whether nothing can match both, since they name other models, or other sites."""
    return any(
        (mine := _named(query, field)) and (theirs := _named(other, field)) and not mine & theirs
        for field in (Field.MODEL, Field.SITE)
    )


def _named(query: Query, field: Field) -> set[str]:
    """The texts of which a gateway must have one there; none where patterns leave it open."""
    for term in query.terms:
        if isinstance(term, Term) and term.field is field and not term.negated:
            texts = {value.text for value in term.values if isinstance(value, Pattern)}
            if not any("*" in text for text in texts):
                return texts
    return set()


def holds_for(policy: FirmwarePolicy, standing: Sequence[FirmwarePolicy]) -> Query | None:
    """The gateways for which it is the one that holds: those that no newer one of its kind matches."""
    query, is_bad = parse(policy.query), policy.kind is PolicyKind.BAD
    for newer in standing:
        is_same = not is_bad or is_same_firmware(newer.version, policy.version)
        if newer.kind is policy.kind and newer.id > policy.id and is_same:
            theirs = parse(newer.query)
            if not theirs.terms:
                return None
            if not _are_apart(query, theirs):
                query = Query((*query.terms, *_besides(theirs)))
    return query


def may_clash(asked: PolicyRequest, standing: Sequence[FirmwarePolicy]) -> list[FirmwarePolicy]:
    """What says the opposite of the same version: it stands in the way where both match a gateway."""
    return [
        one
        for one in standing
        if one.kind is not asked.kind
        and is_same_firmware(one.version, asked.version)
        and not _are_apart(parse(asked.query), parse(one.query))
    ]


def clash(asked: PolicyRequest, standing: FirmwarePolicy) -> InvalidInput:
    what = "wanted" if asked.kind is PolicyKind.WANTED else "bad"
    return InvalidInput(
        f"{standing.says()}. So it cannot be {what} for the same gateways. "
        f"/mesh policy end {standing.title} ends that."
    )


# ---- how the fleet stands to it
@dataclass(frozen=True, slots=True)
class RunningCount:
    """Gateways of one version for which the same policies hold; ``new`` of them appeared lately."""

    wanted: PolicyId | None
    bad: PolicyId | None
    version: str
    gateways: int
    new: int = 0


@dataclass(frozen=True, slots=True)
class PolicyState:
    """How the gateways stand to one policy: of a wanted version how many are behind it, of a bad one how many
    run it. ``query`` finds those; ``held`` is why an update to it would not start.
    """

    policy: FirmwarePolicy
    gateways: int  # for which it holds
    affected: int
    query: str
    new: int = 0  # of those behind
    untold: int = 0  # of which nobody can tell whether they are behind
    held: str | None = None
    remedy: str | None = None  # the version that those on a bad one are to run

    @property
    def is_bad(self) -> bool:
        return self.policy.kind is PolicyKind.BAD


def compliance(
    standing: Sequence[FirmwarePolicy],
    running: Sequence[RunningCount],
    frozen: Callable[[str], str | None],
) -> tuple[PolicyState, ...]:
    """How the fleet stands to each policy, the bad versions first, the newest first.

    ``frozen`` says why a version may not be started now.
    """
    ordered = sorted(standing, key=lambda one: (one.kind is PolicyKind.WANTED, -one.id))
    return tuple(_state(one, ordered, running, frozen) for one in ordered)


def _state(
    policy: FirmwarePolicy,
    standing: Sequence[FirmwarePolicy],
    running: Sequence[RunningCount],
    frozen: Callable[[str], str | None],
) -> PolicyState:
    query, is_bad = holds_for(policy, standing), policy.kind is PolicyKind.BAD
    its = [one for one in running if policy.id == (one.bad if is_bad else one.wanted)]
    total = sum(one.gateways for one in its)
    text = "" if query is None else query.text
    if is_bad:
        wanted = {one.id: one.version for one in standing if one.kind is PolicyKind.WANTED}
        remedies = {wanted.get(one.wanted) if one.wanted is not None else None for one in its}
        remedy = remedies.pop() if len(remedies) == 1 else None
        found = f"{text} {policy.running_it}".strip()
        return PolicyState(policy, total, total, found, remedy=remedy)
    behind = [one for one in its if is_behind(one.version, policy.version)]
    untold = [one for one in its if is_untold(one.version, policy.version)]
    return PolicyState(
        policy,
        total,
        sum(one.gateways for one in behind),
        f"{text} fw:<{policy.version}".strip(),
        sum(one.new for one in behind),
        sum(one.gateways for one in untold),
        frozen(policy.version),
    )


def is_behind(present: str | None, wanted: str) -> bool:
    """Whether the version is older than the wanted one."""
    before, after = firmware_key(present), firmware_key(wanted)
    return before is not None and after is not None and before < after


def is_untold(present: str | None, wanted: str) -> bool:
    """Whether nobody can tell which of two versions is the older."""
    no_order = firmware_key(present) is None or firmware_key(wanted) is None
    return no_order and not is_same_firmware(present, wanted)
