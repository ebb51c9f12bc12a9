"""Which gateway somebody means by an id or a name, and whom they may have meant where none is called so."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.domain.errors import InvalidInput, NotFound
from bot.domain.gateways import KnownGateway, fold

_NAMED_AT_MOST = 10


@dataclass(frozen=True, slots=True)
class Called:
    """The gateways that a text may mean; names may be alike, and ids but for their case."""

    by_id: Sequence[KnownGateway]
    by_id_in_any_case: Sequence[KnownGateway]
    by_name: Sequence[KnownGateway]

    def __bool__(self) -> bool:
        return bool(self.by_id or self.by_id_in_any_case or self.by_name)


def meant(text: str, called: Called, near: Mapping[str, str]) -> KnownGateway:
    """The one with exactly this id, else with this id in another case, else with this name.

    ``near`` are names and ids that are alike, folded and as they are shown. Raises InvalidInput listing the
    ids when several are called so, NotFound with the nearest names.
    """
    found = called.by_id or called.by_id_in_any_case or called.by_name
    if not found:
        raise NotFound(_not_found(text, near))
    if len(found) > 1:
        raise InvalidInput(_ambiguous(text, [known.gateway.id for known in found]))
    return found[0]


def _ambiguous(text: str, ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:_NAMED_AT_MOST])
    more = f" and {len(ids) - _NAMED_AT_MOST} more" if len(ids) > _NAMED_AT_MOST else ""
    return f"{len(ids)} gateways are called “{text}”: {shown}{more}. Say which one by its id."


def _not_found(text: str, near: Mapping[str, str]) -> str:
    alike = [near[name] for name in difflib.get_close_matches(fold(text), near, 3, 0.5)]
    hint = (
        f"Did you mean {' or '.join(alike)}?"
        if alike
        else "Look for it with part of its name: /mesh devices roof."
    )
    return f"No gateway has the id or the name “{text}”. {hint}"
