"""One live connection to a peer: bytes in, messages out, and the other way round."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

from swarm.base.blocks import Geometry
from swarm.base.bucket import Bucket
from swarm.base.endpoint import Endpoint, host_of
from swarm.base.errors import PeerError
from swarm.base.ids import client_name
from swarm.session.bugs import failure
from swarm.session.connections.outbox import Outbox
from swarm.session.connections.throttle import Throttle
from swarm.session.settings import SessionSettings
from swarm.wire.peer.extended import LOCAL_IDS
from swarm.wire.peer.handshake import HANDSHAKE_BYTES, Handshake, decode_handshake, encode_handshake
from swarm.wire.peer.messages import Message
from swarm.wire.peer.protocol import Decoder, EarlyDecoder

if TYPE_CHECKING:
    from swarm.storage.chunks import Chunk

#: Extension messages of what a peer has and wants: they wait where it is not known how many pieces there are.
_OF_PIECES = frozenset((LOCAL_IDS["lt_donthave"], LOCAL_IDS["upload_only"]))


class LinkOwner(Protocol):
    """The host of the torrent that a link belongs to (`runner` or `metadata_fetch`), as the link sees it."""

    @property
    def is_stopped(self) -> bool: ...
    @property
    def geometry(self) -> Geometry | None: ...
    @property
    def up_bucket(self) -> Bucket: ...
    @property
    def down_bucket(self) -> Bucket: ...
    def link_opened(self, link: PeerLink, handshake: Handshake, *, is_greeted: bool = False) -> None: ...
    def link_received(self, link: PeerLink, messages: Sequence[Message]) -> None: ...
    def link_sent(self, link: PeerLink, length: int, chunks: Sequence[Chunk]) -> None: ...
    def link_lost(self, link: PeerLink, reason: str) -> None: ...
    def dial_failed(
        self, endpoint: Endpoint, reason: str, *, is_tried: bool = ..., has_way: bool = ...
    ) -> None: ...


class LinkSource(Protocol):
    """The session, as a link sees it before it knows its torrent."""

    settings: SessionSettings
    #: All links of a loop receive into this one buffer: `get_buffer` and `buffer_updated` run back to
    #: back, and what is left over of a frame is kept aside, so that an idle link costs next to nothing.
    receive_buffer: memoryview
    up_throttle: Throttle
    down_throttle: Throttle

    def enter(self, link: PeerLink) -> str | None: ...
    def admit(self, link: PeerLink, handshake: Handshake) -> tuple[LinkOwner, Handshake] | None: ...
    def link_closed(self, link: PeerLink) -> None: ...


class PeerLink(asyncio.BufferedProtocol):
    """The protocol object of one TCP connection.

    Args:
        source: the session.
        owner, handshake, dialled: for an outgoing link its torrent, what to say first, and the address;
            an incoming one learns them from the peer's handshake.
    """

    def __init__(
        self,
        source: LinkSource,
        *,
        owner: LinkOwner | None = None,
        handshake: Handshake | None = None,
        dialled: Endpoint | None = None,
    ) -> None:
        self._source = source
        self._owner = owner
        self._own_handshake = handshake
        self._peer_handshake: Handshake | None = None
        self._decoder: Decoder | EarlyDecoder | None = None
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._leftover = b""
        self._reason = ""
        #: Its blocks on their way out; None before the connection is made, and after it is lost.
        self._outbox: Outbox | None = None
        #: Its share of the turn under a download limit; None when it reads without having waited.
        self._receive_share: int | None = None
        self._is_unlimited = False
        self.is_outgoing = dialled is not None
        self.endpoint = dialled or Endpoint("0.0.0.0", 0)
        #: The engine's number for this link; the owner sets it.
        self.number = -1
        #: It sent frames that are none, after a handshake that was one.
        self.has_offended = False

    @property
    def client(self) -> str:
        """What the peer's id says that it runs; "" before its handshake."""
        return "" if self._peer_handshake is None else client_name(self._peer_handshake.peer_id)

    @property
    def owner(self) -> LinkOwner | None:
        """The host of the torrent that it is for; None until an incoming link has named its torrent."""
        return self._owner

    def hand_over(self, owner: LinkOwner) -> None:
        """From now on the link is `owner`'s, which knows the geometry: it gets the frames kept until now."""
        early, self._owner = self._decoder, owner
        if not isinstance(early, EarlyDecoder):
            return  # It is not open yet.
        assert self._peer_handshake is not None and self._own_handshake is not None
        try:
            owner.link_opened(self, self._peer_handshake, is_greeted=True)
            self._decoder = self._make_decoder(owner, self._own_handshake, self._peer_handshake)
            messages, _ = self._decoder.decode(memoryview(early.kept), len(early.kept))
            owner.link_received(self, messages)
        except PeerError as error:
            self._offend(error)
        except Exception as error:
            # As the transport would, had the peer only now sent what broke.
            self.close(str(failure(error, f"taking over the link to {self.endpoint}")))

    # -- coming and going -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._reason:
            # It was closed before it was made.
            self._transport.abort()
            return
        if not self.is_outgoing:
            address = transport.get_extra_info("peername")
            if address is None:
                # It was reset before we came to it; uvloop does not know any more who it was.
                self.close("it was gone before it came in")
                return
            self.endpoint = Endpoint(host_of(address), address[1])
            refusal = self._source.enter(self)
            if refusal is not None:
                self.close(refusal)
                return
        settings = self._source.settings
        # Limits are for the uplink that others share with us; the local network has room.
        self._is_unlimited = (
            settings.is_local_unlimited and self.endpoint.is_local and not self.endpoint.is_loopback
        )
        self._transport.set_write_buffer_limits(
            settings.send_high_water_bytes, settings.send_high_water_bytes // 4
        )
        self._outbox = Outbox(
            self._transport,
            self._source.up_throttle,
            settings.send_high_water_bytes,
            on_sent=self._sent,
            on_bug=self._cannot_send,
        )
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(
            settings.handshake_timeout_s, self.close, "it did not finish the handshake"
        )
        if self._own_handshake is not None:
            self._transport.write(encode_handshake(self._own_handshake))

    @property
    def own_host(self) -> str:
        """Our own address on this connection; "" while there is none."""
        address = None if self._transport is None else self._transport.get_extra_info("sockname")
        return host_of(address) if address else ""

    def close(self, reason: str) -> None:
        """End the link at once; `reason` is kept for whoever asks why."""
        if not self._reason:
            self._reason = reason
        if self._transport is not None:
            self._transport.abort()

    def finish(self, reason: str) -> None:
        """End the link after what was written has left."""
        if not self._reason:
            self._reason = reason
        if self._transport is not None:
            self._transport.close()
            # A peer that reads nothing would hold it open for ever.
            if self._deadline is not None:
                self._deadline.cancel()
            self._deadline = asyncio.get_running_loop().call_later(
                self._source.settings.close_timeout_s, self._transport.abort
            )

    def connection_lost(self, error: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._source.link_closed(self)
        self._transport = None
        outbox, self._outbox = self._outbox, None
        if self._owner is not None:
            reason = self._reason or (f"connection lost ({error})" if error else "it closed the connection")
            if not self._reason and self._peer_handshake is None:
                # Who demands an encrypted handshake says nothing to one in the clear.
                reason += " instead of answering our handshake, as those do that demand encryption"
            self._source.down_throttle.leave(self._receive_turn)
            # First that it is gone: else the room in its window would be filled again.
            self._owner.link_lost(self, reason)
            if outbox is not None:
                outbox.give_up()

    def eof_received(self) -> None:
        return None

    # -- bytes in -------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        view = self._source.receive_buffer
        kept = len(self._leftover)
        if kept:
            view[:kept] = self._leftover
            view = view[kept:]
        room = self._receive_room()
        return view if room is None else view[:room]

    def _receive_room(self) -> int | None:
        """How much may be read now under a download limit, be it in the middle of a block; None: anything."""
        owner = self._owner
        if owner is None or self._is_unlimited:
            return None
        throttle = self._source.down_throttle
        if not throttle.is_limiting(owner.down_bucket):
            return None
        room = throttle.room(owner.down_bucket)
        return room if self._receive_share is None else min(room, self._receive_share)

    def buffer_updated(self, nbytes: int) -> None:
        if self._reason:
            return
        if self._owner is not None and not self._is_unlimited:
            self._account_received(self._owner, nbytes)
        view = self._source.receive_buffer
        end = len(self._leftover) + nbytes
        try:
            if self._decoder is None:
                used = self._read_handshake(view, end)
                if self._decoder is None or used == end:
                    self._leftover = bytes(view[used:end])
                    return
                # The frames behind the handshake are decoded where they lie.
                messages, more = self._decoder.decode(view[used:end], end - used)
                used += more
            else:
                messages, used = self._decoder.decode(view, end)
        except PeerError as error:
            self._offend(error)
            return
        self._leftover = bytes(view[used:end]) if used < end else b""
        assert self._owner is not None
        if used:
            # Without a whole message nothing was heard: one byte a minute is no sign of life.
            self._owner.link_received(self, messages)

    def _offend(self, error: PeerError) -> None:
        # A handshake that is none may be an encrypted one, which we cannot read: no offence.
        self.has_offended = self._peer_handshake is not None
        self.close(str(error))

    def _read_handshake(self, view: memoryview, end: int) -> int:
        """Returns how many bytes of `view` are done with."""
        handshake = decode_handshake(view[: min(end, HANDSHAKE_BYTES)])
        if handshake is None:
            return 0
        if self._owner is None:
            admitted = self._source.admit(self, handshake)
            if admitted is None:
                raise PeerError("it asked for a torrent that is not here")
            self._owner, self._own_handshake = admitted
            assert self._transport is not None
            self._transport.write(encode_handshake(self._own_handshake))
        own = self._own_handshake
        assert own is not None
        if handshake.info_hash != own.info_hash:
            raise PeerError("it answered for another torrent")
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._peer_handshake = handshake
        self._decoder = self._make_decoder(self._owner, own, handshake)
        self._owner.link_opened(self, handshake)
        return HANDSHAKE_BYTES

    @staticmethod
    def _make_decoder(owner: LinkOwner, own: Handshake, peers: Handshake) -> Decoder | EarlyDecoder:
        has_fast = own.has_fast and peers.has_fast
        if owner.geometry is None:
            return EarlyDecoder(has_fast=has_fast, later=_OF_PIECES)
        return Decoder(owner.geometry, has_fast=has_fast)

    def _account_received(self, owner: LinkOwner, size_bytes: int) -> None:
        """Pay for what came; where that is more than there is, wait for the next turn before reading on."""
        throttle, own = self._source.down_throttle, owner.down_bucket
        self._receive_share = None
        if not throttle.is_limiting(own):
            return
        throttle.charge(size_bytes, own)
        if throttle.is_spent(own) and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
            throttle.wait(self._receive_turn, own)

    def _receive_turn(self, size_bytes: int) -> tuple[int, bool]:
        """Read about `size_bytes` when they are there; they are paid for then."""
        self._receive_share = size_bytes
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return 0, False

    # -- bytes out ------------------------------------------------------------------------------

    def send(self, frames: bytes) -> None:
        """Queue `frames`; a peer that reads nothing is dropped before they pile up."""
        transport = self._transport
        if transport is None or self._reason:
            return
        transport.write(frames)
        if self._outbox is not None:
            self._outbox.passed(len(frames))
        if self._owner is not None and not self._is_unlimited:
            # Too small to wait, but counted: blocks wait for longer then.
            self._source.up_throttle.charge(len(frames), self._owner.up_bucket)
        if transport.get_write_buffer_size() > self._source.settings.send_backlog_max_bytes:
            self.close("it does not read what we send")

    def send_blocks(self, frames: memoryview, chunk: Chunk, length: int) -> None:
        """Send blocks that lie in wire form in `chunk`, which is pinned; `link_sent` gives it back.

        Args:
            length: bytes of content in `frames`.
        """
        assert self._owner is not None
        # A transport that is lost says so in the loop's next round; until then it complains of each write.
        is_lost = self._transport is None or self._transport.is_closing()
        if self._outbox is None or self._reason or is_lost:
            self._owner.link_sent(self, length, (chunk,))
        else:
            self._outbox.put(frames, chunk, length, None if self._is_unlimited else self._owner.up_bucket)

    def _sent(self, length: int, chunks: Sequence[Chunk]) -> None:
        assert self._owner is not None
        self._owner.link_sent(self, length, chunks)

    def _cannot_send(self, error: Exception) -> None:
        # As the transport would. What was taken from the outbox is lost, and with it the stream.
        self.close(str(failure(error, f"sending to {self.endpoint}")))

    def pause_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.pause()

    def resume_writing(self) -> None:
        if self._outbox is not None:
            self._outbox.resume()
