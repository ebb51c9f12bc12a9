"""The vendor's wire as msgspec structs, each with ``.to_domain()``.

Decides how to read what is odd: null, missing or unknown fields, unknown words, numbers where texts are
expected. One odd field loses that field only, one odd item loses that item only. Knows neither how an answer
was asked for nor what it is good for.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from bot.domain.firmware import (
    DeviceProgress,
    Firmware,
    FirmwareId,
    JobDevice,
    JobId,
    JobStatus,
    VendorJob,
)
from bot.domain.gateways import Connectivity, Gateway, GatewayId

Scalar = str | int | float | bool | None
LONGEST = 300  # characters of a gateway's texts: an index of PostgreSQL holds 2,704 bytes, name and id
WRAPPERS = {"data", "result", "response", "value", "payload", "content", "body", "device", "job"}  # any case
_OLDEST = 2000  # a time before it is a null in disguise: year 1 of .NET, 1970 of Unix
_Struct = TypeVar("_Struct", bound=msgspec.Struct)

# What a decoder raises for bytes that are not JSON, for values of a wrong type, and for nesting without end.
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

_NO_STATE = Connectivity.UNKNOWN
_STATES = {True: Connectivity.ONLINE, False: Connectivity.OFFLINE, None: _NO_STATE}


class WireConnectivity(msgspec.Struct, rename="camel"):
    connected: bool | None = None
    timestamp: Scalar = None


class WireDevice(msgspec.Struct, rename="camel"):
    id: Scalar = None
    friendly_name: Scalar = None
    model_number: Scalar = None
    labels: Any = None
    boot_mode: Scalar = None
    connectivity: WireConnectivity | None = None
    firmware_version: Scalar = None
    hardware_version: Scalar = None
    imei: Scalar = None
    status: Scalar = None

    def to_domain(self) -> Gateway | None:
        """None when it has no id, or none that can be one: nothing can be said about it then."""
        identity = text(self.id)
        if identity is None or len(identity) > LONGEST:
            return None
        connectivity = self.connectivity
        return Gateway(
            id=GatewayId(identity),
            name=_cut(text(self.friendly_name)),
            model=_common(self.model_number),
            tags=label_texts(self.labels) if self.labels else (),
            connectivity=_STATES[connectivity.connected] if connectivity else _NO_STATE,
            changed_at=instant(connectivity.timestamp) if connectivity else None,
            firmware=_common(self.firmware_version),
            hardware=_common(self.hardware_version),
            imei=_cut(text(self.imei)),
            status=_common(self.status),
            boot_mode=_common(self.boot_mode),
        )


class WireFirmware(msgspec.Struct, rename="camel"):
    id: Scalar = None
    model_number: Scalar = None
    version: Scalar = None
    file_name: Scalar = None
    created_at: Scalar = None
    description: Scalar = None
    size: Scalar = None
    checksum: Scalar = None

    def to_domain(self) -> Firmware | None:
        identity = text(self.id)
        if identity is None:
            return None
        return Firmware(
            id=FirmwareId(identity),
            model=text(self.model_number),
            version=text(self.version),
            file_name=text(self.file_name),
            created_at=instant(self.created_at),
            description=text(self.description),
            size=text(self.size),
            checksum=text(self.checksum),
        )


class WireJobDevice(msgspec.Struct, rename="camel"):
    device_id: Scalar = None
    status: Scalar = None
    status_details: Any = None
    updated_at: Scalar = None

    def to_domain(self) -> JobDevice | None:
        identity = text(self.device_id)
        if identity is None:
            return None
        word = text(self.status)
        return JobDevice(
            device_id=GatewayId(identity),
            progress=DeviceProgress.of(word),
            word=word,
            details=_details(self.status_details),
            updated_at=instant(self.updated_at),
        )


class WireJob(msgspec.Struct, rename="camel"):
    id: Scalar = None
    name: Scalar = None
    status: Scalar = None
    firmware_id: Scalar = None
    created_at: Scalar = None
    completed_at: Scalar = None
    devices: Any = None

    def to_domain(self) -> VendorJob | None:
        identity = text(self.id)
        if identity is None:
            return None
        word, firmware = text(self.status), text(self.firmware_id)
        return VendorJob(
            id=JobId(identity),
            name=text(self.name),
            status=JobStatus.of(word),
            word=word,
            firmware_id=FirmwareId(firmware) if firmware else None,
            created_at=instant(self.created_at),
            completed_at=instant(self.completed_at),
            devices=tuple(filter(None, map(WireJobDevice.to_domain, _job_devices(self.devices)))),
        )


class WirePage(msgspec.Struct, rename="camel"):
    """A page of any list; the items stay as they came until somebody wants one."""

    items: list[msgspec.Raw] | None
    next_token: Scalar = None


_PAGE = msgspec.json.Decoder(WirePage)
_DECODERS: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {
    struct: msgspec.json.Decoder(struct, strict=False) for struct in (WireDevice, WireFirmware, WireJob)
}


def read_page(body: bytes) -> WirePage:
    """A page, or a bare array as a page of its own. Raises one of ``UNREADABLE``."""
    try:
        return _PAGE.decode(body)
    except UNREADABLE:
        return page_from_json(read_json(body))


def page_from_json(value: Any) -> WirePage:
    """The same of decoded JSON. Raises ``msgspec.ValidationError`` when there is no list in it."""
    if isinstance(value, list):
        value = {"items": value}
    value = opened(value, "items")
    if isinstance(value, dict) and isinstance(items := value.get("items"), list):
        value = {**value, "items": [msgspec.Raw(msgspec.json.encode(item)) for item in items]}
    return msgspec.convert(value, WirePage)


def opened(value: Any, name: str) -> Any:
    """An answer in a wrapper, such as ``{"data": {…}}``, as if it had none. ``name`` is looked for."""
    if not isinstance(value, dict) or _holds(value, name):
        return value
    for wrapper, inner in value.items():
        if wrapper.casefold() in WRAPPERS and isinstance(inner, dict) and _holds(inner, name):
            return {**value, **inner}
    return value


def _holds(value: dict[str, Any], name: str) -> bool:
    found = value.get(name)
    return isinstance(found, list) if name == "items" else text(found) is not None


def read_json(body: bytes | msgspec.Raw) -> Any:
    """Decoded JSON. Raises one of ``UNREADABLE``.

    One name with half a surrogate pair spoils a whole page for msgspec; the standard library reads it.
    """
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return _storable(json.loads(bytes(body).decode(errors="replace"), parse_constant=lambda _: None))


def read(body: bytes | msgspec.Raw, struct: type[_Struct]) -> _Struct:
    """One struct; what is odd in it is left out. Raises one of ``UNREADABLE`` when it is no JSON object."""
    try:
        return cast("_Struct", _DECODERS[struct].decode(body))
    except UNREADABLE:
        return from_json(read_json(body), struct)


def from_json(value: Any, struct: type[_Struct]) -> _Struct:
    """The same of decoded JSON, field by field. Raises ``msgspec.ValidationError`` when it is no object."""
    if not isinstance(value, dict):
        raise msgspec.ValidationError("Expected an object")
    found = {}
    for field in _fields(struct):
        inner = value.get(field.encode_name)
        if field.encode_name == "connectivity" and isinstance(inner, dict):
            found[field.name] = from_json(inner, WireConnectivity)
        elif inner is not None:
            found[field.name] = _converted(inner, field.type)
    return struct(**found)


_fields = lru_cache(msgspec.structs.fields)  # it takes ten times as long as reading them


def _converted(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except UNREADABLE:
        return None


def _storable(value: Any) -> Any:
    """The same with a question mark for every half of a surrogate pair, which no database takes."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(inner) for name, inner in value.items()}
    return value


def text(value: Any) -> str | None:
    """A text that can be stored, or None for what is missing, blank or no text at all."""
    if isinstance(value, str):
        found = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = str(value)
    else:
        return None
    if "\0" in found:
        found = found.replace("\0", "")  # PostgreSQL stores no NUL
    return found if found and not found.isspace() else None


def _cut(found: str | None) -> str | None:
    return found if found is None or len(found) <= LONGEST else found[:LONGEST]


@lru_cache(maxsize=128, typed=True)  # typed: 1 is a text, and True, which equals it, is none
def _common(value: Scalar) -> str | None:
    """The text of what many gateways share, such as their model."""
    return _cut(text(value))


def instant(value: Any) -> datetime | None:
    """An aware time in UTC from ISO 8601 or seconds since 1970; None for anything else.

    Seven fractional digits are what .NET writes, and a time without a zone is UTC.
    """
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value.strip().upper())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = datetime.fromtimestamp(value if abs(value) < 1e11 else value / 1000, UTC)
        else:
            return None
        if found.tzinfo is not UTC:
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.year >= _OLDEST else None


def label_texts(value: Any) -> tuple[str, ...]:
    """Labels from an array of texts or of ``{"label": text}``, each once, in their order."""
    if not isinstance(value, list):
        return ()
    labels = [item.get("label") if isinstance(item, dict) else item for item in value]
    if all(type(label) is str and len(label) <= LONGEST for label in labels):
        return _shared_labels(*labels)
    return _each_once(labels)


def _each_once(labels: Iterable[Any]) -> tuple[str, ...]:
    found = map(text, labels)
    return tuple(dict.fromkeys(label[:LONGEST] for label in found if label is not None))


@lru_cache(maxsize=1024)
def _shared_labels(*labels: str) -> tuple[str, ...]:
    """The gateways of a site mostly have the same."""
    return _each_once(labels)


def _job_devices(value: Any) -> Sequence[WireJobDevice]:
    """All at once, which is ten times as fast; where one is odd, each by itself."""
    if not isinstance(value, list):
        return ()
    try:
        return msgspec.convert(value, list[WireJobDevice], strict=False)
    except UNREADABLE:
        return [from_json(item, WireJobDevice) for item in value if isinstance(item, dict)]


def _details(value: Any) -> str | None:
    """What a person may read of the details, which AWS IoT gives as ``{"detailsMap": {name: text}}``."""
    if isinstance(value, dict):
        inside = value.get("detailsMap")
        value = inside if isinstance(inside, dict) else value
        value = ", ".join(f"{name}: {text(inner)}" for name, inner in value.items() if text(inner))
    return text(value)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long ``Retry-After`` asks to wait: seconds, or a date; None when it is missing or is neither."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", value, re.ASCII):
        return timedelta(seconds=int(value))
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    until = until.replace(tzinfo=UTC) if until.tzinfo is None else until
    return max(until - now, timedelta())
