"""Listeners for rollouts: the commands, and the lists and cards they are drawn by."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bot.domain.access import Action, Actor, require
from bot.domain.errors import InvalidInput
from bot.domain.rollouts.firmware_choice import FirmwareChoice
from bot.domain.rollouts.lifecycle import RolloutId
from bot.domain.times.written_times import begins_with_a_moment, parse_start
from bot.services.rollouts.events import CALL, DECIDED, ENTRY, NOTE
from bot.services.rollouts.plans_and_approvals import RolloutRequests
from bot.slack import ids
from bot.slack.ids import PageRef
from bot.slack.incoming.command_router import unquoted
from bot.slack.incoming.listeners import (
    CommandCall,
    Declarations,
    Feature,
)
from bot.slack.paging import ListFile, ListHandler
from bot.slack.rollouts.form import START_TWICE
from bot.slack.rollouts.views import card, notes
from bot.slack.rollouts.views import lists as views
from bot.slack.rollouts.views import plan as plan_views
from bot.slack.views.blocks import Message, actions, button
from bot.slack.views.csv_file import CsvFile
from bot.slack.views.paging import PagePosition, last_offset

PAGE = 10
USAGE = "Write it like this: /mesh update tag:oslo to 3.5.0, or … to latest, or … to 3.5.0 at 22:00."
_CSV = ["id", "name", "site", "firmware before", "wave", "class", "state", "reason", "attempts", "away (s)"]


on = Declarations("Firmware updates")


class RolloutListeners:
    """Translate only: parse, one call of the service, render."""

    def __init__(
        self,
        service: RolloutRequests,
        form: Callable[[CommandCall], Awaitable[None]] | None = None,
    ) -> None:
        self._form = form
        self._service = service

    def feature(self) -> Feature:
        return on.of(
            self,
            cards={"rollout": self.draw_card},
            notes={DECIDED: self.draw_decided, NOTE: self.draw_note},
        )

    def lists(self) -> Mapping[str, ListHandler]:
        """The kinds of list that page, refresh and export through the shared buttons."""
        return {
            views.ROLLOUTS: ListHandler(self._rollouts_page),
            views.JOBS: ListHandler(self._jobs_page),
            views.JOB: ListHandler(self._job_page),
            card.ROLLOUT: ListHandler(self._rollout_page, export=self._export),
            views.REPORT: ListHandler(self._report_page),
        }

    # ---- commands

    @on.command(
        "update <query> to <version|latest> [at <HH:MM or date>, or in maintenance]",
        "Plan a firmware update; alone, it opens a dialog with menus",
        needs="operator",
        examples=("update tag:oslo to 3.5.0", "update model:2011 fw:<3.5.0 to latest at 22:00"),
        also=("upgrade", "flash", "rollback", "downgrade"),
    )
    async def update(self, call: CommandCall) -> None:
        if self._form is not None and call.trigger_id and not call.text.strip():
            await self._form(call)
            return
        zone, now = self._service.rules.zone, self._service.now()
        text, in_maintenance = _IN_MAINTENANCE.subn("", call.text)
        query, version, at = parse_update(text)
        if in_maintenance and at:
            raise InvalidInput(START_TWICE)
        start_at = parse_start(at, zone, now) if at else None
        drawn = await self._service.plan(
            call.actor, call.channel, query, version, start_at=start_at, in_maintenance=bool(in_maintenance)
        )
        if isinstance(drawn, FirmwareChoice):
            await call.respond.answer(plan_views.firmware_choice(drawn))
        else:
            await call.respond.answer(plan_views.plan(drawn, self._service.rules))

    @on.command("rollouts", "List firmware rollouts", also=("updates",))
    async def rollouts(self, call: CommandCall) -> None:
        await call.respond.answer(await self._rollouts_page(call.actor, 0, ""))

    @on.command(
        "rollout <R-n>",
        "Show one rollout, with its buttons",
        examples=("rollout R-7",),
        also=("approve", "deny", "pause", "resume", "promote", "abort", "cancel", "retry", "progress"),
    )
    async def rollout(self, call: CommandCall) -> None:
        await call.respond.answer(await self._rollout_page(call.actor, 0, call.text))

    @on.command(
        "report <R-n>", "Show what happened in a rollout, from request to end", examples=("report R-7",)
    )
    async def report(self, call: CommandCall) -> None:
        await call.respond.answer(await self._report_page(call.actor, 0, call.text))

    @on.command("jobs", "List the portal's jobs, whoever created them")
    async def jobs(self, call: CommandCall) -> None:
        await call.respond.answer(await self._jobs_page(call.actor, 0, ""))

    @on.command("job <id>", "Show one of the portal's jobs", examples=("job 9f2c",))
    async def job(self, call: CommandCall) -> None:
        if not call.text.strip():
            raise InvalidInput("Which job? /mesh jobs lists them with their ids; then: /mesh job <id>.")
        await call.respond.answer(await self._job_page(call.actor, 0, call.text))

    # ---- what is drawn

    async def draw_card(self, subject: str) -> Message:
        return card.card(await self._service.status(RolloutId(int(subject))))

    async def draw_note(self, body: Mapping[str, Any]) -> Message:
        entry, over = await self._service.entry(int(body[ENTRY]))
        status = await self._service.status(entry.rollout_id)
        return notes.event_note(status, entry, over, body.get(CALL, ()))

    async def draw_decided(self, body: Mapping[str, Any]) -> Message:
        entry, over = await self._service.entry(int(body[ENTRY]))
        return notes.told(await self._service.status(entry.rollout_id), entry, over)

    async def _rollouts_page(self, actor: Actor, offset: int, _question: str) -> Message:
        require(actor, Action.READ)
        page = await self._service.page(offset, PAGE)
        if offset and not page.lines:
            return await self._rollouts_page(actor, last_offset(page.total, PAGE), "")
        entries = [(line.rollout, line.counts) for line in page.lines]
        return views.rollout_list(entries, PagePosition(views.ROLLOUTS, offset, page.total, PAGE))

    async def _jobs_page(self, actor: Actor, offset: int, _question: str) -> Message:
        require(actor, Action.READ)
        found, more = await self._service.vendor_jobs(offset, PAGE)
        entries = [(line.job, line.rollout_id) for line in found]
        known = offset + len(found) + int(more)  # how many there are in all is never asked
        return views.job_list(entries, PagePosition(views.JOBS, offset, known, PAGE))

    async def _job_page(self, actor: Actor, _offset: int, text: str) -> Message:
        require(actor, Action.READ)
        line = await self._service.vendor_job(text)
        return views.job(line.job, line.rollout_id, str)

    async def _rollout_page(self, actor: Actor, _offset: int, text: str) -> Message:
        require(actor, Action.READ)
        rollout_id = await self._service.find(text)
        return views.copy(await self._service.status(rollout_id))

    async def _report_page(self, actor: Actor, _offset: int, text: str) -> Message:
        require(actor, Action.READ)
        rollout_id = await self._service.find(text)
        rollout_status = await self._service.status(rollout_id)
        entries = await self._service.timeline(rollout_id)
        csv = button("All gateways as CSV", ids.EXPORT_CSV, PageRef(card.ROLLOUT, 0, str(rollout_id)))
        return notes.report(rollout_status, entries, actions(csv))

    async def _export(self, actor: Actor, text: str) -> ListFile:
        require(actor, Action.READ)
        rollout_id = await self._service.find(text)
        file = CsvFile(_CSV)
        file.add(
            (
                row.gateway_id,
                row.label,
                row.site,
                row.firmware_before,
                str(row.wave),
                row.cls.value,
                row.state.value,
                row.reason,
                str(row.attempts),
                str(int(row.return_time.total_seconds())) if row.return_time is not None else None,
            )
            for row in await self._service.targets(rollout_id)
        )
        title = f"R-{rollout_id}: {file.rows} gateways"
        return ListFile(f"R-{rollout_id}.csv", title, file.content(), file.rows)


_IN_MAINTENANCE = re.compile(r"\s+in (?:a )?maintenance(?: window)?\s*$", re.IGNORECASE)


def parse_update(text: str) -> tuple[str, str, str]:
    """The query, the version and the time, which may be empty: the last " to " separates.

    Raises InvalidInput with the usage.
    """
    query, separator, rest = f" {text.strip()}".rpartition(" to ")
    match = re.fullmatch(r'\s*("[^"]*"|[^\s"]+)(?:\s+(.*))?', rest, re.DOTALL)
    version = unquoted(match[1].rstrip(",")) if match else ""
    if not separator or match is None or not version:
        raise InvalidInput(f"I need a query and a version. {USAGE}")
    if not query.strip():
        raise InvalidInput(f"Which gateways? For the whole fleet, name:* says so. {USAGE}")
    at = re.fullmatch(r"(at\s+)?(.+)", match[2].strip(), re.IGNORECASE) if match[2] else None
    if at is not None and not at[1] and not begins_with_a_moment(at[2]):
        raise InvalidInput(f"After “to” comes one version, and that is not one: {rest.strip()[:60]}. {USAGE}")
    return query.strip(), version, unquoted(at[2]) if at else ""
