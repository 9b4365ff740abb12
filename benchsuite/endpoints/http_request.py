"""Where a request goes, and the head it goes with."""

from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from benchsuite.errors import EndpointError


class Target(NamedTuple):
    """Where requests go."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"
        )


def target(url: str) -> Target:
    """Raises EndpointError for anything but an http(s) URL with a host and without credentials."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise EndpointError(f"{url}: {error}") from error
    if parts.scheme not in ("http", "https") or not _is_host(parts.hostname or ""):
        raise EndpointError(f"{url}: expected http://host[:port]/... or https://...")
    if parts.username is not None:
        raise EndpointError("a URL with a name and a password: put them into a header")
    port = port or (443 if parts.scheme == "https" else 80)
    path = quote(parts.path or "/", safe=_IN_PATH)
    query = f"?{quote(parts.query, safe=_IN_PATH + '?')}" if parts.query else ""
    return Target(parts.scheme, str(parts.hostname), port, path + query)


_IN_PATH: Final = "/%:@!$&'()*+,;=~-._"  # RFC 3986, 3.3; what is escaped already stays so


def _is_host(name: str) -> bool:
    """An address, or labels of 1 to 63 characters."""
    labels = name.removesuffix(".").split(".")
    return ":" in name or all(0 < len(label) < 64 for label in labels)


def request_head(where: Target, headers: dict[str, str], method: str = "POST") -> bytes:
    """Everything of a request's head but its Content-Length and the empty line."""
    fixed = {
        "Host": where.authority,
        **({"Content-Type": "application/json"} if method == "POST" else {}),
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "User-Agent": "benchsuite",
    }
    lines = [f"{method} {where.path} HTTP/1.1"]
    for name, value in {**fixed, **headers}.items():
        if any(character in f"{name}{value}" for character in "\r\n\0"):
            raise EndpointError(f"header {name!r} holds a line break")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")
