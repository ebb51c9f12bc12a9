"""Where settings are written: the environment, an ``.env`` file, files named like the variable.

pydantic-settings reads them. What stands here is where an operator would be surprised by what it does; which
settings there are is decided elsewhere.
"""

import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dotenv.parser import Binding, parse_stream
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NestedSecretsSettingsSource,
    SecretsSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from bot.domain.errors import StartupError

PREFIX = "MESHBOT_"
_UTF_8 = "utf-8-sig"  # with or without the mark that editors on Windows put in front


class SettingsError(StartupError):
    """A setting is missing, wrong or unknown. The text names the variable and never holds a value."""


class AsWritten(EnvSettingsSource):
    """Every value is a text for its ``Kind``. The library would read lists and mappings as JSON, and the
    values of a mapping even where a field says ``NoDecode``."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002
        return value


# What others name after a service or a container called meshbot, or meshbot-…: Kubernetes for each service,
# Docker for each link (docs.docker.com/engine/network/links), and an image for its version.
_NAMED_BY_OTHERS = re.compile(
    r"MESHBOT_VERSION|MESHBOT_(?:[A-Z0-9]+_)*?"
    r"(?:SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)|ENV_.+|"
    r"PORT_\d+_(?:\d+_)?(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?(?:_(?:START|END))?)",
    re.ASCII,
)
# What makes MESHBOT_HTTP_PORT or MESHBOT_DB_NAME of a link, and no misspelled setting.
_OF_A_LINK = {"_PORT": re.compile(r"(?:tcp|udp|sctp)://.*"), "_NAME": re.compile(r"/[^/]+/[^/]+")}


class Environment(AsWritten):
    """The environment that is handed in, without what carries our prefix by the name of a service."""

    def __init__(self, settings: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings)
        self.env_vars = _ours(pair for pair in environ.items() if not _is_named_by_others(*pair))
        for name, text in self.env_vars.items():
            if re.search("[\ud800-\udfff]", text):  # what Python makes of bytes that are none
                raise SettingsError(f"{name.upper()} is not usable: it is not UTF-8 text.")


class EnvFile(AsWritten, DotEnvSettingsSource):
    """An ``.env`` file as it is written: a ``$`` in a password is a dollar, which the library would expand,
    and a line that means nothing is refused, which it would log."""

    def _read_env_file(self, file_path: Path) -> Mapping[str, str | None]:
        try:
            bindings = list(parse_stream(io.StringIO(file_path.read_text(_UTF_8))))
        except (OSError, UnicodeDecodeError):
            raise SettingsError(
                f"The file {file_path} cannot be read: it must be UTF-8 text this user may read."
            ) from None
        wrong = [sentence for binding in bindings if (sentence := _wrong_line(binding, file_path))]
        if wrong:
            raise SettingsError("\n".join(wrong))
        return {**_ours((binding.key or "", binding.value) for binding in bindings)}


def _wrong_line(binding: Binding, path: Path) -> str | None:
    """What is wrong with what stands there, as a sentence."""
    line, written = binding.original.line, binding.original.string
    line += len(written) - len(written.lstrip("\r\n"))  # empty lines before it are part of it
    if binding.error or (binding.key is not None and binding.value is None):
        return f"Line {line} of {path} is not of the form NAME=value: correct or remove it."
    name = (binding.key or "").upper()
    value = written.partition("=")[2].strip()
    if name.startswith(PREFIX) and _SECRET.search(name) and _COMMENT.match(value):
        return (
            f"Line {line} of {path}: a # behind a space begins a comment, which would end {name} there. Put "
            "the value into single quotes if the # belongs to it, or the comment on a line of its own."
        )
    return None


# A value of these may hold anything; one in quotes ends with them.
_SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|DATABASE_URL)$")
_COMMENT = re.compile(r"(?!['\"])(?:.*\s)?#")


class SecretFiles(AsWritten, NestedSecretsSettingsSource):
    """One file a variable. Others' files lie there too, and stay unread: they may be anything."""

    @classmethod
    def load_secrets(cls, path: Path) -> dict[str, str]:
        if not path.is_dir():
            return {}
        files = [file for file in path.iterdir() if file.name.upper().startswith(PREFIX) and file.is_file()]
        return _ours([(file.name, file.read_text(encoding=_UTF_8)) for file in files])


def sources(
    settings: type[BaseSettings],
    environ: Mapping[str, str],
    env_file: str | Path | None,
    secrets_dir: str | Path | None,
) -> tuple[EnvSettingsSource, ...]:
    """All three, the one that wins first; ``env_vars`` of each holds what carries our prefix."""
    if env_file is not None and Path(env_file).is_dir():  # Docker makes one where a file to mount is missing
        raise SettingsError(f"{env_file} is a folder: put a file of that name there, or remove it.")
    return (
        Environment(settings, environ),
        EnvFile(settings, env_file),
        _secret_files(settings, secrets_dir),
    )


def _secret_files(settings: type[BaseSettings], directory: str | Path | None) -> SecretFiles:
    try:
        return SecretFiles(SecretsSettingsSource(settings, directory))
    except (OSError, UnicodeDecodeError) as error:
        named = getattr(error, "filename", None) or directory
        raise SettingsError(
            f"The secret {named} cannot be read: it must be UTF-8 text this user may read."
        ) from None
    except SourceError as error:
        raise SettingsError(f"The folder of secrets cannot be used: {error}.") from None


def _is_named_by_others(name: str, text: str) -> bool:
    if _NAMED_BY_OTHERS.fullmatch(name.upper()):
        return True
    said = _OF_A_LINK.get(name.upper()[-len("_PORT") :])
    return said is not None and said.fullmatch(text.strip()) is not None


def _ours(pairs: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Only what carries our prefix and is not empty: empty is unset."""
    trimmed = {name.lower(): (text or "").strip() for name, text in pairs}
    ours = {name: text for name, text in trimmed.items() if name.startswith(PREFIX.lower()) and text}
    for name, text in ours.items():
        if "\0" in text:  # in a file; what follows it would be lost on the way to many a library
            raise SettingsError(f"{name.upper()} is not usable: it holds a NUL.")
    return ours
