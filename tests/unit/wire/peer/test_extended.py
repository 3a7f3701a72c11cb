"""The extension handshake (BEP 10) and lt_donthave (BEP 54), as others send them."""

from __future__ import annotations

import pytest

from swarm.base import bencode
from swarm.base.errors import PeerError
from swarm.wire.peer.extended import (
    CLIENT_NAME_MAX,
    EXTENSION_NAMES_MAX,
    ExtendedHandshake,
    decode_dont_have,
    decode_extended_handshake,
    decode_upload_only,
    encode_dont_have,
    encode_extended_handshake,
)

#: Captured from qBittorrent 4.4, without the extended id.
QBITTORRENT = bytes.fromhex(
    "6431323a636f6d706c6574655f61676f69323239333465313a6d6431313a6c745f646f6e7468617665693765"
    "31303a73686172655f6d6f646569386531313a75706c6f61645f6f6e6c7969336531323a75745f686f6c6570"
    "756e636869346531313a75745f6d65746164617461693265363a75745f7065786931656531333a6d65746164"
    "6174615f73697a656931333838373665343a72657171693530306531313a75706c6f61645f6f6e6c79693165"
    "313a7632333a71426974746f7272656e742f342e342e30616c70686131363a796f75726970343a7f00000165"
)


class TestReading:
    def test_qbittorrent(self) -> None:
        assert decode_extended_handshake(QBITTORRENT) == ExtendedHandshake(
            extensions={
                "lt_donthave": 7,
                "share_mode": 8,
                "upload_only": 3,
                "ut_holepunch": 4,
                "ut_metadata": 2,
                "ut_pex": 1,
            },
            client="qBittorrent/4.4.0alpha1",
            request_queue=500,
            is_upload_only=True,
            metadata_bytes=138876,
            your_ip=b"\x7f\0\0\1",
        )

    def test_example_of_bep_10(self) -> None:
        payload = "d1:md11:LT_metadatai1e6:ut_PEXi2ee1:pi6881e1:v13:µTorrent 1.2e".encode()
        assert decode_extended_handshake(payload) == ExtendedHandshake(
            extensions={"LT_metadata": 1, "ut_PEX": 2}, listen_port=6881, client="µTorrent 1.2"
        )

    def test_name_in_latin_1_does_not_hurt(self) -> None:
        """BEP 10's example to the letter has a micro sign of one byte in a name."""
        payload = b"d1:md11:LT_metadatai1e6:\xb5T_PEXi2ee1:pi6881ee"
        assert decode_extended_handshake(payload).extensions["LT_metadata"] == 1

    def test_empty_dictionary_says_nothing(self) -> None:
        assert decode_extended_handshake(b"de") == ExtendedHandshake()

    def test_number_0_switches_an_extension_off(self) -> None:
        assert decode_extended_handshake(b"d1:md11:LT_metadatai0eee").extensions == {"LT_metadata": 0}

    def test_bytes_behind_the_dictionary_are_left_alone(self) -> None:
        assert decode_extended_handshake(b"d1:pi7eeXYZ").listen_port == 7

    @pytest.mark.parametrize(
        "payload",
        [
            b"d1:mi1ee",
            b"d1:md1:ai-1e1:bi256e1:c1:xeee"[:-1],
            b"d1:pi0ee",
            b"d1:pi65536ee",
            b"d1:p4:6881e",
            b"d4:reqqi-5ee",
            b"d4:reqqi99999999999ee",
            b"d13:metadata_sizei-1ee",
            b"d13:metadata_sizei2147483648ee",
            b"d11:upload_onlyi2ee",
            b"d1:vi7ee",
            b"d6:yourip3:abce",
        ],
    )
    def test_values_out_of_range_are_passed_over(self, payload: bytes) -> None:
        assert decode_extended_handshake(payload) == ExtendedHandshake()

    def test_client_name_is_cut_and_may_be_any_bytes(self) -> None:
        client = decode_extended_handshake(bencode.encode({b"v": b"\xff" * 500})).client
        assert len(client) == CLIENT_NAME_MAX

    @pytest.mark.parametrize("payload", [b"", b"hello", b"le", b"i1e", b"d", b"d1:m", b"d" * 5000])
    def test_what_is_no_dictionary_is_an_error(self, payload: bytes) -> None:
        with pytest.raises(PeerError, match="extension handshake"):
            decode_extended_handshake(payload)

    def test_a_bomb_of_names_is_an_error(self) -> None:
        names = {f"extension {number}".encode(): 1 for number in range(EXTENSION_NAMES_MAX + 1)}
        with pytest.raises(PeerError, match="names 65 extensions"):
            decode_extended_handshake(bencode.encode({b"m": names}))


class TestWriting:
    @pytest.mark.parametrize(
        "handshake",
        [
            ExtendedHandshake(),
            ExtendedHandshake(
                extensions={"lt_donthave": 1},
                listen_port=6881,
                client="swarm 0.1.0",
                request_queue=2000,
                is_upload_only=True,
                metadata_bytes=1000,
                your_ip=bytes(16),
            ),
        ],
    )
    def test_handshake_comes_back_as_it_went(self, handshake: ExtendedHandshake) -> None:
        assert decode_extended_handshake(encode_extended_handshake(handshake)) == handshake


class TestUploadOnly:
    def test_handshake_may_take_it_back(self) -> None:
        assert decode_extended_handshake(b"d11:upload_onlyi0ee").is_upload_only is False

    @pytest.mark.parametrize(("payload", "is_upload_only"), [(b"\0", False), (b"\1", True), (b"\xff", True)])
    def test_message_is_one_byte(self, payload: bytes, is_upload_only: bool) -> None:
        assert decode_upload_only(payload) == is_upload_only

    @pytest.mark.parametrize("payload", [b"", b"\0\1"])
    def test_wrong_size_is_an_error(self, payload: bytes) -> None:
        with pytest.raises(PeerError, match="upload_only"):
            decode_upload_only(payload)


class TestDontHave:
    @pytest.mark.parametrize("piece", [0, 5, 2**32 - 1])
    def test_piece_comes_back_as_it_went(self, piece: int) -> None:
        assert decode_dont_have(encode_dont_have(piece)) == piece

    @pytest.mark.parametrize("payload", [b"", b"\0\0\0", b"\0\0\0\0\0"])
    def test_wrong_size_is_an_error(self, payload: bytes) -> None:
        with pytest.raises(PeerError, match="lt_donthave"):
            decode_dont_have(payload)
