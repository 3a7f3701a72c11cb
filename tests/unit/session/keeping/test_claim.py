"""Who may write to which files, and what it costs to find that out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarm.base.errors import SwarmError
from swarm.base.ids import InfoHash
from swarm.session.keeping.claim import Claim


@contextmanager
def staked(state: Path, number: int, content: Path, *paths: str) -> Iterator[Claim]:
    """The claim of torrent `number` on these files below `content`."""
    # That of a single file has no parts.
    split = [tuple(path.split("/")) if path else () for path in paths]
    claim = Claim(state, InfoHash(bytes([number]) * 20), content, lambda: split)
    try:
        claim.stake()
        yield claim
    finally:
        claim.release()


def test_two_torrents_share_a_folder_and_no_file(tmp_path: Path) -> None:
    content = tmp_path / "there"
    with staked(tmp_path, 1, content, "a", "b/c"), staked(tmp_path, 2, content, "b/d"):
        with pytest.raises(SwarmError, match=f"{content / 'b/c'}: another torrent, 0101"):  # noqa: SIM117
            with staked(tmp_path, 3, content, "x", "b/c"):
                pass
        with staked(tmp_path, 3, content, "x"):
            pass


def test_one_torrent_is_downloaded_to_a_place_once(tmp_path: Path) -> None:
    with staked(tmp_path, 1, tmp_path / "there", "a"):
        with pytest.raises(SwarmError, match="is being downloaded already"):  # noqa: SIM117
            with staked(tmp_path, 1, tmp_path / "there", "a"):
                pass
        with staked(tmp_path, 1, tmp_path / "elsewhere", "a"):
            pass


def test_place_to_which_a_link_leads_is_the_same_place(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    with staked(tmp_path, 1, real / "there", "a"):
        with pytest.raises(SwarmError, match="is being downloaded already"):  # noqa: SIM117
            with staked(tmp_path, 1, tmp_path / "link/there", "a"):
                pass
        with pytest.raises(SwarmError, match="another torrent, 0101"):  # noqa: SIM117
            with staked(tmp_path, 2, tmp_path / "link/there", "a"):
                pass
        with staked(tmp_path, 2, tmp_path / "link/there", "b"):
            pass
    assert not [*(tmp_path / "locks").iterdir()]


@pytest.mark.parametrize("is_outer_first", [True, False])
@pytest.mark.parametrize(("inner", "paths"), [("set/sub", ("x", "deep/b")), ("set/sub/deep/b", ("",))])
def test_download_in_the_folder_of_another_sees_its_files(
    tmp_path: Path, inner: str, paths: tuple[str, ...], is_outer_first: bool
) -> None:
    claims = [("there", ("a", "set/sub/deep/b")), (f"there/{inner}", paths)]
    (first, its_paths), (second, more_paths) = claims if is_outer_first else claims[::-1]
    with staked(tmp_path, 1, tmp_path / first, *its_paths):
        shared = tmp_path / "there/set/sub/deep/b"
        with pytest.raises(SwarmError, match=f"{shared}: another torrent, 0101"):  # noqa: SIM117
            with staked(tmp_path, 2, tmp_path / second, *more_paths):
                pass
        # Nested, but with no file in common.
        with staked(tmp_path, 2, tmp_path / second, "other"):
            pass
    with staked(tmp_path, 2, tmp_path / second, *more_paths):
        pass


def test_downloads_to_other_places_are_not_gone_through(tmp_path: Path) -> None:
    with (
        staked(tmp_path, 1, tmp_path / "one", "a"),
        staked(tmp_path, 2, tmp_path / "two", "a"),
        staked(tmp_path, 3, tmp_path / "three", "a") as claim,
    ):
        assert list(claim.path.parent.iterdir()) == [claim.path]


def test_claim_for_whose_words_there_was_no_room_says_them_when_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Claim(tmp_path, InfoHash(b"1" * 20), tmp_path / "there", lambda: [("a",), ("b",)])
    room_bytes = [0]
    pwrite = os.pwrite

    def write_what_fits(descriptor: int, data: bytes, offset: int) -> int:
        if offset >= room_bytes[-1]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(descriptor, data[: room_bytes[-1] - offset], offset)

    monkeypatch.setattr(os, "pwrite", write_what_fits)
    # The second time a part of it fits, of which nothing else tells the writer.
    for room in (0, 2):
        room_bytes.append(room)
        with pytest.raises(OSError, match="No space left"):
            claim.stake()
    room_bytes.append(1000)
    claim.stake()
    with pytest.raises(SwarmError, match="another torrent"):  # noqa: SIM117
        with staked(tmp_path, 2, tmp_path / "there", "b"):
            pass
    claim.release()


def test_nothing_is_left_of_claims_that_were_given_up(tmp_path: Path) -> None:
    with staked(tmp_path, 1, tmp_path / "there", "a"), staked(tmp_path, 2, tmp_path / "there", "b"):
        pass
    assert not [*tmp_path.rglob("*.lock")] and not [*(tmp_path / "locks").iterdir()]
