"""What is kept to be said, until somebody asks."""

from __future__ import annotations

from swarm.session.notices import NOTICES_MAX, Notice, Notices, PeerNews


def test_what_was_said_is_taken_once_oldest_first() -> None:
    notices = Notices()
    notices.note("info", "one")
    notices.note("warning", "two")
    assert notices.take() == [Notice("info", "one"), Notice("warning", "two")]
    assert notices.take() == []


def test_ban_is_a_warning_and_what_else_becomes_of_peers_a_detail() -> None:
    notices = Notices()
    banned = PeerNews("banned", "10.0.0.1:1", "liar", "it lies", True)
    lost = PeerNews("lost", "10.0.0.2:1", "", "it left", False)
    notices.peer_news(banned)
    notices.peer_news(lost)
    assert notices.take() == [
        Notice("warning", "peer 10.0.0.1:1 banned: it lies (liar)", banned),
        Notice("detail", "peer 10.0.0.2:1 lost: it left", lost),
    ]


def test_peer_that_the_user_named_is_a_warning_where_it_is_not_reached() -> None:
    notices = Notices()
    notices.peer_news(PeerNews("not reached", "10.0.0.1:1", "", "Connection refused", False, is_awaited=True))
    (notice,) = notices.take()
    assert (notice.level, notice.text) == (
        "warning",
        "peer 10.0.0.1:1 not reached: Connection refused; it is tried again",
    )


def test_oldest_give_way_where_nobody_asks() -> None:
    notices = Notices()
    for number in range(NOTICES_MAX + 2):
        notices.note("info", str(number))
    assert len(notices) == NOTICES_MAX
    assert notices.take()[0].text == "2"
