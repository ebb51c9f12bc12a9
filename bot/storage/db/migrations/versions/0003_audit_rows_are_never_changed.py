"""Audit rows are never changed"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Deleting stays possible: rows are forgotten after a year, by a clock that the database does not have.
_SQLITE = """
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'rows of the audit log are never changed'); END
"""
_POSTGRESQL = """
CREATE FUNCTION audit_is_never_changed() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'rows of the audit log are never changed'; END $$
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_SQLITE)
        return
    op.execute(_POSTGRESQL)
    op.execute(
        "CREATE TRIGGER audit_is_never_changed BEFORE UPDATE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_never_changed()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_is_never_changed")
        return
    op.execute("DROP TRIGGER audit_is_never_changed ON audit")
    op.execute("DROP FUNCTION audit_is_never_changed")
