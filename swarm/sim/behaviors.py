"""How a client may misbehave: between its engine and the network, since the engine itself is honest."""

from __future__ import annotations

import random
from collections.abc import Sequence

from swarm.wire.peer.messages import AllowedFast, Message, Unchoke


class Behavior:
    """An honest client; the others differ from it in what they override.

    Attributes:
        is_honest: it is expected to complete, and the safety checks hold for it.
        claims_all: it says that it has everything from the start.
    """

    is_honest = True
    claims_all = False

    def said(self, messages: Sequence[Message]) -> Sequence[Message]:
        """What it really says where its engine would say `messages`."""
        return messages

    def is_serving(self) -> bool:
        """Does it really send what it was asked for?"""
        return True

    def is_spoiling(self, rng: random.Random) -> bool:
        """Is the quantum that it sends now full of wrong bytes?"""
        return False


class FreeRider(Behavior):
    """Takes and never gives: nobody is ever unchoked."""

    def said(self, messages: Sequence[Message]) -> Sequence[Message]:
        return [message for message in messages if not isinstance(message, Unchoke | AllowedFast)]


class Poisoner(Behavior):
    """Sends wrong bytes in one of four of its quanta, and claims to have everything."""

    is_honest = False
    claims_all = True

    def is_spoiling(self, rng: random.Random) -> bool:
        return rng.random() < 0.25


class FakeSeed(Behavior):
    """Claims to have everything, lets everybody ask, and never sends a byte."""

    is_honest = False
    claims_all = True

    def is_serving(self) -> bool:
        return False


BEHAVIORS: dict[str, type[Behavior]] = {
    "honest": Behavior,
    "free-rider": FreeRider,
    "poisoner": Poisoner,
    "fake-seed": FakeSeed,
}
