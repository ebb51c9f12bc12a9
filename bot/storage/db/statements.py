"""Statements that SQLite and PostgreSQL share in meaning, for which SQLAlchemy has no common words.

Rows by the ten thousand go to the driver as tuples: SQLAlchemy's own executemany processes each value of each
row in Python, which for a first listing of 100,000 gateways takes twice as long as fetching them.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, Column, ColumnElement, Select, Table, Text, any_, cast, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import Insert

Row = tuple[Any, ...]


def insert_or_ignore(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> Insert:
    """An insert that does nothing when such a row exists; RETURNING tells which."""
    statement: Insert = _insert(connection, table).values(dict(values)).on_conflict_do_nothing()
    return statement


def insert_or_lock(connection: AsyncConnection, table: Table, key: str, values: Mapping[str, Any]) -> Insert:
    """An insert that locks the row of this key where it exists and changes nothing of it."""
    statement: Insert = (
        _insert(connection, table)
        .values(dict(values))
        .on_conflict_do_update(index_elements=[key], set_={key: values[key]})
    )
    return statement


def insert_or_ignore_selected(
    connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Select[Any]
) -> Insert:
    """An insert of what a query finds, which leaves out what exists. The query must have a WHERE: without
    one SQLite takes the ON of the conflict for that of a join.
    """
    statement: Insert = _insert(connection, table).from_select(columns, rows).on_conflict_do_nothing()
    return statement


def among(connection: AsyncConnection, column: Column[str], ids: Sequence[str]) -> ColumnElement[bool]:
    """``column IN ids``, thousands of ids as one value: placeholders take as long to write as the rows."""
    if connection.dialect.name == "sqlite":
        listed = func.json_each(json.dumps(list(ids))).table_valued("value")
        return column.in_(select(listed.c.value))
    return column == any_(literal(list(ids), ARRAY(Text)))


def as_json_list(connection: AsyncConnection, column: ColumnElement[Any]) -> ColumnElement[str]:
    """All values that a column has in a group, as the text of one JSON list."""
    made = func.json_group_array if connection.dialect.name == "sqlite" else func.json_agg
    return cast(made(column), Text)


async def upsert_rows(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts rows with a value for every column, in the table's order; a row of the same key is replaced."""
    await _execute(connection, table, tuple(table.columns.keys()), rows, overwrite=True)


async def insert_rows(
    connection: AsyncConnection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]
) -> None:
    """Inserts rows of these columns; one whose key is there already is left out."""
    await _execute(connection, table, columns, rows, overwrite=False)


async def update_rows(
    connection: AsyncConnection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]
) -> None:
    """Changes these columns of rows that exist: the values of each, then those of its primary key."""
    if rows:
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        await connection.exec_driver_sql(_update(table, columns, mark), list(rows))


async def delete_rows(connection: AsyncConnection, table: Table, keys: Sequence[Row]) -> None:
    """Deletes the rows of these primary keys."""
    if keys:
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        statement = f"DELETE FROM {table.name} WHERE {_key(table, mark)}"  # noqa: S608 - ours
        await connection.exec_driver_sql(statement, list(keys))


def _insert(connection: AsyncConnection, table: Table) -> Any:
    """Both dialects' inserts have the same conflict methods and no common type."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


async def _execute(
    connection: AsyncConnection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[Row],
    *,
    overwrite: bool,
) -> None:
    if rows:
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        await connection.exec_driver_sql(_statement(table, columns, mark, overwrite), list(rows))


@lru_cache(maxsize=32)
def _statement(table: Table, columns: tuple[str, ...], mark: str, overwrite: bool) -> str:
    keys = [column.name for column in table.primary_key]
    values = ", ".join([mark] * len(columns))
    head = f"INSERT INTO {table.name} ({_names(columns)}) VALUES ({values}) ON CONFLICT "  # noqa: S608 - ours
    if not overwrite:
        return head + "DO NOTHING"
    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in keys)
    return head + f"({_names(keys)}) DO UPDATE SET {changes}"


@lru_cache(maxsize=32)
def _update(table: Table, columns: tuple[str, ...], mark: str) -> str:
    changes = ", ".join(f'"{name}" = {mark}' for name in columns)
    return f"UPDATE {table.name} SET {changes} WHERE {_key(table, mark)}"  # noqa: S608 - ours


def _key(table: Table, mark: str) -> str:
    return " AND ".join(f'"{column.name}" = {mark}' for column in table.primary_key)


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
