"""Questions to the DNS that the system's resolver cannot ask: TXT records, by the package `dnspython`."""

from __future__ import annotations

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from swarm.base.endpoint import Endpoint

TIMEOUT_S = 5.0


async def text_records(
    name: str, timeout_s: float = TIMEOUT_S, server: Endpoint | None = None, *, source: str | None = None
) -> list[str]:
    """The TXT records of `name`, each with its strings joined; none where it has none.

    Args:
        server: the DNS server to ask; those of the system by default.
        source: the local address to ask from.

    Raises:
        OSError: nobody could be asked, or nobody answered.
    """
    try:
        if server is None:
            resolver = dns.asyncresolver.get_default_resolver()
        else:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers = [server.host]
            resolver.port = server.port
        # A name of a URL is whole: no domain of ours is added to it.
        whole = dns.name.from_text(name)
        answer = await resolver.resolve(
            whole, "TXT", lifetime=timeout_s, raise_on_no_answer=False, source=source
        )
    except dns.resolver.NXDOMAIN:
        return []
    except dns.exception.DNSException as error:
        raise OSError(str(error)) from None
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
