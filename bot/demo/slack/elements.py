"""The small parts of Block Kit and their limits: texts and their markup, buttons, menus, inputs, rich text.

Used by `limits`. A `Check` gathers what was found on one surface; `refused` tells what Slack itself
would not take from what only the bot must not send.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]


class Problem(NamedTuple):
    where: str
    what: str
    refused: bool

    def __str__(self) -> str:
        return f"{self.where} {self.what}"


class Check:
    """What was found so far in one message, modal or home tab."""

    def __init__(self, surface: str) -> None:
        self.surface = surface
        self.found: list[Problem] = []

    def refuse(self, where: str, what: str) -> None:
        self.found.append(Problem(where, what, True))

    def frown(self, where: str, what: str) -> None:
        self.found.append(Problem(where, what, False))

    def add(self, refused: bool, where: str, what: str) -> None:
        self.found.append(Problem(where, what, refused))

    def mrkdwn(self, where: str, words: str) -> None:
        self.found += [Problem(where, what, False) for what in problems_of_mrkdwn(words)]

    def plain(self, where: str, words: str) -> None:
        self.found += [Problem(where, what, False) for what in problems_of_plain(words)]

    def count(self, where: str, items: object, fewest: int, most: int) -> bool:
        """Whether `items` is a list that can be looked into; a wrong number is noted."""
        if not isinstance(items, list):
            self.refuse(where, "is not a list")
            return False
        if not fewest <= len(items) <= most:
            self.refuse(where, f"are {len(items)}, not {fewest} to {most}")
        return True

    def keys(
        self, where: str, thing: Json, allowed: frozenset[str] | set[str], needed: frozenset[str] | set[str]
    ) -> None:
        for name in sorted(set(thing) - allowed):
            self.refuse(where, f"has the unknown property {name!r}")
        for name in sorted(needed - set(thing)):
            self.refuse(where, f"lacks {name!r}")

    def rich_text(self, where: str, block: Json) -> None:
        elements = block.get("elements")
        if not isinstance(elements, list):
            self.refuse(f"{where}.elements", "is not a list")
            return
        for number, part in enumerate(elements):
            _rich_part(self, f"{where}.elements[{number}]", part)


def text(check: Check, where: str, value: object, most: int, *, plain: bool = False) -> None:
    """A text object of 1 to `most` characters; `plain` where markup is not allowed."""
    if not isinstance(value, dict) or value.get("type") not in ("plain_text", "mrkdwn"):
        check.refuse(where, "is not a text object")
        return
    words = value.get("text")
    if plain and value["type"] != "plain_text":
        check.refuse(where, "must be plain_text")
    own = {"emoji"} if value["type"] == "plain_text" else {"verbatim"}
    check.keys(where, value, {"type", "text"} | own, {"text"})
    if not isinstance(words, str) or not words:
        check.refuse(where, "is empty")
        return
    if not words.strip():
        check.frown(where, "is blank")
    if len(words) > most:
        check.refuse(where, f"has {len(words)} characters, more than {most}")
    if value["type"] == "mrkdwn":
        check.mrkdwn(where, words)
    else:
        check.plain(where, words)


def slack_file(check: Check, where: str, image: Json) -> None:
    """An image has an address or an uploaded file, and words for those who do not see it."""
    url, file = image.get("image_url"), image.get("slack_file")
    if (url is None) == (file is None):
        check.refuse(where, "needs image_url or slack_file, and only one")
    if url is not None and (not str(url).startswith(("http://", "https://")) or len(url) > 3000):
        check.refuse(f"{where}.image_url", "is no http address of at most 3000 characters")
    if file is not None and (not isinstance(file, dict) or len({"id", "url"} & set(file)) != 1):
        check.refuse(f"{where}.slack_file", "needs an id or a url")
    if not 0 < len(str(image.get("alt_text") or "")) <= 2000:
        check.refuse(f"{where}.alt_text", "needs 1 to 2000 characters")


def element(check: Check, where: str, value: object, place: str, seen: set[str] | None = None) -> None:
    """One element in a block of the kind `place`; `seen` are the action ids of that block so far."""
    if not isinstance(value, dict) or value.get("type") not in _ELEMENTS:
        check.refuse(
            where, f"has the unknown type {value.get('type') if isinstance(value, dict) else value!r}"
        )
        return
    rule = _ELEMENTS[value["type"]]
    if place not in rule.places:
        check.refuse(where, f"{value['type']} is not allowed in {place}")
    check.keys(where, value, {"type"} | rule.keys | rule.required, rule.required)
    if "action_id" in rule.keys:
        _action_id(check, where, value, seen if seen is not None else set())
    if value["type"] == "file_input" and check.surface == "message":
        check.refuse(where, "file_input is not allowed in a message")
    for name in ("text", "placeholder", "label"):
        if name in rule.keys | rule.required and value.get(name) is not None:
            text(check, f"{where}.{name}", value[name], 150 if name == "placeholder" else 75, plain=True)
    for name, most in _LENGTHS.items():
        if name in rule.keys | rule.required and len(str(value.get(name) or "")) > most:
            check.refuse(f"{where}.{name}", f"has more than {most} characters")
    if value.get("style") not in (None, "primary", "danger"):
        check.refuse(f"{where}.style", "is neither primary nor danger")
    if value.get("confirm") is not None:
        _confirm(check, f"{where}.confirm", value["confirm"])
    _special(check, where, value)


def _action_id(check: Check, where: str, value: Json, seen: set[str]) -> None:
    action_id = value.get("action_id")
    if action_id is None:
        check.frown(where, "has no action_id")
        return
    if not isinstance(action_id, str) or not 0 < len(action_id) <= 255:
        check.refuse(f"{where}.action_id", "needs 1 to 255 characters")
    if action_id in seen:
        check.refuse(where, f"repeats the action_id {action_id!r} in its block")
    seen.add(str(action_id))


def _special(check: Check, where: str, value: Json) -> None:
    kind = str(value["type"])
    if kind == "image":
        slack_file(check, where, value)
    elif kind in ("static_select", "multi_static_select"):
        _menu(check, where, value)
    elif kind in ("overflow", "radio_buttons", "checkboxes"):
        most = 5 if kind == "overflow" else 10
        _options(
            check,
            f"{where}.options",
            value.get("options"),
            most,
            markup=kind != "overflow",
            url=kind == "overflow",
        )
    elif kind in ("datepicker", "timepicker"):
        name, shape = (
            ("initial_date", r"\d{4}-\d\d-\d\d") if kind == "datepicker" else ("initial_time", r"\d\d:\d\d")
        )
        if value.get(name) is not None and not re.fullmatch(shape, str(value[name])):
            check.refuse(f"{where}.{name}", "has the wrong form")
    elif kind == "datetimepicker":
        if (
            value.get("initial_date_time") is not None
            and not 10**9 <= int(value["initial_date_time"]) < 10**10
        ):
            check.refuse(f"{where}.initial_date_time", "needs 10 digits")
    elif kind == "file_input" and not 1 <= int(value.get("max_files", 10)) <= 10:
        check.refuse(f"{where}.max_files", "is not 1 to 10")
    for name in ("min_length", "max_length"):
        if value.get(name) is not None and not 0 <= int(value[name]) <= 3000:
            check.refuse(f"{where}.{name}", "is not 0 to 3000")
    if value.get("max_selected_items") is not None and int(value["max_selected_items"]) < 1:
        check.refuse(f"{where}.max_selected_items", "is below 1")


def _menu(check: Check, where: str, value: Json) -> None:
    options, groups = value.get("options"), value.get("option_groups")
    if (options is None) == (groups is None):
        check.refuse(where, "needs options or option_groups, and only one")
    if options is not None:
        _options(check, f"{where}.options", options, 100)
    if groups is not None:
        _groups(check, f"{where}.option_groups", groups)
    chosen = value.get("initial_option")
    if chosen is not None and options is not None and chosen not in options:
        check.refuse(f"{where}.initial_option", "is none of the options")


def problems_of_options(answer: Json) -> list[str]:
    """What is wrong with the answer to a block_suggestion: at most 100 options, or 100 groups of 100."""
    check = Check("message")
    if "option_groups" in answer:
        _groups(check, "option_groups", answer["option_groups"])
    else:
        options = answer.get("options")
        if options != []:
            _options(check, "options", options, 100)
    return [str(problem) for problem in check.found]


def _groups(check: Check, where: str, groups: object) -> None:
    if check.count(where, groups, 1, 100) and isinstance(groups, list):
        for number, group in enumerate(groups):
            text(check, f"{where}[{number}].label", group.get("label"), 75, plain=True)
            _options(check, f"{where}[{number}].options", group.get("options"), 100)


def _options(
    check: Check, where: str, options: object, most: int, *, markup: bool = False, url: bool = False
) -> None:
    if not check.count(where, options, 1, most) or not isinstance(options, list):
        return
    for number, option in enumerate(options):
        spot = f"{where}[{number}]"
        if not isinstance(option, dict):
            check.refuse(spot, "is not an object")
            continue
        check.keys(
            spot, option, {"text", "value", "description"} | ({"url"} if url else set()), {"text", "value"}
        )
        text(check, f"{spot}.text", option.get("text"), 75, plain=not markup)
        if option.get("description") is not None:
            text(check, f"{spot}.description", option["description"], 75, plain=not markup)
        if not 0 < len(str(option.get("value") or "")) <= 150:
            check.refuse(f"{spot}.value", "needs 1 to 150 characters")
        if len(str(option.get("url") or "")) > 3000:
            check.refuse(f"{spot}.url", "has more than 3000 characters")
    values = [option.get("value") for option in options if isinstance(option, dict)]
    if len(set(values)) < len(values):
        check.frown(where, "repeat a value: which one was chosen cannot be told")


def _confirm(check: Check, where: str, value: Json) -> None:
    check.keys(
        where, value, {"title", "text", "confirm", "deny", "style"}, {"title", "text", "confirm", "deny"}
    )
    for name, most, plain in (
        ("title", 100, True),
        ("text", 300, False),
        ("confirm", 30, True),
        ("deny", 30, True),
    ):
        if name in value:
            text(check, f"{where}.{name}", value[name], most, plain=plain)
    if value.get("style") not in (None, "primary", "danger"):
        check.refuse(f"{where}.style", "is neither primary nor danger")


def _rich_part(check: Check, where: str, part: object) -> None:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or kind not in _RICH_PARTS:
        check.refuse(where, f"has the unknown type {kind!r}")
        return
    check.keys(where, part, {"type", "elements"} | _RICH_PARTS[kind], {"elements"})
    if kind == "rich_text_list" and part.get("style") not in ("bullet", "ordered"):
        check.refuse(f"{where}.style", "is neither bullet nor ordered")
    for number, inner in enumerate(part.get("elements") or []):
        spot = f"{where}.elements[{number}]"
        if kind == "rich_text_list":
            if not isinstance(inner, dict) or inner.get("type") != "rich_text_section":
                check.refuse(spot, "is not a rich_text_section")
            else:
                _rich_part(check, spot, inner)
        else:
            _rich_word(check, spot, inner)


def _rich_word(check: Check, where: str, word: object) -> None:
    kind = word.get("type") if isinstance(word, dict) else None
    if not isinstance(word, dict) or kind not in _RICH_WORDS:
        check.refuse(where, f"has the unknown type {kind!r}")
    elif kind == "broadcast":
        check.frown(where, f"pings everybody with @{word.get('range')}")
    elif not word.get(_RICH_WORDS[kind]):
        check.refuse(where, f"lacks {_RICH_WORDS[kind]!r}")


def texts_of_rich_text(block: Json) -> Iterator[str]:
    """The words of a rich_text block, for counting and for drawing it in a terminal."""
    for part in block.get("elements") or []:
        if not isinstance(part, dict):
            continue
        if str(part.get("type")).startswith("rich_text_"):
            yield from texts_of_rich_text(part)
        else:
            kind = str(part.get("type"))
            shown = part.get("text") or part.get("fallback") or part.get(_RICH_WORDS.get(kind, "text")) or ""
            yield f":{shown}:" if kind == "emoji" else str(shown)


_RICH_PARTS: dict[str, set[str]] = {
    "rich_text_section": set(),
    "rich_text_list": {"style", "indent", "offset", "border"},
    "rich_text_preformatted": {"border", "language"},
    "rich_text_quote": {"border"},
}
_RICH_WORDS = {
    "text": "text",
    "link": "url",
    "emoji": "name",
    "user": "user_id",
    "channel": "channel_id",
    "usergroup": "usergroup_id",
    "date": "timestamp",
    "color": "value",
    "team": "team_id",
    "broadcast": "range",
}
_LENGTHS = {"value": 2000, "url": 3000, "accessibility_label": 75, "agent_prompt": 4000}


class _Rule(NamedTuple):
    places: frozenset[str]
    required: frozenset[str]
    keys: frozenset[str]


def _rule(places: str, required: str, keys: str) -> _Rule:
    return _Rule(frozenset(places.split()), frozenset(required.split()), frozenset(keys.split()))


_ALL = "section actions input"
_PICK = "action_id placeholder confirm focus_on_load"
_MULTI = "section input"
_ELEMENTS: dict[str, _Rule] = {
    "button": _rule(
        "section actions", "text", "action_id url value style confirm accessibility_label agent_prompt"
    ),
    "overflow": _rule("section actions", "options", "action_id confirm"),
    "image": _rule("section context", "alt_text", "image_url slack_file"),
    "static_select": _rule(_ALL, "", f"{_PICK} options option_groups initial_option"),
    "external_select": _rule(_ALL, "", f"{_PICK} initial_option min_query_length"),
    "users_select": _rule(_ALL, "", f"{_PICK} initial_user"),
    "conversations_select": _rule(
        _ALL, "", f"{_PICK} initial_conversation default_to_current_conversation response_url_enabled filter"
    ),
    "channels_select": _rule(_ALL, "", f"{_PICK} initial_channel response_url_enabled"),
    "multi_static_select": _rule(
        _MULTI, "", f"{_PICK} options option_groups initial_options max_selected_items"
    ),
    "multi_external_select": _rule(
        _MULTI, "", f"{_PICK} initial_options min_query_length max_selected_items"
    ),
    "multi_users_select": _rule(_MULTI, "", f"{_PICK} initial_users max_selected_items"),
    "multi_conversations_select": _rule(
        _MULTI, "", f"{_PICK} initial_conversations default_to_current_conversation filter max_selected_items"
    ),
    "multi_channels_select": _rule(_MULTI, "", f"{_PICK} initial_channels max_selected_items"),
    "datepicker": _rule(_ALL, "", f"{_PICK} initial_date"),
    "timepicker": _rule(_ALL, "", f"{_PICK} initial_time timezone"),
    "datetimepicker": _rule("actions input", "", "action_id confirm focus_on_load initial_date_time"),
    "checkboxes": _rule(_ALL, "options", "action_id confirm focus_on_load initial_options"),
    "radio_buttons": _rule(_ALL, "options", "action_id confirm focus_on_load initial_option"),
    "plain_text_input": _rule(
        "input", "", f"{_PICK} initial_value multiline min_length max_length dispatch_action_config"
    ),
    "email_text_input": _rule("input", "", f"{_PICK} initial_value dispatch_action_config"),
    "url_text_input": _rule("input", "", f"{_PICK} initial_value dispatch_action_config"),
    "number_input": _rule(
        "input", "is_decimal_allowed", f"{_PICK} initial_value min_value max_value dispatch_action_config"
    ),
    "file_input": _rule("input", "", "action_id filetypes max_files"),
    "rich_text_input": _rule("input", "", f"{_PICK} initial_value dispatch_action_config"),
    "feedback_buttons": _rule("context_actions", "positive_button negative_button", "action_id"),
    "icon_button": _rule(
        "context_actions", "icon text", "action_id value confirm accessibility_label visible_to_user_ids"
    ),
}


# How a text is marked up stands on docs.slack.dev/messaging/formatting-message-text.
_TOKEN = re.compile(r"<([^<>]*)>")
_BARE_AND = re.compile(r"&(?!(?:amp|lt|gt);)")
_QUOTE = re.compile(r"^>(?:>>)?", re.MULTILINE)
_PING = re.compile(r"<!(channel|here|everyone|group)(\|[^>]*)?>")
_PERSON = re.compile(r"@[UW][A-Z0-9]{5,}(\|[^|]*)?")
_CHANNEL = re.compile(r"#[CGD][A-Z0-9]{5,}(\|[^|]*)?")
_GROUP = re.compile(r"!subteam\^S[A-Z0-9]{5,}(\|[^|]*)?")
_LINK = re.compile(r"(https?://|mailto:|tel:|slack://)[^|\s]+(\|[^|]+)?")
_DATE = re.compile(
    r"!date\^(?P<at>-?\d+)\^(?P<shape>[^^|]*)(\^(?P<link>[^|]+))?\|(?P<fallback>.*)", re.DOTALL
)
_DATE_TOKENS = frozenset(
    f"{day}{pretty}" for day in ("date", "date_short", "date_long") for pretty in ("", "_pretty")
) | {"date_num", "time", "time_secs", "ago"}


def problems_of_mrkdwn(text: str) -> list[str]:
    """What is wrong with a text that Slack parses: the `text` of a message, or a `mrkdwn` object."""
    return [*_pings(text), *_tokens(text), *_bare(text)]


def problems_of_plain(text: str) -> list[str]:
    """What is wrong with a text that Slack shows as it is (`plain_text`, `raw_text`): visible markup."""
    found = list(_pings(text))
    if re.search(r"<(!date\^|!subteam\^|@[UW]|#C|https?://)", text):
        found.append(f"plain text would show its markup: {_short(text)}")
    return found


def _pings(text: str) -> Iterator[str]:
    for match in _PING.finditer(text):
        yield f"pings everybody with <!{match[1]}>"


def _tokens(text: str) -> Iterator[str]:
    for match in _TOKEN.finditer(text):
        inner = match[1]
        if _PING.fullmatch(match[0]):
            continue
        if inner.startswith("!date"):
            yield from _date(inner)
        elif not any(shape.fullmatch(inner) for shape in (_PERSON, _CHANNEL, _GROUP, _LINK)):
            yield f"<{_short(inner)}> is neither a mention, a date nor a link: escape it"


def _date(inner: str) -> Iterator[str]:
    match = _DATE.fullmatch(inner)
    if match is None:
        yield f"<{_short(inner)}> is not <!date^seconds^format|fallback>"
        return
    if len(match["at"]) > 10:
        yield f"<{_short(inner)}> counts no seconds (too many digits)"
    named = re.findall(r"\{([^}]*)\}", match["shape"])
    if not named or match["shape"].count("{") != len(named):
        yield f"<{_short(inner)}> names no token such as {{date_short}}"
    for name in named:
        if name not in _DATE_TOKENS:
            yield f"{{{name}}} is no date token"
    if not match["fallback"].strip():
        yield f"<{_short(inner)}> has no fallback text"


def _bare(text: str) -> Iterator[str]:
    if match := _BARE_AND.search(text):
        yield f"an & is not escaped: {_around(text, match.start())}"
    rest = _QUOTE.sub("", _TOKEN.sub("", text))
    for sign in "<>":
        if (at := rest.find(sign)) >= 0:
            yield f"a {sign} is not escaped: {_around(rest, at)}"


def _around(text: str, at: int) -> str:
    return repr(text[max(0, at - 15) : at + 15])


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
