"""One live connection to a peer: bytes in, messages out, and the other way round."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.bucket import Bucket
from swarm.base.endpoint import Endpoint, host_of
from swarm.base.errors import PeerError
from swarm.base.ids import client_name
from swarm.session.bugs import failure
from swarm.session.connections.throttle import Throttle
from swarm.session.settings import SessionSettings
from swarm.wire.peer.extended import LOCAL_IDS
from swarm.wire.peer.handshake import HANDSHAKE_BYTES, Handshake, decode_handshake, encode_handshake
from swarm.wire.peer.messages import Message
from swarm.wire.peer.protocol import BLOCK_HEAD_BYTES, Decoder, EarlyDecoder

if TYPE_CHECKING:
    from swarm.storage.pieces import Chunk

#: A block and its head, as they lie in a chunk.
WIRE_BLOCK_BYTES = BLOCK_BYTES + BLOCK_HEAD_BYTES
#: Extension messages of what a peer has and wants: they wait where it is not known how many pieces there are.
_OF_PIECES = frozenset((LOCAL_IDS["lt_donthave"], LOCAL_IDS["upload_only"]))


class LinkOwner(Protocol):
    """Whoever runs the torrent (`runner`, or `metadata_fetch` at first), as its links see it."""

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
        self._is_paused = False
        self._written_bytes = 0
        #: Chunks in the transport's hands: (chunk, content bytes, where in the stream it ends).
        self._sending: deque[tuple[Chunk, int]] = deque()
        self._unreported_bytes = 0
        #: Blocks that wait for their turn under an upload limit: (frames, chunk, content bytes).
        self._outbox: deque[tuple[memoryview, Chunk, int]] = deque()
        self._is_waiting_to_send = False
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
        """Whose it is; None for an incoming link that has not said what it wants."""
        return self._owner

    def hand_over(self, owner: LinkOwner) -> None:
        """From now on it is `owner`'s, who knows the geometry and gets what was kept for this moment."""
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
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(
            settings.handshake_timeout_s, self.close, "it did not finish the handshake"
        )
        if self._own_handshake is not None:
            self._transport.write(encode_handshake(self._own_handshake))

    @property
    def own_host(self) -> str:
        """By which of our addresses it leaves; "" while it has none."""
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
        self._is_paused = False
        if self._owner is not None:
            reason = self._reason or (f"connection lost ({error})" if error else "it closed the connection")
            length = self._unreported_bytes
            self._unreported_bytes = 0
            chunks = [chunk for chunk, _ in self._sending]
            self._sending.clear()
            for _, chunk, waiting in self._outbox:
                chunks.append(chunk)
                length += waiting
            self._outbox.clear()
            self._source.up_throttle.leave(self._send_turn)
            self._source.down_throttle.leave(self._receive_turn)
            # First that it is gone: else the room in its window would be filled again.
            self._owner.link_lost(self, reason)
            self._owner.link_sent(self, length, chunks)

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
        self._written_bytes += len(frames)
        if self._owner is not None and not self._is_unlimited:
            # Too small to wait, but counted: blocks wait for longer then.
            self._source.up_throttle.charge(len(frames), self._owner.up_bucket)
        if transport.get_write_buffer_size() > self._source.settings.send_backlog_max_bytes:
            self.close("it does not read what we send")

    def send_blocks(self, frames: memoryview, chunk: Chunk, length: int) -> None:
        """Queue blocks that lie in wire form in `chunk` (pinned); `link_sent` gives both back.

        Args:
            length: bytes of content in `frames`.
        """
        transport = self._transport
        assert self._owner is not None
        if transport is None or self._reason:
            self._owner.link_sent(self, length, (chunk,))
            return
        if self._outbox or (
            not self._is_unlimited and self._source.up_throttle.is_limiting(self._owner.up_bucket)
        ):
            self._outbox.append((frames, chunk, length))
            self._ask_to_send()
            return
        self._write_blocks(transport, frames, chunk, length)
        if not self._is_paused:
            self._report()

    def _write_blocks(
        self, transport: asyncio.Transport, frames: memoryview, chunk: Chunk, length: int
    ) -> None:
        transport.write(frames)
        self._keep(frames, chunk, length)

    def _keep(self, frames: memoryview, chunk: Chunk, length: int) -> None:
        """Remember what `frames` lie in until they have left."""
        self._written_bytes += len(frames)
        self._sending.append((chunk, self._written_bytes))
        self._unreported_bytes += length

    def _ask_to_send(self) -> None:
        if self._outbox and not self._is_waiting_to_send and not self._is_paused:
            assert self._owner is not None
            self._is_waiting_to_send = True
            self._source.up_throttle.wait(self._send_turn, self._owner.up_bucket)

    def _send_turn(self, size_bytes: int) -> tuple[int, bool]:
        """Send up to `size_bytes` when the ring has come round to us; a bug of ours costs this link alone."""
        try:
            return self._send_waiting(size_bytes)
        except Exception as error:
            # As the transport would. What was taken from the outbox is lost, and with it the stream.
            self.close(str(failure(error, f"sending to {self.endpoint}")))
            return 0, False

    def _send_waiting(self, size_bytes: int) -> tuple[int, bool]:
        """Send up to `size_bytes` of what waits, in whole blocks, but at least one."""
        moved = 0
        transport = self._transport
        runs: list[memoryview] = []
        gathered = 0
        while self._outbox and moved < size_bytes and transport is not None and not self._is_paused:
            frames, chunk, length = self._outbox[0]
            if moved and size_bytes - moved < min(len(frames), WIRE_BLOCK_BYTES):
                # At a low limit one block is a turn, and two would be seen in ten seconds.
                break
            self._outbox.popleft()
            blocks = max(1, (size_bytes - moved) // WIRE_BLOCK_BYTES)
            part = blocks * WIRE_BLOCK_BYTES
            if chunk.source is not None and part < len(frames):
                self._outbox.appendleft((frames[part:], chunk, length - blocks * BLOCK_BYTES))
                frames, length = frames[:part], blocks * BLOCK_BYTES
                # Each part gives the chunk back.
                chunk.pins += 1
            moved += len(frames)
            self._keep(frames, chunk, length)
            # Together: each write of its own wakes whoever reads.
            runs.append(frames)
            gathered += len(frames)
            if gathered >= self._source.settings.send_high_water_bytes:
                transport.write(_together(runs))
                runs, gathered = [], 0
        if transport is not None and runs:
            transport.write(_together(runs))
        if moved and not self._is_paused:
            # Once a turn, not once a run: what the engine hands over next waits for the turn after this.
            self._report()
        # A full transport wakes us in `resume_writing`; until then others take the turns.
        self._is_waiting_to_send = bool(self._outbox) and not self._is_paused
        return moved, self._is_waiting_to_send

    def _report(self) -> None:
        """Tell the owner what has left; chunks whose bytes are not all out stay pinned."""
        assert self._owner is not None
        transport = self._transport
        unsent = transport.get_write_buffer_size() if transport is not None else 0
        left = self._written_bytes - unsent
        chunks = []
        while self._sending and self._sending[0][1] <= left:
            chunks.append(self._sending.popleft()[0])
        length, self._unreported_bytes = self._unreported_bytes, 0
        if length or chunks:
            self._owner.link_sent(self, length, chunks)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._owner is not None:
            self._report()
            self._ask_to_send()


def _together(runs: Sequence[memoryview]) -> memoryview | bytes:
    # Not `writelines`: until CPython 3.13.1 asyncio's own knows no full transport (CVE-2024-12254), and until
    # 3.13.5 none that was closed. Under a limit a copy is little.
    return runs[0] if len(runs) == 1 else b"".join(runs)
