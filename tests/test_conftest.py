"""The database fixtures themselves: everything in tests/storage stands on them."""

import psycopg
import pytest

from tests import postgres


@pytest.mark.postgres
def test_each_test_gets_an_empty_postgresql_database(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
    assert tables == []


@pytest.mark.postgres
def test_a_connection_left_open_does_not_keep_a_database_from_being_dropped(
    postgres_cluster: postgres.Cluster,
) -> None:
    with postgres_cluster.fresh_database() as url:
        connection = psycopg.connect(url)
    with connection, pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


def test_every_kind_of_database_is_named_by_its_url(database_url: str) -> None:
    assert database_url.startswith(("sqlite:///", "postgresql://"))
