"""What the environment says about the network: what goes through a proxy, and through which.

HTTP_PROXY and HTTPS_PROXY (small letters too, which go first), else ALL_PROXY, name the proxy for
what is away. What NO_PROXY lists is reached directly: hosts, domains with all below them, addresses
and ranges of addresses, "*"; and so is this machine, always. The client of a generator is given its
proxy. The libraries that reach Qdrant, the hub and the page itself read the variables themselves,
outside of any error handling of ours: they are looked at before, and told what is direct.
"""

import importlib.util
import os
import re
import ssl
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from app.errors import InvalidSettings

THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
_HOST_NAME = re.compile(r"(\*\.)?[\w-]+(\.[\w-]+)*")
_NAME = re.compile(r"\.?[\w*-]+(\.[\w*-]+)*\.?(:\d{1,5})?")


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy through which `url` is reached; None for directly.

    Raises:
        InvalidSettings: the proxy that a variable names cannot be used.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if is_here(host) or any(_covers(entry, host, parts.port) for entry in _no_proxy()):
        return None
    for scheme in (parts.scheme, "all"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            if value := os.environ.get(name, "").strip():
                return _checked_proxy(name, value)
    return None


def prepare(*urls: str) -> None:
    """Make sure that libraries can read the environment, and reach these URLs as `proxy_for` says.

    Raises:
        InvalidSettings: a proxy, NO_PROXY or a file of certificates cannot be used; the message
            names the variable.
    """
    for scheme in ("http", "https", "all"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            if value := os.environ.get(name, "").strip():
                _checked_proxy(name, value)
    listed = _no_proxy()
    for entry in listed:
        _check_entry(entry)
    _check_certificates()
    hosts = [urlsplit(url).hostname or "" for url in urls if proxy_for(url) is None]
    direct = [host for host in (*THIS_MACHINE, *hosts) if host and host not in listed]
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join((*listed, *direct))


def describe() -> str:
    """Return one line on the proxies that are set, for `kbvqa doctor`.

    Raises:
        InvalidSettings: as for `prepare`.
    """
    listed = _no_proxy()
    prepare()
    names = [f"{scheme}_proxy" for scheme in ("http", "https", "all")]
    found = [name for name in (*names, *map(str.upper, names)) if os.environ.get(name)]
    if not found:
        return "no proxy is set"
    shown = ", ".join(f"{name}={_shown(os.environ[name])}" for name in found)
    direct = ", ".join(listed)
    return f"{shown}; directly: this machine" + (f", {direct}" if direct else "")


def host_names(listed: str) -> tuple[str, ...]:
    """Return names of hosts, which commas or spaces separate, in small letters.

    Raises:
        ValueError: one is an URL, has a port, or has a star elsewhere than before all of it.
    """
    names = tuple(re.findall(r"[^\s,]+", listed.lower()))
    for name in names:
        if name != "*" and not _HOST_NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name of a host: give it without https://, port or path, as "
                '"kbvqa.example.org", "*.example.org" for all below it, or "*" for any'
            )
    return names


def require_no_user(name: str, url: str) -> None:
    """Raise where a name or a password stands in an address, which messages and logs show.

    Raises:
        InvalidSettings: one does; the message names where it was given, and does not show it.
    """
    _, scheme, rest = url.partition("://")
    if scheme and "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]:
        raise InvalidSettings(
            f"{name} has a name or a password before the host of its URL, where messages and logs "
            "would show it. Leave it out, and give the server's key as KBVQA_QDRANT_API_KEY or "
            "KBVQA_GENERATOR_API_KEY"
        )


def _no_proxy() -> list[str]:
    value = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return [entry for part in value.split(",") if (entry := part.strip())]


def is_here(host: str) -> bool:
    """Return whether a host is this machine, by a name or address that nobody else can use."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost" or host.casefold().endswith(".localhost")


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Return whether an entry of NO_PROXY is for a host."""
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry, strict=False)
    except ValueError:
        pass
    name, colon, only = entry.casefold().partition(":")
    if colon and only != str(port):
        return False
    name = name.lstrip("*").strip(".")
    return bool(name) and (host.casefold() == name or host.casefold().endswith(f".{name}"))


def _checked_proxy(name: str, value: str) -> str:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, usable = urlsplit(""), False
    socks = parts.scheme in ("socks5", "socks5h")
    if not usable or not (socks or parts.scheme in ("http", "https")):
        raise InvalidSettings(
            f"{name} is {_shown(value)!r}, which is no proxy that can be used here. Set the URL "
            "of one, such as http://proxy.example:3128, or unset it."
        )
    if socks and importlib.util.find_spec("socksio") is None:
        raise InvalidSettings(
            f"{name} is {_shown(value)!r}, and a SOCKS proxy needs a package that is not there: "
            "pip install socksio. Or set the URL of an HTTP proxy, or unset it."
        )
    return url


def _check_entry(entry: str) -> None:
    """Raise InvalidSettings for an entry of NO_PROXY on which libraries break."""
    try:
        ip_address(entry)
    except ValueError:
        ranged = re.fullmatch(r"[\d.]+/\d+", entry)
        if entry != "*" and not ranged and not _NAME.fullmatch(entry):
            raise InvalidSettings(
                f"NO_PROXY has {entry!r}: list hosts, domains and addresses, with commas between"
            ) from None


def _check_certificates() -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if not (value := os.environ.get(name)):
            continue
        try:
            if name == "SSL_CERT_DIR":
                next(Path(value.split(os.pathsep)[0]).iterdir(), None)
            else:
                ssl.create_default_context(cafile=value)
        except OSError as exc:  # as ssl.SSLError is
            raise InvalidSettings(
                f"{name} is {value!r}, which cannot be read as certificates in PEM: {exc}. "
                "Correct or unset it."
            ) from exc


def _shown(url: str) -> str:
    """Return the URL of a proxy without user and password."""
    if "@" not in url:
        return url
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
