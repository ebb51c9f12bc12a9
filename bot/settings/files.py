"""Which files with secrets or with everything the bot knows can be read by every user of the machine."""

import stat
from collections.abc import Iterator
from pathlib import Path


def open_to_others(database_url: str, env_file: str | Path = ".env") -> Iterator[str]:
    """A sentence for each, with what to do."""
    for path, holds in (
        (Path(env_file), "passwords and tokens"),
        (_sqlite_file(database_url), "the database"),
    ):
        if path is not None and _is_open(path):
            yield f"{path} holds {holds}, and every user of this machine may read it: run chmod o= {path}."


def _is_open(path: Path) -> bool:
    try:
        return path.is_file() and bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _sqlite_file(url: str) -> Path | None:
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:") else None
