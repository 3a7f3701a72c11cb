"""A DNS server on loopback that knows some TXT records."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from swarm.base.endpoint import Endpoint


class DnsServer(asyncio.DatagramProtocol):
    """Names that are not in `records` do not exist; with `is_silent` it answers nothing."""

    def __init__(self, records: Mapping[str, Sequence[str]], *, is_silent: bool = False) -> None:
        self.records = records
        self.is_silent = is_silent
        self.asked: list[str] = []
        #: From where it was asked, one after the other.
        self.askers: list[str] = []
        self.endpoint = Endpoint("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.endpoint = Endpoint(*transport.get_extra_info("sockname")[:2])

    def datagram_received(self, raw: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(raw)
        name = query.question[0].name.to_text(omit_final_dot=True)
        self.asked.append(name)
        self.askers.append(address[0])
        if self.is_silent:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        texts = self.records.get(name)
        if texts is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif texts:
            response.answer.append(dns.rrset.from_text_list(f"{name}.", 60, "IN", "TXT", list(texts)))
        self._transport.sendto(response.to_wire(), address)


@contextlib.asynccontextmanager
async def dns_server(
    records: Mapping[str, Sequence[str]], *, is_silent: bool = False, host: str = "127.0.0.1"
) -> AsyncIterator[DnsServer]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: DnsServer(records, is_silent=is_silent), local_addr=(host, 0)
    )
    try:
        yield server
    finally:
        transport.close()
