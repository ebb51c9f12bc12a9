"""Which firmware file somebody means by a version or by `latest`. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.domain.errors import InvalidInput
from bot.domain.firmware import Firmware, FirmwareVersion, firmware_key, is_same_firmware
from bot.domain.gateways import fold

LATEST = "latest"
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FirmwareChoice:
    """Several files are meant, of several models or of one version; a rollout is for one file."""

    query: str
    wanted: str
    options: tuple[tuple[Firmware, int], ...]  # with the matching gateways; by model, the newest file first
    skipped: tuple[str, ...] = ()
    start_at: datetime | None = None
    in_maintenance: bool = False


def choose_firmware(
    query: str,
    wanted: str,
    firmwares: Iterable[Firmware],
    matching: Mapping[str, int],
    *,
    model: str | None = None,
    file: str | None = None,
) -> Firmware | FirmwareChoice:
    """The one file that is meant, or those to choose from; ``file`` is the id of one that was chosen.

    ``matching`` counts the matched gateways by model. ``latest`` is a model's highest release of those that
    have an order: see ``skipped_for_latest``. Raises InvalidInput when there is no such firmware; the text
    names what there is.
    """
    offered = list({entry.id: entry for entry in firmwares if entry.model and entry.version}.values())
    by_model: defaultdict[str, list[Firmware]] = defaultdict(list)
    for entry in offered:
        fits = entry.model in matching and (model is None or fold(entry.model or "") == fold(model))
        if fits and file in (None, entry.id):
            by_model[entry.model or ""].append(entry)
    meant = [entry for key in sorted(by_model) for entry in _meant(wanted, by_model[key])]
    if not meant and file is not None:
        raise InvalidInput("The portal no longer has that file. Run the update again to see what there is.")
    if not meant:
        raise InvalidInput(_no_such_firmware(wanted, model, offered, matching))
    if len(meant) > 1:
        options = tuple((entry, matching[entry.model or ""]) for entry in meant)
        return FirmwareChoice(query, wanted, options, skipped_for_latest(wanted, offered, [*by_model]))
    return meant[0]


def _meant(wanted: str, of_model: Sequence[Firmware]) -> list[Firmware]:
    """The files of one model that a version may mean, its own spelling before others, the newest first."""
    if fold(wanted) == LATEST:
        parsed = [(FirmwareVersion.parse(entry.version or ""), entry) for entry in of_model]
        releases = [(version.key, entry) for version, entry in parsed if version and version.is_release]
        highest = max((key for key, _ in releases), default=None)
        found = [entry for key, entry in releases if key == highest]
    else:
        found = [entry for entry in of_model if fold(entry.version or "") == fold(wanted)] or [
            entry for entry in of_model if is_same_firmware(entry.version, wanted)
        ]
    return sorted(found, key=lambda entry: entry.created_at or _LONG_AGO, reverse=True)


def skipped_for_latest(wanted: str, firmwares: Iterable[Firmware], models: Iterable[str]) -> tuple[str, ...]:
    """The versions for these models that may be newer than what ``latest`` found: they have no order."""
    if fold(wanted) != LATEST:
        return ()
    of = {fold(model) for model in models}
    fitting = {entry.version for entry in firmwares if entry.model and fold(entry.model) in of}
    return tuple(sorted(version for version in fitting if version and firmware_key(version) is None))


def _no_such_firmware(
    wanted: str, model: str | None, offered: Sequence[Firmware], matching: Mapping[str, int]
) -> str:
    models = [model] if model else sorted(matching)
    there = sorted(
        {entry.version or "" for entry in offered if entry.model in models},
        key=lambda text: (firmware_key(text) or "", text),
        reverse=True,
    )
    what = "release with an order" if fold(wanted) == LATEST else f"firmware {wanted}"
    of = f"model {models[0]}" if len(models) == 1 else f"models {', '.join(models)}"
    if not models:
        return "None of the gateways that match says which model it is, so no firmware fits them."
    if not there:
        return f"The portal has no firmware for {of} at all; upload one there first."
    listed = ", ".join(there[:8]) + (", …" if len(there) > 8 else "")
    return f"There is no {what} for {of}. There is: {listed}."
