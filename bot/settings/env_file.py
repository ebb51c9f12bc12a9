"""The file with the settings, as it is written, and which files every user of the machine may read."""

import contextlib
import io
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from dotenv.parser import Binding, parse_stream

from bot.domain.errors import StartupError

_LINE = re.compile(
    r"""(?P<name>\s*(export\s+)?[^=\s]+[^\S\r\n]*=[^\S\r\n]*?)
        (?P<value>'([^'\\]|\\.)*'|"([^"\\]|\\.)*"|[^\r\n]*?)
        (?P<rest>(\s+\#[^\r\n]*)?\s*)""",
    re.DOTALL | re.VERBOSE,
)
_SQLITE = b"SQLite format 3\0"  # how its files begin: sqlite.org/fileformat.html
_NEEDS_QUOTES = re.compile(r"""^['"\s]|(^|\s)\#|[\r\n$]|\s$""")


def open_to_others(database_url: str, env_file: str | Path = ".env") -> Iterator[tuple[Path, str]]:
    """Each, and a sentence with what to do.

    Opens none: a process that closes a file drops SQLite's locks on it (sqlite.org/howtocorrupt.html, 2.2).
    """
    for path, holds in (
        (Path(env_file), "passwords and tokens"),
        (sqlite_file(database_url), "the database"),
    ):
        if path is not None and _is_open(path):
            said = f"{path} holds {holds}, and every user of this machine may read it: run chmod o= {path}."
            yield path, said


def close_to_others(path: Path) -> None:
    """Takes from others what ``open_to_others`` complains about. Raises StartupError.

    Only of a file of one's own, and never through a link: its mode is not ours to change.
    """
    not_ours = StartupError(f"{path} is a link or somebody else's, so its mode is left as it is.")
    if path.is_symlink():
        raise not_ours
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_uid != os.geteuid():
                raise not_ours
            os.fchmod(opened, stat.S_IMODE(found.st_mode) & ~stat.S_IRWXO)
        finally:
            os.close(opened)
    except OSError as error:
        raise StartupError(f"{path} cannot be changed: {error.strerror}.") from error


def is_sqlite(path: Path) -> bool:
    """Whether it is a file that may be read, and a SQLite database by its first bytes.

    Only for who has no connection to it: closing it would drop SQLite's locks.
    """
    try:
        if not path.is_file():  # to open a pipe would wait for its writer
            return False
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _is_open(path: Path) -> bool:
    try:
        return path.is_file() and bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def sqlite_file(url: str) -> Path | None:
    """Where a SQLite database is; None for another one."""
    return Path(unquote(url.removeprefix("sqlite:///"))) if url.startswith("sqlite:") else None


def names_in(path: Path) -> set[str]:
    """The variables that an ``.env`` file names, those without a value too."""
    return {(binding.key or "").upper() for binding in _bindings(_read(path))} - {""}


def write_settings(path: Path, changes: Mapping[str, str]) -> bool:
    """Sets these in an ``.env`` file, or makes one; every other line stays as it is, and so do comments.

    It is whole at any moment, and nobody but its owner may read it. Returns whether anything is another than
    before. Raises StartupError.
    """
    target = path.resolve()
    before = _read(target)
    text = _changed(before, changes)
    if text == before:
        return False
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".env.")  # with mode 600
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                with contextlib.suppress(PermissionError):  # only root gives a file away
                    os.chown(temporary, target.stat().st_uid, target.stat().st_gid)
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror}.") from error
    return True


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _bindings(text: str) -> list[Binding]:
    return list(parse_stream(io.StringIO(text)))


def _changed(text: str, changes: Mapping[str, str]) -> str:
    bindings = _bindings(text)
    lines = [binding.original.string for binding in bindings]
    last = {(binding.key or "").upper(): number for number, binding in enumerate(bindings)}  # it counts
    for name, value in changes.items():
        if name in last:
            line = _LINE.fullmatch(lines[last[name]])
            assert line is not None, "the settings were read"
            lines[last[name]] = f"{line['name']}{_quoted(value)}{line['rest']}"
            continue
        if lines and not lines[-1].endswith(("\n", "\r")):
            lines[-1] += "\n"
        lines.append(f"{name}={_quoted(value)}\n")
    return "".join(lines)


def _quoted(value: str) -> str:
    """As dotenv reads it back, and Docker Compose, which expands a ``$`` outside single quotes.

    In them Compose takes a backslash as it is, and so does dotenv but where it would escape.
    """
    if not _NEEDS_QUOTES.search(value):
        return value
    escaped = re.sub(r"\\(?=[\\']|$)", r"\\\\", value).replace("'", "\\'")
    return f"'{escaped}'"
