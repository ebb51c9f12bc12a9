"""Alembic's entry: runs on the connection that ``schema.py`` hands over."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from bot.storage.db.tables import metadata
from bot.storage.db.timestamps import UtcMicros


def _render(kind: str, value: Any, _context: object) -> str | Literal[False]:
    return "UtcMicros()" if kind == "type" and isinstance(value, UtcMicros) else False


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
