"""Where settings are written: the environment, an ``.env`` file, files named like the variable.

pydantic-settings reads them. What stands here is where an operator would be surprised by what it does; which
settings there are is decided elsewhere.
"""

import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
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


class Environment(AsWritten):
    """The environment that is handed in."""

    def __init__(self, settings: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings)
        self.env_vars = _ours(environ.items())
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
        for binding in bindings:
            if binding.error:
                raise SettingsError(
                    f"Line {binding.original.line} of {file_path} is not of the form NAME=value: correct "
                    "or remove it."
                )
        return {**_ours((binding.key or "", binding.value) for binding in bindings)}


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


def _ours(pairs: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Only what carries our prefix and is not empty: empty is unset."""
    trimmed = {name.lower(): (text or "").strip() for name, text in pairs}
    return {name: text for name, text in trimmed.items() if name.startswith(PREFIX.lower()) and text}
