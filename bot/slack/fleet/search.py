"""``devices``, ``device``, ``tags`` and ``firmware``: listeners that read. Writing is `renames_and_tags`.

Each parses, asks the service once or twice, and draws; a page of a list is drawn by the same function
whether a command or a button asked for it.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from bot.domain.access import Action, Actor
from bot.domain.errors import InvalidInput
from bot.domain.fleet.firmware_policy import PolicyState
from bot.domain.gateways import GatewayId
from bot.domain.query import Field, Query, WordRead, bare_words, exactly, parse
from bot.services.fleet.search import FleetService
from bot.slack import ids
from bot.slack.fleet.free_text import FreeText
from bot.slack.fleet.views import search as views
from bot.slack.fleet.views.firmware_policy import with_policy
from bot.slack.incoming.command_router import unquoted
from bot.slack.incoming.listeners import (
    Click,
    CommandCall,
    Declarations,
    Errand,
    Feature,
    Submission,
    SubmissionAnswer,
    ViewCalls,
)
from bot.slack.paging import ListFile, ListHandler, check_question
from bot.slack.views.blocks import Message
from bot.slack.views.csv_file import CsvFile
from bot.slack.views.paging import DEVICE, DEVICES, Door, last_offset, open_button
from bot.slack.views.portal_links import NO_PORTAL, Portal

Mention = Callable[[GatewayId], Awaitable[str | None]]
"""What another feature says of a gateway: a line of mrkdwn with its names escaped, or nothing."""

SaidOfGateway = Callable[[str, str], Awaitable[Sequence[str]]]
"""The same, as the card of a gateway shows it: by the names of its site and of itself."""

_RECENT = 5
_NOTHING_SAID = re.compile(
    r"^(?:(?:all|the|me|us|devices|gateways|which|what|many|much|is|are)(?: |$))+", re.IGNORECASE
)


on = Declarations("Gateways")
_ERRANDS = (
    Errand(
        "See what is offline",
        ("offline", "oslo offline for 24h"),
        open_button(Door(DEVICES, "is:offline", "what is offline"), "Show"),
    ),
    Errand(
        "Find a gateway",
        ("MT10225", "oslo fw:<3.4.1"),
        open_button(Door(DEVICES, "", "all gateways"), "List"),
    ),
)


async def nothing(_site: str, _gateway_id: str) -> Sequence[str]:
    """What is said of a site where no book is."""
    return ()


class FleetCommands:
    """Reads the fleet for anybody who may read."""

    def __init__(
        self,
        fleet: FleetService,
        modals: ViewCalls,
        *,
        now: Callable[[], datetime],
        incident_of: Mention,
        rollout_of: Mention,
        policies: Callable[[], Awaitable[Sequence[PolicyState]]],
        said_of_site: SaidOfGateway = nothing,
        portal: Portal = NO_PORTAL,
    ) -> None:
        self._policies = policies
        self._portal = portal
        self._modals = modals
        self._fleet = fleet
        self._now = now
        self._incident_of = incident_of
        self._rollout_of = rollout_of
        self._said_of_site = said_of_site

    def feature(self) -> Feature:
        free_text = FreeText(self._fleet, draw_one=self._device_page, draw_all=self._page_of)
        return on.of(self, guess=free_text.guess, errands=_ERRANDS)

    def lists(self) -> Mapping[str, ListHandler]:
        return {
            DEVICES: ListHandler(self._devices_page, self.renew, self._devices_file),
            DEVICE: ListHandler(self._device_page, self.renew),
            views.TAGS: ListHandler(self._tags_page, self.renew),
            views.FIRMWARE: ListHandler(self._firmware_page, self.renew),
        }

    @on.command(
        "devices [query]",
        "List gateways, worst first",
        examples=("devices offline for 24h", "devices tag:Kyiv-office fw:<3.4.1"),
        also=(
            *("list", "gateways", "all", "ls", "find", "search", "show", "count"),
            *("which", "what", "who", "how", "is", "are"),
        ),
    )
    async def devices(self, call: CommandCall) -> None:
        query, words = await self._fleet.understand(_NOTHING_SAID.sub("", call.text))
        await call.respond.answer(await self._page_of(query, 0, words))

    @on.command(
        "device <id or name>",
        "Show one gateway: state, facts, last changes",
        examples=("device MT10225",),
        also=("gateway",),
    )
    async def device(self, call: CommandCall) -> None:
        wanted = unquoted(call.text)
        if not wanted:
            raise InvalidInput("Which gateway? Give its id or its name: device MT10225.")
        known = await self._fleet.find(wanted)
        await call.respond.answer(await self._device_page(call.actor, 0, known.gateway.id))

    @on.command("tags", "List tags with their gateways", also=("labels", "label"))
    async def tags(self, call: CommandCall) -> None:
        """``label oslo`` asks for the gateways of one."""
        if call.text.strip():
            await self.devices(call)
        else:
            await call.respond.answer(await self._tags_page(call.actor, 0, ""))

    @on.command(
        "firmware [model]",
        "List firmware versions with the gateways on each",
        examples=("firmware 2011",),
        also=("versions", "version", "models", "model"),
    )
    async def firmware(self, call: CommandCall) -> None:
        """Where a version is named instead of a model, its gateways."""
        model = unquoted(call.text)
        check_question(model)
        of_version = exactly(Field.FIRMWARE, model) if model else None
        if of_version and not await self._fleet.running(model):
            query = parse(of_version)
            if (await self._fleet.counts(query)).total:
                await call.respond.answer(await self._page_of(query, 0))
                return
        await call.respond.answer(await self._firmware_page(call.actor, 0, model))

    @on.click(ids.GATEWAY_FIND)
    async def ask_which(self, click: Click) -> None:
        """From Slack's menu of shortcuts."""
        await self._modals.open(click.trigger_id, views.find_dialog())

    @on.submission(ids.GATEWAY_FIND)
    async def find(self, sent: Submission) -> SubmissionAnswer:
        try:
            query, _ = await self._fleet.understand(sent.values.get(ids.QUERY, ""))
            check_question(query.text)
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.QUERY: str(error)})
        page = await self._fleet.search(query, 0, views.DEVICES_PAGE)
        found = views.found_dialog(page.rows, page.counts.total, query.text, self._now())
        return SubmissionAnswer(view=found)

    async def _devices_page(self, _actor: Actor, offset: int, question: str) -> Message:
        return await self._page_of(parse(question), offset)

    async def _page_of(self, query: Query, offset: int, words: Sequence[WordRead] = ()) -> Message:
        page = await self._fleet.search(query, offset, views.DEVICES_PAGE)
        if page.total and not page.rows:  # the list became shorter since the button was drawn
            offset = last_offset(page.total, views.DEVICES_PAGE)
            page = await self._fleet.search(query, offset, views.DEVICES_PAGE)
        near = [] if page.total else await self._fleet.tags_near(bare_words(query))
        place = page.offset, query.text, page.as_of
        return views.devices(page.rows, page.counts, *place, self._now(), words, near)

    async def _device_page(self, actor: Actor, _offset: int, gateway_id: str) -> Message:
        known = await self._fleet.gateway(gateway_id)
        gateway = known.gateway
        card = views.Card(
            known,
            await self._fleet.recent_events(gateway.id, _RECENT),
            (await self._fleet.snapshot_status()).as_of,
            actor,
            await self._incident_of(gateway.id),
            await self._rollout_of(gateway.id),
            self._portal.gateway(gateway.id, known.site),
            await self._said_of_site(known.site, gateway.id),
        )
        return views.device(card, self._now())

    async def _tags_page(self, _actor: Actor, offset: int, _question: str) -> Message:
        seen = (await self._fleet.snapshot_status()).as_of
        return views.tags(await self._fleet.tags(), offset, seen, self._now())

    async def _firmware_page(self, actor: Actor, offset: int, model: str) -> Message:
        rows = [(one.firmware, one.gateways) for one in await self._fleet.firmware(model or None)]
        models: list[str] = []
        if model and not rows:
            found = {one.firmware.model for one in await self._fleet.firmware()}
            models = sorted(one for one in found if one)
        running = await self._fleet.running(model or None)
        may_update = actor.may(Action.REQUEST)
        drawn = views.firmware(rows, model, models, offset, running, may_update=may_update)
        return with_policy(drawn, () if model or offset else await self._policies(), may_update=may_update)

    async def _devices_file(self, _actor: Actor, question: str) -> ListFile:
        file = CsvFile(views.CSV_HEADING)
        async for chunk in self._fleet.all_matching(parse(question)):
            file.add(views.csv_row(known) for known in chunk)
        made = self._now()
        title = f"Gateways for {question}" if question else "All gateways"
        return ListFile(f"gateways-{made:%Y-%m-%d-%H%M}.csv", title, file.content(), file.rows)

    async def renew(self, _actor: Actor) -> str | None:
        """Has the fleet listed; says what kept it from being newer, if anything."""
        status = await self._fleet.refresh()
        if not status.consecutive_failures:
            return None
        why = f" ({status.last_error})" if status.last_error else ""
        return f"The fleet could not be listed just now{why}, so this is what I saw before."
