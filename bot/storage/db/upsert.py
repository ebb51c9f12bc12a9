"""The few statements in which SQLite and PostgreSQL share a meaning and not a SQLAlchemy construct."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import Insert


def insert_or_ignore(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> Insert:
    """An insert that does nothing when such a row exists; RETURNING tells which."""
    statement: Insert = _insert(connection, table).values(dict(values)).on_conflict_do_nothing()
    return statement


def insert_or_ignore_selected(
    connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Select[Any]
) -> Insert:
    """An insert of what a query finds, which leaves out what exists. The query must have a WHERE: without
    one SQLite takes the ON of the conflict for that of a join.
    """
    statement: Insert = _insert(connection, table).from_select(columns, rows).on_conflict_do_nothing()
    return statement


def _insert(connection: AsyncConnection, table: Table) -> Any:
    """Both dialects' inserts have the same conflict methods and no common type."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
