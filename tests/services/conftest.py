"""What these tests are about is above the database: SQLite does without its threads.

With its threads it is tested in ``tests/storage`` and ``tests/system``.
"""

from collections.abc import Iterator

import pytest

from tests.worlds import databases


@pytest.fixture(autouse=True)
def sqlite_in_the_loop() -> Iterator[None]:
    with databases.sqlite_in_the_loop():
        yield
