"""Alembic's entry: runs on the connection that ``schema.py`` hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from bot.storage.moments import Moment
from bot.storage.tables import metadata


def _render(kind: str, value: Any, _context: object) -> str | Literal[False]:
    return "Moment()" if kind == "type" and isinstance(value, Moment) else False


def _run() -> None:
    connection: Connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_item=_render,
        compare_type=False,
    )
    with context.begin_transaction():
        context.run_migrations()


_run()
