"""Times as the database keeps them: whole microseconds since 1970, which sort alike on every database."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, type_coerce
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    return EPOCH + timedelta(microseconds=value)


def plain(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A time as the number it is stored as: a type decorator costs a call for each value of each row."""
    return type_coerce(column, BigInteger) if isinstance(column.type, UtcMicros) else column


def moment(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)


def micros(value: datetime | None) -> int | None:
    return None if value is None else to_micros(value)


class UtcMicros(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as whole microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> int | None:
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        return None if value is None else from_micros(value)

    def coerce_compared_value(self, _operator: object, value: Any) -> TypeEngine[Any]:
        return DurationMicros() if isinstance(value, timedelta) else self


class DurationMicros(TypeDecorator[timedelta]):
    """The time between two moments, in the same unit, so that the database can add and subtract it."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, _dialect: Dialect) -> int | None:
        return None if value is None else value // _MICROSECOND
