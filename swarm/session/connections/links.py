"""The connections of a session: the port on which it listens, the links that come, those it dials."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError
from swarm.base.ids import InfoHash
from swarm.net.outlet import NO_WAY, Outlet, bind_addresses
from swarm.net.ways_out import is_ours
from swarm.session.bugs import failure
from swarm.session.connections.door import BLOCKED, Door
from swarm.session.connections.listener import BACKLOG, listen
from swarm.session.connections.peer_link import LinkOwner, PeerLink
from swarm.session.connections.throttle import Throttle
from swarm.session.notices import PeerNews
from swarm.session.settings import SessionSettings
from swarm.wire.peer.handshake import Handshake

if TYPE_CHECKING:
    from swarm.base.ip_ranges import IpRanges
    from swarm.session.connections.blocklist import Blocklist

#: Finds the host of a torrent and the handshake to answer with; None where that torrent is not here.
FindOwner = Callable[[InfoHash], tuple[LinkOwner, Handshake] | None]


class Links:
    """All links of a session, whichever torrent they belong to, and the limits that they share.

    Args:
        port: to listen on; None for the first free one of the settings' range.
        bind: an address or interface that all traffic uses.
        find_owner: whom an incoming link is for.
        on_notice: (level, text) for the user; on_refused: whose link was not let in.

    Attributes:
        port: where peers reach us, once it is open.
        families: is IPv6? for each family over which they do.
        outlet: where everything must leave, once it is open.
    """

    def __init__(
        self,
        settings: SessionSettings,
        find_owner: FindOwner,
        on_notice: Callable[[str, str], None],
        on_refused: Callable[[PeerNews], None],
        *,
        port: int | None,
        bind: str | None,
    ) -> None:
        self.settings = settings
        self.receive_buffer = memoryview(bytearray(settings.receive_buffer_bytes))
        self.port = 0
        self.families: list[bool] = []
        self.outlet = Outlet()
        self._find_owner = find_owner
        self._on_notice = on_notice
        self._on_refused = on_refused
        self._door = Door(settings)
        self._blocklist: Blocklist | None = None
        self._wanted_port = port
        self._bind = bind
        self._servers: list[asyncio.Server] = []
        self._is_listening = False
        self._links: set[PeerLink] = set()
        self._dials: set[asyncio.Task[None]] = set()
        self._none_left: asyncio.Event | None = None

    def __len__(self) -> int:
        return len(self._links)

    async def open(self) -> None:
        """Listen.

        Raises:
            SwarmError: the port is in use. SettingsError: `bind` is not ours, or the blocklist is none.
            StorageError: the blocklist cannot be read.
        """
        loop = asyncio.get_running_loop()
        if self.settings.blocklist is not None:
            from swarm.session.connections.blocklist import Blocklist

            path, check_s = self.settings.blocklist, self.settings.blocklist_check_s
            self._blocklist = Blocklist(path, check_s, self._block, self._on_notice)
            await self._blocklist.open()
        self.up_throttle = Throttle(loop)
        self.down_throttle = Throttle(loop)
        self.outlet = Outlet.of(self._bind)
        first, tried = self.settings.first_port, self.settings.ports_tried
        ports = range(first, first + tried) if self._wanted_port is None else (self._wanted_port,)
        await self._listen(ports)
        self._is_listening = True
        if self._blocklist is not None:
            self._blocklist.watch()

    async def _listen(self, ports: Sequence[int]) -> None:
        loop = asyncio.get_running_loop()
        sockets, self.port = listen(bind_addresses(self._bind), ports, self.outlet)
        self.families = list(dict.fromkeys(listener.family == socket.AF_INET6 for listener in sockets))
        try:
            for listener in sockets:
                # It is begun by itself: where we are cancelled meanwhile there is a server to be closed.
                server = await loop.create_server(
                    self._accept, sock=listener, backlog=BACKLOG, start_serving=False
                )
                self._servers.append(server)
                await server.start_serving()
        except BaseException:
            self.stop_listening()
            for listener in sockets:
                listener.close()
            raise

    async def network_changed(self) -> None:
        """Close links whose address at our end is no longer ours: TCP would wait for minutes.

        Where we are bound to an interface, it is listened on anew, at the address that it has now.
        """
        if self.outlet.interface and self._is_listening:
            for server in self._servers:
                server.close()
            self._servers.clear()
            # The loop lets go of the port in its next round.
            await asyncio.sleep(0)
            try:
                if self._is_listening:
                    await self._listen([self.port])
                if not self._is_listening:
                    # The session was closed meanwhile.
                    self.stop_listening()
            except SwarmError as error:
                self._on_notice("warning", f"nobody can reach us: {error}")
        ours: dict[str, bool] = {"": True}
        for link in list(self._links):
            host = link.own_host
            if host not in ours:
                ours[host] = is_ours(host)
            if not ours[host]:
                link.close("the network has changed: its way is gone")

    def stop_listening(self) -> None:
        self._is_listening = False
        for server in self._servers:
            server.close()

    async def close(self) -> None:
        """Stop listening, end every dial and every link; `gone` waits until the links have ended."""
        self.stop_listening()
        if self._blocklist is not None:
            await self._blocklist.close()
        for dial in self._dials:
            dial.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        for link in list(self._links):
            link.close("the session has ended")
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        self.up_throttle.close()
        self.down_throttle.close()

    async def gone(self) -> None:
        """Wait until no link is left: aborted transports say `connection_lost` in the loop's next round."""
        if self._links:
            self._none_left = asyncio.Event()
            await self._none_left.wait()

    # -- whose they are -------------------------------------------------------------------------

    def of(self, owner: LinkOwner) -> list[PeerLink]:
        """The links of one torrent, those that are not open yet too, in the order of their numbers."""
        return sorted((link for link in self._links if link.owner is owner), key=lambda link: link.number)

    def admit(self, link: PeerLink, handshake: Handshake) -> tuple[LinkOwner, Handshake] | None:
        """Find the torrent that an incoming link asks for."""
        self._door.recognised(link)
        return self._find_owner(handshake.info_hash)

    # -- who may ----------------------------------------------------------------------------------

    def _block(self, ranges: IpRanges) -> None:
        """From now on nothing is exchanged with these addresses."""
        self._door.blocklist = ranges
        for link in list(self._links):
            if link.endpoint.host in ranges:
                link.close(BLOCKED)

    def ban(self, endpoint: Endpoint, reason: str) -> None:
        """Keep everybody at this address out, for it was proven to lie or to flood us."""
        self._door.ban(endpoint, reason)

    def is_refused(self, endpoint: Endpoint) -> bool:
        """Whether nothing is exchanged with this address."""
        return self._door.refusal(endpoint.host) is not None

    def enter(self, link: PeerLink) -> str | None:
        """An incoming link has come; returns why it must go again, or None."""
        refusal = self._door.enter(link)
        if refusal is not None:
            self._on_refused(PeerNews("refused", str(link.endpoint), "", refusal, False))
        return refusal

    # -- coming and going -----------------------------------------------------------------------

    def _accept(self) -> PeerLink:
        link = PeerLink(self)
        self._links.add(link)
        if len(self._links) > self.settings.connections_max:
            # It must be made before it can be closed.
            asyncio.get_running_loop().call_soon(link.close, "there are enough connections")
        return link

    def link_closed(self, link: PeerLink) -> None:
        self._links.discard(link)
        self._door.left(link)
        if not self._links and self._none_left is not None:
            self._none_left.set()

    def dial(self, owner: LinkOwner, handshake: Handshake, endpoint: Endpoint) -> None:
        """Connect to `endpoint` for `owner`; a failure is reported to whoever owns the link by then."""
        link = PeerLink(self, owner=owner, handshake=handshake, dialled=endpoint)
        self._links.add(link)
        task = asyncio.get_running_loop().create_task(self._dial(link, endpoint))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, link: PeerLink, endpoint: Endpoint) -> None:
        if len(self._links) > self.settings.connections_max:
            self._links.discard(link)
            assert link.owner is not None
            # The address has done nothing wrong.
            link.owner.dial_failed(endpoint, "there are enough connections", is_tried=False)
            return
        try:
            refusal = self._door.refusal(endpoint.host)
            if refusal is not None:
                raise OSError(refusal)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(self.settings.connect_timeout_s):
                # uvloop would look for a link-local address on the first interface, whatever its zone.
                if self._bind is None and "%" not in endpoint.host:
                    await loop.create_connection(lambda: link, endpoint.host, endpoint.port)
                else:
                    connected = await self.outlet.connect(endpoint.host, endpoint.port)
                    await loop.create_connection(lambda: link, sock=connected)
        except asyncio.CancelledError:
            self._links.discard(link)
            raise
        except Exception as error:
            self._links.discard(link)
            if isinstance(error, OSError):
                reason = _why_not(error)
            else:
                # The address must not stay one that is being dialled.
                reason = str(failure(error, f"dialling {endpoint}"))
            assert link.owner is not None
            has_way = not (isinstance(error, OSError) and error.errno in NO_WAY)
            link.owner.dial_failed(endpoint, reason, has_way=has_way)
        if link.owner is not None and link.owner.is_stopped:
            link.close("the torrent was stopped")


def _why_not(error: OSError) -> str:
    """Why there is no link, in the system's words unless we have better ones of our own."""
    if isinstance(error, TimeoutError):
        return "no answer"
    words = error.strerror or str(error)
    of_system = os.strerror(error.errno or 0)
    # The loops have the system's words, or only say whom they called.
    if words == of_system or words.startswith("Connect call failed"):
        return of_system.lower()
    return words
