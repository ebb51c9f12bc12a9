"""One word after the slash command to one feature: text made plain, help by role, the nearest word.

It knows no feature: the words come from outside as ``Command``s, under the titles of their features, and what
people come to do as their ``Errand``s.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final

from bot.domain.access import Action, Actor, Role, refusal, require
from bot.domain.errors import InvalidInput, NotAllowed
from bot.slack import ids
from bot.slack.ids import PageRef
from bot.slack.incoming.listeners import Click, Command, CommandCall, Feature
from bot.slack.views import blocks
from bot.slack.views.blocks import BREAK, Message

_LINK = re.compile(
    r"<(?:https?://|mailto:|tel:)[^<>|]*\|([^<>]*)>|<((?:https?://)[^<>|]*)>|<(?:mailto:|tel:)([^<>|]*)>"
)
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»", '"') | dict.fromkeys("‘’‚‛", "'") | dict.fromkeys("‐‑−", "-"))
_SINGLE_QUOTED = re.compile(r"(?<![^\s:,+\-])[‘‚]([^‘’‛\"]+)[’‛‘](?!\w)")
_CODE = re.compile(rf"(?<!{BREAK})(`+)(?!{BREAK})([^`]*)\1")
# Around a whole word or several: ``name:MT*`` and ``my_roof_1`` hold no such pair.
_BOLD = re.compile(r"(?<![^\s'+-])([*_~])(?=\S)(.+?)(?<=\S)\1(?![^\s'])")
_QUOTED = re.compile(r'"([^"]*)"')
_BOLD_NAME = re.compile(r"([*_~])(?=\S)((?:(?!\1).)+)(?<=\S)\1")
_ASIDE: Final = "\0"  # no text has it any more
# Full-width forms, where they are a sign of ours and no part of a name.
_WIDE_COLON = re.compile(r"(?<!\S)([+-]?[A-Za-z]+)：(?=\S)|(?<!\S)(\d{1,2})：(?=\d\d(?!\S))")
_WIDE_MARK = re.compile(r"(?<!\w)[＠＃](?=\S)")
_COMPARED = re.compile(r"(:|(?<!\S)(?:fw|firmware|version|for|since) ?)([≤≥<>＜＞][=＝]?|＝)", re.IGNORECASE)
_SIGNS = {"≤": "<=", "≥": ">=", "＜": "<", "＞": ">", "＝": "=", "＠": "@", "＃": "#"}
_DASH = re.compile(r"(?<!\S)[–—](?=\S)")
_SPACE = re.compile(r"[^\S ]")
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2061-\u2064\u2066-\u206f\ufeff]"
    # Between letters they belong to some scripts, and between pictures to the picture.
    r"|(?<![^\s!-/:-@\[-`{-~])[\u200c\u200d]+|[\u200c\u200d]+(?![^\s!-/:-@\[-`{-~])"
)
_WORD = re.compile(r"[a-z]{3,}")
_MENTION = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_NAMED = re.compile(r"<([@#])([A-Z0-9]+)(?:\|([^<>]*))?>")
_CALL = re.compile(r"<!(?:subteam\^)?([A-Z0-9]+|here|channel|everyone)(?:\|@?([^<>]*))?>")
_DATE = re.compile(r"<!date\^[^<>|]*\|([^<>]*)>")
_MOST_NAMED: Final = 20  # that Slack is asked about for one command
_AFTER_A_NAME: Final = " \u00a0\t\n:,"

QUERY_HELP: Final = (
    "`tag:Kyiv-office`  `tag:none`  `site:oslo`  `model:2011`  `hw:1.0.0`  `name:MT*`  `id:bmac-c0*`",
    "`fw:3.4.1`  `fw:&lt;3.4.1` (also `&lt;=` `&gt;` `&gt;=`)",
    "`is:online`  `is:offline`  `is:flapping`  `is:updating`  `for:&gt;1h` (in that state for longer)",
    "A bare word is a state, tag, site, model or version of this fleet, or part of an id or a name; in "
    "quotes it is that part only. Terms are joined by “and”; `or` stands between two terms, a comma between "
    "two values (`tag:oslo,bergen`); a `-` before a term excludes what it matches; quotes hold spaces "
    '(`tag:"Kyiv office"`).',
)
_HELPS: Final = frozenset({"", ids.HELP, "?", "hi", "hello", "start", "commands", "menu"})
_ALL: Final = "all"  # the topic of ``help`` that lists every command
# What people ask for that no command does, with what they can do instead.
_INSTEAD: Final[Mapping[str, str]] = (
    dict.fromkeys(
        ("reboot", "restart", "reset"),
        "I cannot reboot a gateway: Meshtech gives me no way to. /mesh update changes its firmware.",
    )
    | dict.fromkeys(
        ("note",),
        "A note goes with the acknowledgement: /mesh ack A-10 on my way. /mesh alerts lists what is open.",
    )
    | dict.fromkeys(
        ("export", "csv", "download"),
        "Each list has a button CSV, which sends it to you as a file: try /mesh devices or /mesh audit.",
    )
)
# Slack takes no slash command in a thread: a mention does, and needs no number there.
_HERE: Final[Mapping[str, str]] = {
    "incident": "In this thread these are about this alert: `@meshbot ack on my way`, `@meshbot take over`, "
    "`@meshbot give back`, `@meshbot assign @ana`, `@meshbot silence for 2h`.",
    "rollout": "In this thread these are about this rollout: `@meshbot approve`, `@meshbot pause`, "
    "`@meshbot resume`, `@meshbot promote`, `@meshbot abort`, `@meshbot retry`, `@meshbot cancel`.",
}
_FURTHER: Final = (
    (_ALL, "Everything that I can do", "All"),
    ("query", "How to say which gateways", "Show"),
)
_MORE: Final = (
    ("help all", "List every command"),
    ("help <command>", "Show how one command is used, with examples"),
    ("help query", "Show how to name gateways"),
)


def normalise(text: str) -> str:
    """What somebody typed before Slack changed it: entities, curly quotes, dashes, links, hard spaces.

    What is pasted along is formatting: backquotes, bold around a whole word, marks without width.
    What no database takes, NUL and half a surrogate pair, goes as well.
    """
    text = text.replace("\0", "").encode(errors="replace").decode()
    text = _LINK.sub(lambda match: match[1] or match[2] or match[3] or "", text)
    text = _CALL.sub(lambda match: f"@{match[2] or match[1]}", _DATE.sub(r"\1", text))  # typed, < is &lt;
    text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    text = _INVISIBLE.sub("", text)  # but for what the bot itself puts around a mark that is a name's own
    text = _SINGLE_QUOTED.sub(r'"\1"', text).translate(_QUOTES)
    text = _unformatted(_SPACE.sub(" ", text)).replace(BREAK, "")
    text = _WIDE_COLON.sub(lambda match: f"{match[1] or match[2]}:", text)
    text = _WIDE_MARK.sub(lambda match: _SIGNS[match[0]], text)
    text = _COMPARED.sub(lambda match: match[1] + "".join(_SIGNS.get(sign, sign) for sign in match[2]), text)
    return _DASH.sub("-", text).strip()


def _unformatted(text: str) -> str:
    text = _CODE.sub(lambda code: re.sub("([*_~])", rf"{BREAK}\1{BREAK}", code[2]), text)  # no marks there
    quoted = iter(_QUOTED.findall(text))  # in there it is formatting only around the whole
    text = _bare(_BOLD, _QUOTED.sub(_ASIDE, text))
    return re.sub(_ASIDE, lambda _: f'"{_bare(_BOLD_NAME, next(quoted), whole=True)}"', text)


def _bare(marks: re.Pattern[str], text: str, *, whole: bool = False) -> str:
    """Without the pairs of marks; one may stand in another."""
    while (bare := re.sub(f"\\A(?:{marks.pattern})\\Z" if whole else marks, r"\2", text)) != text:
        text = bare
    return text


def unnamed(text: str, mark: str) -> list[str]:
    """The people (``@``) or channels (``#``) that a text mentions by their id alone; not more than a few."""
    found = (match[2] for match in _NAMED.finditer(text) if match[1] == mark and not match[3])
    return list(dict.fromkeys(found))[:_MOST_NAMED]


def in_plain_names(text: str, names: Mapping[str, str]) -> str:
    """Mentions as people read them, ``@ana`` and ``#ops``: elsewhere an id means nothing."""

    def named(match: re.Match[str]) -> str:
        return match[1] + (match[3] or names.get(match[2]) or match[2]).lstrip(match[1])

    return _NAMED.sub(named, text)


def unquoted(text: str) -> str:
    """A name without the quotes around it."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        return text[1:-1].strip()
    return text


def said_to(bot_user_id: str | None, text: str) -> str:
    """What a message says to the bot: what follows its name, else what stands before it."""
    name = next((one for one in _MENTION.finditer(text) if bot_user_id in {None, one[1]}), None)
    if name is None:
        return text
    return text[name.end() :].lstrip(_AFTER_A_NAME) or text[: name.start()].rstrip(_AFTER_A_NAME)


class CommandRouter:
    """Sends a call to the command its first word names; ``help`` is its own.

    Raises ValueError for a word that two commands claim, or that is answered without one.
    """

    def __init__(self, features: Sequence[Feature], slash: str) -> None:
        self._chapters: dict[str, list[Command]] = {}  # of ``help``, by their headings
        for one in features:
            if one.commands:
                self._chapters.setdefault(one.title, []).extend(one.commands.values())
        self._commands = {word: command for one in features for word, command in one.commands.items()}
        self._by_any_word: dict[str, Command] = {}
        for command in self._commands.values():
            for word in (command.word, *command.also):
                if word in self._by_any_word or word in _HELPS or word in _INSTEAD:
                    raise ValueError(f"the word {word} is claimed twice")
                self._by_any_word[word] = command
        self._guesses = [one.guess for one in features if one.guess is not None]
        self._in_threads = [(kind, listener) for one in features for kind, listener in one.in_threads.items()]
        self._errands = [errand for one in features for errand in one.errands]
        self._slash = slash

    def feature(self) -> Feature:
        """The buttons of ``help``, which lead from one page of it to another."""
        return Feature(clicks={ids.HELP: self._turn})

    async def _turn(self, click: Click) -> None:
        require(click.actor, Action.READ)
        await click.respond.answer(self._help(click.actor, click.page.question))

    async def route(self, word: str, call: CommandCall) -> None:
        """To the listener of the word, one of ours or any other. Raises BotError."""
        require(call.actor, Action.READ)
        for kind, listener in self._in_threads if call.about else ():
            if call.about and call.about[0] == kind and await listener(word, call):
                return
        if word in _HELPS:
            topic = _ALL if word == "commands" else call.text.casefold()
            here = _HERE.get(call.about[0], "") if call.about else ""
            await call.respond.answer(self._help(call.actor, topic, here))
            return
        command = self._by_any_word.get(word)
        if command is None:
            as_typed = replace(call, text=f"{word} {call.text}".strip())
            for guess in self._guesses:
                if await guess(as_typed):
                    return
            await call.respond.answer(self._unknown(word))
            return
        self._require(call.actor, command, command.word)
        await command.listener(call)

    def asks_anew(self, word: str) -> bool:
        """Whether the word needs more than an operator, which must hold at this moment."""
        command = self._by_any_word.get(word)
        return command is not None and _role(command) > Role.OPERATOR

    def known(self, word: str) -> str:
        """The command that somebody called, for the log and the audit: only ever a word of ours."""
        return self._by_any_word[word].word if word in self._by_any_word else ids.HELP

    def split(self, text: str) -> tuple[str, str]:
        """What somebody typed, normalised, as the word of the command and the rest, once for all who ask.

        What ``help`` shows may be pasted as it stands.
        """
        word, _, rest = text.partition(" ")
        if word == self._slash:
            word, _, rest = rest.strip().partition(" ")
        return word.casefold(), rest.strip()

    def _require(self, actor: Actor, command: Command, word: str) -> None:
        """The coarse gate; the services decide what exactly somebody may do."""
        needed = _role(command)
        if max(actor.role, actor.possible) >= needed:
            return
        raise NotAllowed(refusal(actor, f"use {self._slash} {word}", needed))

    def _help(self, actor: Actor, topic: str, here: str = "") -> Message:
        topic = topic.removeprefix(self._slash).strip()
        if topic in {"", "me", "please"}:
            return self._what_for(actor, here)
        if topic in {_ALL, "commands"}:
            return self._overview(actor)
        if topic in {"query", "queries"}:
            return blocks.message(
                "A query names gateways:\n" + "\n".join(QUERY_HELP),
                [blocks.section("*A query names gateways*"), *blocks.lines(QUERY_HELP)],
            )
        command = self._by_any_word.get(topic.partition(" ")[0])
        if command is None:
            raise InvalidInput(f"There is no help on “{topic}”. {self._nearest(topic)}")
        return self._topic(command)

    def _what_for(self, actor: Actor, here: str) -> Message:
        """The few things that people come for; every command is behind one more button."""
        title = "What would you like to do?"
        shown, said = [blocks.header(title)], [title]
        if here:
            shown.append(blocks.section(here))
            said.append(here)
        for errand in self._errands:
            typed = " or ".join(f"`{_entities(f'{self._slash} {text}')}`" for text in errand.typed)
            needed = Role[errand.needs.upper()]
            may = max(actor.role, actor.possible) >= needed
            row = f"{blocks.bold(errand.title)}: {typed}{'' if may else f' (needs the role {needed.word})'}"
            shown.append(blocks.section(row, errand.button if may else None))
            said.append(row)
        for topic, text, label in _FURTHER:
            row = f"{text}: `{self._slash} help {topic}`"
            shown.append(blocks.section(row, blocks.button(label, ids.HELP, PageRef(ids.HELP, 0, topic))))
            said.append(row)
        return blocks.message("\n".join(said), shown)

    def _overview(self, actor: Actor) -> Message:
        chapters: list[list[str]] = []
        hidden = 0
        for title, commands in self._chapters.items():
            usable = [command for command in commands if _role(command) <= max(actor.role, Role.VIEWER)]
            hidden += len(commands) - len(usable)
            if usable:
                chapters.append([blocks.bold(title), *map(self._row, usable)])
        chapters.append(
            [blocks.bold("Help"), *(f"`{self._slash} {_entities(use)}`  {says}" for use, says in _MORE)]
        )
        title = "What I can do"
        shown = [blocks.header(title), *(block for rows in chapters for block in blocks.lines(rows))]
        said = [title, *(row for rows in chapters for row in rows)]
        if hidden:
            small = f"{blocks.count(hidden, 'command needs', 'commands need')} a role you do not have."
            shown.append(blocks.context(small))
            said.append(small)
        return blocks.message("\n".join(said), shown)

    def _topic(self, command: Command) -> Message:
        rows = [f"`{self._usage(command)}`", blocks.escape(command.summary)]
        if command.examples:
            rows.append("For example:")
            rows += [f"`{_entities(f'{self._slash} {example}')}`" for example in command.examples]
        if _role(command) > Role.VIEWER:
            rows.append(f"Needs the role {_role(command).word}.")
        if "query" in command.usage:
            rows.append(f"`{self._slash} help query` tells how to name gateways.")
        return blocks.message("\n".join(rows), blocks.lines(rows))

    def _unknown(self, word: str) -> Message:
        if (instead := _INSTEAD.get(word)) is not None:
            return blocks.sentence(instead)
        said = f"I do not know “{blocks.name(word, 40)}”. {self._nearest(word)}"
        near = [self._commands[one] for one in self._near(word)]
        rows = [said, *map(self._row, near)]
        return blocks.message("\n".join(rows), blocks.lines(rows))

    def _nearest(self, word: str) -> str:
        near = self._near(word)
        if not near:
            return f"{self._slash} help lists what I can do."
        return f"Did you mean {' or '.join(near)}? {self._slash} help lists what I can do."

    def _near(self, word: str) -> list[str]:
        starts = [one for one in self._commands if len(word) > 1 and one.startswith(word)]
        takes = [one for one, command in self._commands.items() if word in _WORD.findall(command.usage)]
        close = get_close_matches(word, self._commands, n=3, cutoff=0.6)
        other = [command.word for one, command in self._by_any_word.items() if word and one.startswith(word)]
        return list(dict.fromkeys([*starts, *other, *takes, *close]))[:3]

    def _row(self, command: Command) -> str:
        return f"`{self._usage(command)}`  {blocks.escape(command.summary)}"

    def _usage(self, command: Command) -> str:
        return _entities(f"{self._slash} {command.usage}")


def _role(command: Command) -> Role:
    return Role[command.needs.upper()]


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
