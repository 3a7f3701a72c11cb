"""What becomes due merely because time passes: rates are sampled, silent peers noticed, slots given anew."""

from __future__ import annotations

from swarm.engine.alarms import Alarms
from swarm.engine.download.requests import Requests
from swarm.engine.peer import Peer, Send
from swarm.engine.rates import Traffic
from swarm.engine.settings import EngineSettings
from swarm.engine.upload.slots import Slots
from swarm.engine.upload.superseeding import SuperSeeding
from swarm.engine.upload.uploads import Uploads
from swarm.engine.worth import Drop, Worth
from swarm.wire.peer.messages import KeepAlive


class Upkeep:
    """Looks after every peer about once a second, or once a choke round where nothing moves.

    Args:
        peers: all that are connected, by number; the coordinator's own dictionary.
    """

    __slots__ = (
        "_alarms",
        "_drop",
        "_only",
        "_peers",
        "_requests",
        "_send",
        "_settings",
        "_slots",
        "_super_seeding",
        "_traffic",
        "_uploads",
        "_worth",
    )

    def __init__(
        self,
        peers: dict[int, Peer],
        requests: Requests,
        uploads: Uploads,
        slots: Slots,
        super_seeding: SuperSeeding,
        worth: Worth,
        traffic: Traffic,
        settings: EngineSettings,
        send: Send,
        drop: Drop,
        alarms: Alarms,
        now: float,
    ) -> None:
        self._alarms = alarms
        self._peers = peers
        self._requests = requests
        self._uploads = uploads
        self._slots = slots
        self._super_seeding = super_seeding
        self._worth = worth
        self._traffic = traffic
        self._settings = settings
        self._send = send
        self._drop = drop
        #: Who alone was there at the last tick, and since.
        self._only: Peer | None = None
        alarms.tick_at = now

    def joined(self, now: float) -> None:
        """A peer is about to be one of ours."""
        if not self._peers:
            self._alarms.tick_at = now + self._settings.tick_s
        elif self._only is not None:
            self._only.is_only = False
            self._only = None

    def woken(self, now: float) -> None:
        """Do what is due by `now`."""
        alarms = self._alarms
        if now >= alarms.refill_at or now >= alarms.dry_at:
            self._slots.refill(now)
        if now >= alarms.look_again_at:
            # Those who owe blocks have been silent for a while, and nobody else may have anything to say.
            alarms.look_again_at = float("inf")
            self._requests.fill_all(now)
        if now >= alarms.tick_at:
            is_busy = self._tick(now)
            # Without traffic a look every choke round is enough.
            alarms.tick_at = now + (self._settings.tick_s if is_busy else self._settings.choke_round_s)

    def _tick(self, now: float) -> bool:
        """Everybody's turn; returns whether anything moves."""
        self._traffic.sample(now)
        self._look_for_company()
        is_busy = self._super_seeding.is_active
        for peer in list(self._peers.values()):
            peer.download.sample(now)
            peer.upload.sample(now)
            is_busy = is_busy or bool(peer.asked_blocks or peer.sending_bytes or peer.refused)
            is_busy = is_busy or not peer.download.is_idle
            self._look_after(peer, now)
        self._uploads.tick(now)
        if self._super_seeding.is_active:
            self._super_seeding.tick(now)
        if now >= self._slots.next_round_at:
            self._slots.round(now)
            for peer in list(self._peers.values()):
                # A full queue refuses too (transmission's does): by now it may have room.
                self._requests.excuse(peer)
                if peer.is_upload_only:
                    # We may have got all that it had for us.
                    self._worth.part_if_useless(peer, now)
        self._requests.make_room()
        self._requests.fill_all(now)
        return is_busy

    def _look_for_company(self) -> None:
        """From one tick to the next nobody else was there: that is no crowd that is only beginning."""
        only = next(iter(self._peers.values())) if len(self._peers) == 1 else None
        if only is not None:
            only.is_only = only is self._only and only.is_seed
        self._only = only

    def _look_after(self, peer: Peer, now: float) -> None:
        """Timeouts and keep-alives of one peer."""
        settings = self._settings
        if now - peer.heard_at >= settings.idle_s:
            self._drop(peer, "nothing was heard from it for too long", now, is_welcome=True)
            return
        if peer.sending_bytes and now - peer.last_served_at >= settings.send_stall_s:
            self._drop(peer, "it does not read what it asked for", now)
            return
        is_fake = peer.is_stalled and not peer.download.total_bytes
        if is_fake and now - peer.connected_at >= settings.fake_seed_s:
            self._drop(peer, "it answers none of our requests", now)
            return
        if now - peer.said_at >= settings.keep_alive_s and not peer.sending_bytes:
            self._send(peer, [KeepAlive()])
        self._requests.look_after(peer, now)
