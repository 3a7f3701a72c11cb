"""Compact node info: a node's id and address in 26 bytes, or 38 for IPv6 (BEP 5, 32)."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from swarm.base.endpoint import Endpoint, encode_compact

CONTACT_V4_BYTES = 26
CONTACT_V6_BYTES = 38


class Contact(NamedTuple):
    """A node as others name it: its id (20 bytes; empty where it is not known) and its address."""

    node_id: bytes
    endpoint: Endpoint


def decode_contacts(raw: bytes, *, is_v6: bool) -> list[Contact]:
    """Read the entries of `nodes` or `nodes6`; entries with port 0, and a tail that is none, are left out."""
    found = []
    if is_v6:
        for at in range(0, len(raw) - CONTACT_V6_BYTES + 1, CONTACT_V6_BYTES):
            port = raw[at + 36] << 8 | raw[at + 37]
            if port:
                host = str(ipaddress.IPv6Address(raw[at + 20 : at + 36]))
                found.append(Contact(raw[at : at + 20], Endpoint(host, port)))
        return found
    for at in range(0, len(raw) - CONTACT_V4_BYTES + 1, CONTACT_V4_BYTES):
        port = raw[at + 24] << 8 | raw[at + 25]
        if port:
            host = f"{raw[at + 20]}.{raw[at + 21]}.{raw[at + 22]}.{raw[at + 23]}"
            found.append(Contact(raw[at : at + 20], Endpoint(host, port)))
    return found


def encode_contact(contact: Contact) -> bytes:
    """The 26 or 38 bytes of one entry of `nodes` or `nodes6`."""
    return contact.node_id + encode_compact(contact.endpoint)
