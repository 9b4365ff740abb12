"""Which address of a host to connect to, and whose fault it is where that fails."""

import asyncio
import errno
import socket
import ssl

from benchsuite.endpoints.http_request import Target
from benchsuite.errors import EndpointError

Address = tuple[socket.AddressFamily, tuple[str, int]]


async def resolve(
    loop: asyncio.AbstractEventLoop, url: str, where: Target, within_s: float
) -> Address:
    """Raises EndpointError where nobody knows the name."""
    try:
        found = await loop.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise EndpointError(f"{url}: cannot resolve {where.host}: {error.strerror}") from error
    addresses: list[Address] = [
        (family, (str(address[0]), int(address[1]))) for family, _, _, _, address in found
    ]
    return await _first_that_answers(loop, addresses, within_s)


async def _first_that_answers(
    loop: asyncio.AbstractEventLoop, addresses: list[Address], within_s: float
) -> Address:
    """A name may have several addresses, such as `localhost` where the server knows only one."""
    if len(addresses) > 1:
        for family, address in addresses:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.setblocking(False)
                try:
                    async with asyncio.timeout(within_s):
                        await loop.sock_connect(sock, address)
                except OSError:
                    continue
                return family, address
    return addresses[0]


def error_class_of(error: OSError) -> str:
    """Which end is to blame: `client_*` are faults of the machine that sends the load."""
    if isinstance(error, TimeoutError):
        return "timeout_connect"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    names = {errno.EMFILE: "client_files", errno.ENFILE: "client_files"}
    names[errno.EADDRNOTAVAIL] = "client_ports"
    return names.get(error.errno or 0, "connect")
