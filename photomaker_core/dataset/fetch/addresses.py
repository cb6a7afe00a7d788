"""Which addresses a download may go to: a list of URLs must not reach into the machine or its network."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from photomaker_core.dataset.fetch.candidate import RefusedError

PRIVATE: Final = "a private or local address"


def is_public(address: str) -> bool:
    """True where an IP address belongs to the open internet; IPv4 inside IPv6 counts as that IPv4 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if parsed in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(str(ipaddress.IPv4Address(parsed.packed[-4:])))
    return parsed.is_global and not parsed.is_multicast


class PublicResolver(AbstractResolver):
    """Resolves names and refuses those that lead to a private address, also among others.

    The connection goes to the very addresses that were checked: a name that changes its mind gains nothing.
    """

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(one["host"]) for one in found):
            raise RefusedError(PRIVATE)
        return found

    async def close(self) -> None:
        await self._resolver.close()
