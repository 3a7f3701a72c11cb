"""docs/LIMITS.md is what the code says."""

from __future__ import annotations

from tools import limits


def test_page_of_limits_is_as_the_code_has_them() -> None:
    assert limits.PAGE.read_text() == limits.page(), "run: python -m tools.limits --write"


def test_page_names_the_limits_that_matter_with_their_reasons() -> None:
    rows = {
        row.name: row
        for path in sorted((limits.ROOT / "swarm").rglob("*.py"))
        for row in limits.limits_of(path)
    }
    for name in (
        "SessionSettings.connections_max",
        "EngineSettings.half_open_max",
        "EngineSettings.candidates_max",
        "EngineSettings.in_flight_bytes_max",
        "EngineSettings.served_queue_max",
        "SessionSettings.send_backlog_max_bytes",
        "OPEN_FILES_MAX",
        "BACKLOG_BYTES_MAX",
    ):
        assert rows[name].reason, name
    assert rows["EngineSettings.in_flight_bytes_max"].unit == "bytes"
    assert rows["SessionSettings.connect_timeout_s"].unit == "s"
    # No setting without a reason.
    assert [name for name, row in rows.items() if "Settings." in name and not row.reason] == []
