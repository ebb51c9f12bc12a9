"""How the outside is reached: through which proxy, and whose certificates are trusted.

One idea of it for Slack and for the vendor, whose libraries each have their own. It is read from the
variables that other programs read too, and knows neither of the two. A proxy is for ``https://`` alone: the
bot speaks ``http://`` to its own machine only.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from bot.domain.errors import StartupError

_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_SPEAKS_HTTP = "http://host:port, with name:password@ before the host where it asks for them"


@dataclass(frozen=True, slots=True)
class Network:
    """What the environment says; ``named`` is the variable that the proxy stands in."""

    proxy: str = ""
    named: str = ""
    no_proxy: str = ""
    cert_file: str = ""
    cert_dir: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Nothing is refused before it is needed: who stays on this machine needs no proxy."""
        named = next((name for name in _PROXIES if environ.get(name, "").strip()), "")
        return cls(
            environ[named].strip() if named else "",
            named,
            environ.get("no_proxy") or environ.get("NO_PROXY", ""),
            environ.get("SSL_CERT_FILE", ""),
            environ.get("SSL_CERT_DIR", ""),
        )

    def proxy_for(self, url: str) -> str | None:
        """The proxy for an address, password included. Raises StartupError for one that cannot be used."""
        parts = urlsplit(url)
        if not self.proxy or parts.scheme not in {"https", "wss"}:
            return None
        if self._excepts(parts.hostname or "", parts.port or 443):
            return None
        proxy = self.proxy if "://" in self.proxy else f"http://{self.proxy}"
        if proxy.lower().startswith("socks"):
            raise StartupError(
                f"{self.named} names a SOCKS proxy, which the bot does not speak to: name one that speaks "
                f"HTTP as {_SPEAKS_HTTP}, or except {parts.hostname} from it in NO_PROXY."
            )
        if not names_a_server(proxy) or not re.fullmatch(
            r"(?i)https?://([^@/?#]*@)?(?:(?![@/?#])[!-~])+/?", proxy
        ):
            raise StartupError(
                f"{self.named} is not usable: it must be {_SPEAKS_HTTP}; reserved characters in these are "
                "written like %40 for @ and %2F for /."
            )
        return proxy

    def proxy_for_aiohttp(self, url: str) -> str | None:
        """The same, so written that name and password are sent as UTF-8, as all others send them: by itself
        aiohttp sends Latin-1, and crashes on what that lacks."""
        proxy = self.proxy_for(url)
        return proxy and re.sub(r"(?<=//)[^@]*(?=@)", _as_utf_8, proxy)

    def _excepts(self, host: str, port: int) -> bool:
        """By NO_PROXY: ``*`` is for all, all else for one server or more, with a port for that alone."""
        for one in self.no_proxy.lower().replace(",", " ").split():
            match = _EXCEPTED.fullmatch(one)
            if one == "*" or (match and match[3] in {None, str(port)} and _is_in(host, match[1] or match[2])):
                return True
        return False

    def way_to(self, url: str) -> str:
        """The same in words and without the password."""
        proxy = self.proxy_for(url)
        if proxy is None:
            return "directly"
        return f"through {re.sub(r'(?<=//)([^:@]*)(:[^@]*)?@', lambda found: f'{found[1]}@', proxy)}"

    def secrets(self) -> set[str]:
        """The proxy's password as written, and as meant."""
        found = re.search(r"//[^/@]*?:(.*)@", f"//{self.proxy.rpartition('//')[2]}")
        return {found[1], unquote(found[1])} if found and found[1] else set()

    def trust(self) -> ssl.SSLContext:
        """The authorities of this machine, or those of SSL_CERT_FILE and SSL_CERT_DIR, as OpenSSL has it.

        Raises StartupError where one of the two names nothing that holds any.
        """
        return _trust(self.cert_file, self.cert_dir)

    def trusted(self) -> tuple[str, ...]:
        """Where they stand: a file, folders, or both; nothing where this machine has none."""
        found = ssl.get_default_verify_paths()
        folders = _folders(self.cert_dir or found.capath or "")
        return tuple(path for path in (found.cafile or "", *filter(_has_authorities, folders)) if path)

    def unread(self) -> tuple[str, ...]:
        """The folders of SSL_CERT_DIR in which OpenSSL finds nothing."""
        return tuple(path for path in _folders(self.cert_dir) if not _has_authorities(path))

    def fault(self, error: BaseException, url: str) -> str:
        """Why an address was not reached, as a clause about its server or the proxy before it."""
        behind = self.way_to(url).removeprefix("through ")
        nearest = "it" if behind == "directly" else f"the proxy {behind}"
        for one in _chain(error):
            if why := getattr(one, "verify_message", ""):
                return (
                    f"its certificate is not trusted ({why}); where a proxy looks into what is encrypted, "
                    "name the file with its authority in SSL_CERT_FILE"
                )
            if isinstance(one, ssl.SSLError) and (why := getattr(one, "reason", "")):
                return f"no encrypted connection to it could be made ({why})"
            if "Proxy" in type(one).__name__ and (status := re.match(r"\d{3}\b", str(one))):
                if status[0] == "407":
                    return f"{nearest} does not take the name and password in {self.named} (407)"
                return f"{nearest} does not lead there ({status[0]})"
            if isinstance(one, socket.gaierror):
                whose = urlsplit(url).hostname if nearest == "it" else nearest
                return f"the name of {whose} is not known to DNS"
            if isinstance(one, ConnectionRefusedError):
                return f"{nearest} refuses the connection"
            if isinstance(one, TimeoutError) or "Timeout" in type(one).__name__:
                return f"{nearest} does not answer in time"
        return f"the connection failed ({type(error).__name__})"


# Of NO_PROXY: an IPv6 address or network with or without brackets, else a name or IPv4, and a port.
_EXCEPTED = re.compile(r"(?:([0-9a-f.]*:[0-9a-f:.]*:[0-9a-f:./]*)|([^:\[]+|\[[^\]]+\](?:/\d+)?)(?::(\d+))?)")


def _is_in(host: str, excepted: str) -> bool:
    """Whether it is an address in that network, or that name or one below it."""
    try:
        address = ip_address(host)
    except ValueError:
        name = excepted.lstrip("*.").rstrip(".")
        return bool(name) and f".{host.rstrip('.')}".endswith(f".{name}")
    try:
        return address in ip_network(re.sub(r"[\[\]]", "", excepted), strict=False)
    except ValueError:
        return False


_SERVER = re.compile(r"(?:[^@]*@)?(?:\[[^\[\]]+\]|[^@:\\\[\]]+)(?::[0-9]*)?")


def names_a_server(address: str) -> bool:
    """Whether its host and port are ones that can be: libraries fail on the others only once they connect."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        is_address = "[" in parts.netloc or re.fullmatch(r"[0-9.]+", host)
        _ = ip_address(host) if is_address else host.encode("idna")
        is_possible = _SERVER.fullmatch(parts.netloc) is not None and parts.port != 0
        return is_possible and address.isprintable() and " " not in address
    except ValueError:  # a UnicodeError is one
        return False


def _as_utf_8(user_info: re.Match[str]) -> str:
    parts = user_info[0].split(":", 1)
    return ":".join(quote(unquote_to_bytes(part).decode("latin-1"), safe="") for part in parts)


def is_this_machine(host: str) -> bool:
    """Nobody in between reads what is sent there, encrypted or not."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


DIRECT = Network()  # without a proxy, with the authorities of this machine


@cache
def _trust(cert_file: str, cert_dir: str) -> ssl.SSLContext:
    for folder in _folders(cert_dir):
        if not Path(folder).is_dir():
            raise StartupError(f"SSL_CERT_DIR names {folder}, which is no folder: correct it, or unset it.")
    try:
        if cert_file:
            ssl.create_default_context(cafile=cert_file)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(
            f"SSL_CERT_FILE names {cert_file}, where no certificate can be read ({error.strerror or error}): "
            "name a file of certificates in PEM, or unset it."
        ) from error
    return ssl.create_default_context()


def _folders(named: str) -> list[str]:
    return [folder for folder in named.split(os.pathsep) if folder]


def _has_authorities(folder: str) -> bool:
    """OpenSSL looks for a file that is called after a hash, and reads no other."""
    try:
        return any(re.fullmatch(r"[0-9a-f]{8}\.\d+", name) for name in os.listdir(folder))
    except OSError:
        return False


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what is behind it, several attempts included."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        else:
            error = error.__cause__ or error.__context__
