"""Block Kit as plain functions: the few blocks the bot uses, within Slack's limits, with names made harmless.

Every text that comes from outside passes ``escape``: a gateway called ``<!channel>`` pings nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Block = dict[str, Any]
View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: ``text`` says the whole of it in plain words (screen readers read that), blocks show it."""

    text: str
    blocks: Sequence[Block] = field(default_factory=tuple)
