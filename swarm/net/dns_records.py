"""Questions to the DNS that the system's resolver cannot ask: TXT records, by the package `dnspython`."""

from __future__ import annotations

import dns.asyncresolver
import dns.exception

TIMEOUT_S = 5.0


async def text_records(name: str, timeout_s: float = TIMEOUT_S) -> list[str]:
    """The TXT records of `name`, each with its strings joined; none where there is no answer."""
    try:
        answer = await dns.asyncresolver.resolve(name, "TXT", lifetime=timeout_s)
    except dns.exception.DNSException:
        return []
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]
