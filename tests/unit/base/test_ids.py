"""Info-hashes and peer ids; names for the clients behind them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.base.errors import MetainfoError
from swarm.base.ids import InfoHash, PeerId, client_name


class TestInfoHash:
    def test_hex_and_base32_name_the_same(self) -> None:
        wanted = InfoHash(bytes.fromhex("c9e15763f722f23e98a29decdfae341b98d53056"))
        assert InfoHash.parse("C9E15763f722f23e98a29decdfae341b98d53056") == wanted
        assert InfoHash.parse("zhqvoy7xelzd5gfctxwn7lrudomnkmcw") == wanted
        assert str(wanted) == "c9e15763f722f23e98a29decdfae341b98d53056"
        assert repr(wanted) == f"InfoHash({wanted})"

    @pytest.mark.parametrize("text", ["", "00", "g" * 40, "1" * 32, "0" * 41, "é" * 40, "é" * 32])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(MetainfoError, match="not an info-hash"):
            InfoHash.parse(text)

    @pytest.mark.parametrize("kind", [InfoHash, PeerId])
    def test_wrong_size_is_our_own_fault(self, kind: type[InfoHash] | type[PeerId]) -> None:
        with pytest.raises(ValueError, match="20 bytes"):
            kind(b"short")


class TestPeerId:
    def test_ours_is_ours_and_differs_each_time(self) -> None:
        rng = random.Random(1)
        one, other = PeerId.generate(rng), PeerId.generate(rng)
        assert one != other and one.startswith(b"-SW0100-") and one.isascii()
        assert client_name(one) == "swarm 0.1.0"

    @pytest.mark.parametrize(
        ("prefix", "name"),
        [
            (b"-AZ123B-", "Azureus 1.2.3.11"),
            (b"-AZ1230-", "Azureus 1.2.3"),
            (b"S123--", "Shadow 1.2.3"),
            (b"M1-2-3--", "Mainline 1.2.3"),
            (b"M7-10-3-", "Mainline 7.10.3"),
            (b"M7--2-\x1ba", "Mainline 7..2.\\x1ba"),
            (b"-xx1230-", "xx 1.2.3"),
            (b"-LT2110-", "libtorrent 2.1.1"),
            (b"-TR300Z-", "Transmission 3.0.0.35"),
            (b"A2-1-36-0-", "aria2 1.36.0"),
            (b"nothing", "nothing."),
            (b"-LT21", "-LT21..."),
        ],
    )
    def test_client_is_named_by_its_prefix(self, prefix: bytes, name: str) -> None:
        assert client_name(prefix.ljust(20, b".")) == name

    @pytest.mark.parametrize("prefix", [b"", b"S", b"M", b"A2-", b"-LT", b"-"])
    @given(tail=st.binary(min_size=20, max_size=20))
    def test_any_bytes_have_a_name_fit_for_a_terminal(self, prefix: bytes, tail: bytes) -> None:
        name = client_name((prefix + tail)[:20])
        assert name.isascii() and name.isprintable() and len(name) < 60

    @pytest.mark.parametrize(
        "prefix", [b"S\xb2\xb2\xb2----", b"-LT\xb2\xb2\xb2\xb2-", b"A2-\x1b[2J\x07..", b"M\xb2-\xb2-\xb2--"]
    )
    def test_tricky_bytes_are_escaped(self, prefix: bytes) -> None:
        name = client_name(prefix.ljust(20, b"."))
        assert name.isascii() and name.isprintable()
