"""TXT records, which the system's resolver cannot look up: the one door to the package `dnspython`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.resolver

from swarm.base.endpoint import Endpoint

TIMEOUT_S = 5.0


async def text_records(
    name: str,
    timeout_s: float = TIMEOUT_S,
    server: Endpoint | None = None,
    *,
    sources: Mapping[bool, str] | None = None,
) -> list[str]:
    """The TXT records of `name`, each with its strings joined; empty where it has none.

    Args:
        server: the DNS server to ask; None for those of the system.
        sources: is IPv6? -> the local address to ask from; servers of a family that is not in it are not
            asked. Empty or None: any.

    Raises:
        OSError: no server could be asked, or none has answered.
    """
    try:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [
            _Server(one, sources[":" in one.host] if sources else None)
            for one in ([server] if server is not None else _servers_of_system())
            if not sources or (":" in one.host) in sources
        ]
        # The name is absolute: the system's search domains are not appended.
        whole = dns.name.from_text(name)
        answer = await resolver.resolve(whole, "TXT", lifetime=timeout_s, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return []
    except dns.exception.DNSException as error:
        raise OSError(str(error)) from None
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


class _Server(dns.nameserver.Do53Nameserver):
    """A DNS server that is asked from an address of its own: a resolver has only one for all servers."""

    def __init__(self, endpoint: Endpoint, source: str | None) -> None:
        super().__init__(endpoint.host, endpoint.port)
        self._source = source

    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,  # noqa: ASYNC109  # the package's own
        source: str | None,
        *rest: Any,
        **more: Any,
    ) -> dns.message.Message:
        return await super().async_query(request, timeout, self._source, *rest, **more)


def _servers_of_system() -> list[Endpoint]:
    known = dns.asyncresolver.get_default_resolver()
    # Those of a system are numeric addresses; the type has dnspython's own objects as well.
    hosts = [host for host in known.nameservers if isinstance(host, str)]
    return [Endpoint(host, known.nameserver_ports.get(host, known.port)) for host in hosts]
