"""Tries at the metadata: which are made, and what their failures prove."""

from __future__ import annotations

from swarm.engine.metadata.drafts import Draft, Drafts
from swarm.engine.settings import EngineSettings

KIB16 = 16384
SETTINGS = EngineSettings(metadata_drafts_max=2, metadata_draft_s=20.0)


def give(draft: Draft, *pieces: tuple[int, int, bytes]) -> None:
    """(piece, peer, first byte) each."""
    for piece, peer, filler in pieces:
        draft.asked(piece, peer, 0.0)
        draft.arrived(piece, peer, filler * KIB16)


def test_each_piece_is_asked_once_and_of_a_second_peer_only_when_it_is_late() -> None:
    draft = Draft(3 * KIB16, 0.0)
    for piece in range(3):
        assert draft.next_for(1, 0.0, 1.0) == piece
        draft.asked(piece, 1, float(piece))
    assert draft.next_for(2, 0.5, 1.0) is None
    assert draft.next_for(2, 1.0, 1.0) == 0
    draft.asked(0, 2, 1.0)
    assert draft.next_for(1, 9.0, 1.0) is None
    assert draft.next_for(3, 9.0, 1.0) == 1


def test_what_is_given_back_is_asked_first_unless_another_was_asked_too() -> None:
    draft = Draft(3 * KIB16, 0.0)
    draft.asked(0, 1, 0.0)
    draft.asked(0, 2, 1.0)
    draft.took_back(0, 1)
    assert draft.next_for(3, 1.5, 1.0) == 1
    draft.took_back(0, 2)
    draft.took_back(0, 2)
    assert draft.next_for(3, 1.5, 1.0) == 0


def test_what_comes_although_it_was_given_back_counts_once() -> None:
    draft = Draft(KIB16 + 1, 0.0)
    draft.asked(0, 1, 0.0)
    draft.took_back(0, 1)
    assert draft.arrived(0, 1, bytes(KIB16))
    assert not draft.arrived(0, 2, bytes(KIB16))
    assert draft.senders == {0: 1} and draft.arrived_bytes == KIB16
    assert draft.next_for(1, 0.0, 1.0) == 1


def test_sizes_with_more_votes_push_out_those_with_fewer() -> None:
    drafts = Drafts(SETTINGS)
    assert drafts.begin(1, 100, {100: 1}, 0.0) is not None
    assert drafts.begin(2, 200, {100: 1, 200: 1}, 0.0) is not None
    assert drafts.begin(3, 300, {100: 1, 200: 1, 300: 1}, 0.0) is None
    assert drafts.begin(3, 300, {100: 1, 200: 2, 300: 2}, 0.0) is not None
    assert sorted(draft.total_bytes for draft in drafts) == [200, 300]


def test_the_slowest_gives_way_after_a_while() -> None:
    drafts = Drafts(SETTINGS)
    votes = {2 * KIB16: 1, 3 * KIB16: 1, 300: 1}
    quick = drafts.begin(1, 2 * KIB16, votes, 0.0)
    drafts.begin(2, 3 * KIB16, votes, 0.0)
    assert quick is not None
    give(quick, (0, 1, b"a"))
    assert drafts.begin(3, 300, votes, 19.0) is None
    assert drafts.begin(3, 300, votes, 20.0) is not None
    assert sorted(draft.total_bytes for draft in drafts) == [300, 2 * KIB16]


def test_a_wrong_whole_from_one_peer_proves_it_a_liar() -> None:
    drafts = Drafts(SETTINGS)
    draft = drafts.begin(1, 2 * KIB16, {}, 0.0)
    assert draft is not None
    give(draft, (0, 7, b"a"), (1, 7, b"b"))
    assert drafts.failed(draft) == 7
    # Others of that size have done nothing wrong.
    again = drafts.begin(1, 2 * KIB16, {}, 0.0)
    assert again is not None and again.sole is None


def test_after_a_wrong_one_of_several_each_gives_its_own_and_the_right_one_convicts() -> None:
    drafts = Drafts(SETTINGS)
    draft = drafts.begin(1, 2 * KIB16, {}, 0.0)
    assert draft is not None
    give(draft, (0, 1, b"a"), (1, 2, b"x"))
    assert drafts.failed(draft) is None
    own = drafts.begin(1, 2 * KIB16, {}, 0.0)
    assert own is not None and own.sole == 1
    # What it has sent already need not come again.
    assert own.parts == {0: b"a" * KIB16} and own.next_for(1, 0.0, 1.0) == 1
    give(own, (1, 1, b"b"))
    assert own.is_complete
    assert drafts.liars(own.info()) == [2]


def test_who_sent_to_a_draft_of_a_wrong_size_is_a_liar() -> None:
    drafts = Drafts(SETTINGS)
    draft = drafts.begin(1, 2 * KIB16, {}, 0.0)
    assert draft is not None
    give(draft, (0, 1, b"a"), (1, 2, b"b"))
    drafts.failed(draft)
    assert drafts.liars(b"a" * KIB16) == [1, 2]


def test_who_is_gone_leaves_nothing_but_its_testimony() -> None:
    drafts = Drafts(SETTINGS)
    draft = drafts.begin(1, 2 * KIB16, {}, 0.0)
    assert draft is not None
    give(draft, (0, 1, b"a"), (1, 2, b"x"))
    drafts.failed(draft)
    drafts.begin(2, 2 * KIB16, {}, 0.0)
    drafts.lost(2)
    drafts.lost(1)
    assert list(drafts) == []
    assert drafts.has_testimony_of(1) and drafts.has_testimony_of(2) and not drafts.has_testimony_of(3)
