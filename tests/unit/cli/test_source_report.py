"""What is said of trackers, the DHT and local discovery."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from swarm.cli.output import Output
from swarm.cli.source_report import SourceReport, describe
from swarm.session.finding.sources import SourceStatus

TRACKER = SourceStatus(
    "tracker", "http://t.org:1/passkey/announce", "working", next_s=1800.0, peers=5, seeds=3, leechers=9
)
LSD = SourceStatus("lsd", "lsd", "working", next_s=60.0, peers=0)


class TestJson:
    def test_has_all_of_each_change_and_nothing_twice(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = SourceReport(Output(is_json=True))
        report.say("ab", "", [TRACKER, LSD])
        report.say("ab", "", [replace(TRACKER, next_s=1799.9), replace(LSD, next_s=59.5)])
        report.say("ab", "", [replace(TRACKER, state="asking", next_s=None), LSD])
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert events == [
            {
                "event": "tracker",
                "infohash": "ab",
                "url": "http://t.org:1/passkey/announce",
                "state": "working",
                "error": "",
                "next_s": 1800.0,
                "peers": 5,
                "seeds": 3,
                "leechers": 9,
            },
            {"event": "lsd", "infohash": "ab", "state": "working", "error": "", "next_s": 60.0, "peers": 0},
            {**events[0], "state": "asking", "next_s": None},
        ]

    def test_tells_that_the_next_try_has_moved(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = SourceReport(Output(is_json=True))
        report.say("ab", "", [TRACKER])
        report.say("ab", "", [replace(TRACKER, next_s=60.0)])
        report.say("cd", "", [TRACKER])
        assert len(capsys.readouterr().out.splitlines()) == 3


class TestLines:
    def test_are_for_those_who_ask_for_more(self, capsys: pytest.CaptureFixture[str]) -> None:
        SourceReport(Output()).say("ab", "", [TRACKER])
        said = capsys.readouterr()
        assert said.out == said.err == ""

    def test_name_the_torrent_where_there_are_several(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = SourceReport(Output(verbosity=1))
        report.say("ab", "", [LSD])
        report.say("cd", "film", [LSD])
        assert capsys.readouterr().err == (
            "lsd: working, 0 peers; next try in 1:00\nfilm: lsd: working, 0 peers; next try in 1:00\n"
        )

    def test_leave_out_what_passes(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = SourceReport(Output(verbosity=1))
        report.say("ab", "", [replace(LSD, state="asking", next_s=None)])
        report.say("ab", "", [replace(LSD, state="not asked yet", peers=None)])
        assert capsys.readouterr().err == ""

    def test_keep_passkeys_to_themselves(self) -> None:
        assert describe(TRACKER) == (
            "tracker t.org:1: working, 5 peers (of 3 seeds and 9 leechers); next try in 30:00"
        )
        failed = replace(TRACKER, state="failed", error="no answer", next_s=10.0)
        assert describe(failed) == "tracker t.org:1: no answer; next try in 0:10"
