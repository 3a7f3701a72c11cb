"""BEP 34: records to trackers, trackers to URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.wire.tracker.preferences import ALTERNATIVES_MAX, Service, decode_preferences, preferred_urls

UDP, TCP = Service("udp", 1337), Service("tcp", 80)


class TestRecords:
    @pytest.mark.parametrize(
        ("records", "services"),
        [
            (["BITTORRENT"], ()),
            (["BITTORRENT DENY ALL"], ()),
            (["BITTORRENT UDP:1337 TCP:80"], (UDP, TCP)),
            (["BITTORRENT TCP:80  UDP:1337"], (TCP, UDP)),
            (["v=spf1 -all", "BITTORRENT UDP:1337"], (UDP,)),
            (["BITTORRENT UDP:1337", "BITTORRENT TCP:80 UDP:1337"], (UDP, TCP)),
            (["BITTORRENT NEW:1 udp:5 UDP: UDP:x UDP:0 UDP:65536 UDP:999999999 UDP:² UDP:1337"], (UDP,)),
            ([], None),
            (["bittorrent deny all", "BITTORRENTS", " BITTORRENT", "", "X BITTORRENT"], None),
        ],
    )
    def test_say_which_trackers_there_are(
        self, records: list[str], services: tuple[Service, ...] | None
    ) -> None:
        assert decode_preferences(records) == services

    def test_are_read_only_so_far(self) -> None:
        assert (
            len(decode_preferences(["BITTORRENT" + "".join(f" UDP:{n}" for n in range(1, 9999))]) or ()) == 63
        )

    @given(st.lists(st.text(max_size=50) | st.text("BITORENUDPC:0123 ", max_size=50), max_size=5))
    def test_of_any_text_are_services_or_nothing(self, records: list[str]) -> None:
        for service in decode_preferences(records) or ():
            assert service.protocol in ("udp", "tcp") and 0 < service.port < 65536


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "services", "urls"),
        [
            ("http://t.org/announce", None, ["http://t.org/announce"]),
            ("http://t.org/announce", [], []),
            ("http://t.org/announce", [UDP, TCP], ["http://t.org/announce"]),
            ("udp://t.org:1337/announce", [TCP, UDP], ["udp://t.org:1337/announce"]),
            (
                "http://t.org:6969/announce?k=1",
                [UDP, TCP],
                ["udp://t.org:1337/announce?k=1", "http://t.org:80/announce?k=1"],
            ),
            ("https://t.org/a", [TCP], ["https://t.org:80/a"]),
            ("https://t.org/a", [Service("tcp", 443)], ["https://t.org/a"]),
            ("udp://t.org:80", [TCP], ["http://t.org:80"]),
            ("http://u:p@t.org:1/a", [TCP, UDP], ["http://u:p@t.org:80/a", "udp://t.org:1337/a"]),
        ],
    )
    def test_are_put_right(self, url: str, services: list[Service] | None, urls: list[str]) -> None:
        assert preferred_urls(url, services) == urls

    def test_others_are_few(self) -> None:
        services = [Service("udp", port) for port in range(1, 50)]
        assert len(preferred_urls("http://t.org/announce", services)) == ALTERNATIVES_MAX
