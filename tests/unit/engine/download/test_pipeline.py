"""How deep a peer's pipeline gets, by how long its blocks take."""

from __future__ import annotations

from dataclasses import replace

from swarm.engine.download.pipeline import Pipeline
from swarm.engine.settings import EngineSettings

SETTINGS = EngineSettings(
    request_depth_start=8, request_depth_min=2, request_depth_max=500, request_ahead_s=1.0
)


def after_probes(*seconds: float) -> Pipeline:
    """A pipeline whose probes took that long: the first into an empty line, each at the depth it had."""
    pipeline, now = Pipeline(SETTINGS, 0.0), 0.0
    for count, took_s in enumerate(seconds):
        pipeline.time_one(7, 0b1111_0000, pipeline.depth, now, is_first=not count)
        now += took_s
        pipeline.answered(now)
    return pipeline


def test_first_run_is_timed_by_its_first_block_a_later_one_by_its_last() -> None:
    pipeline = Pipeline(SETTINGS, 0.0)
    pipeline.time_one(7, 0b1111_0000, 4, 0.0, is_first=True)
    assert (pipeline.probe_piece, pipeline.probe_mask) == (7, 0b0001_0000)
    pipeline.answered(0.1)
    assert pipeline.probe_mask == 0
    pipeline.time_one(9, 0b1111_0000, 8, 0.1, is_first=False)
    assert (pipeline.probe_piece, pipeline.probe_mask) == (9, 0b1000_0000)


def test_pipeline_of_a_fast_peer_doubles_at_most() -> None:
    assert after_probes(0.01).depth == 2 * 8 + 1
    assert after_probes(0.0).depth == 2 * 8 + 1


def test_pipeline_of_a_slow_peer_shrinks_to_what_it_sends_in_time() -> None:
    # A round trip of 0.1 s and one second ahead; the last block of 17 took 11 s.
    assert after_probes(0.1, 11.0).depth == int(17 * 1.1 / 11) + 1


def test_more_is_asked_ahead_where_nobody_else_could_send_it() -> None:
    pipeline = Pipeline(replace(SETTINGS, request_ahead_s=0.1, request_alone_s=0.2), 0.0)
    pipeline.time_one(7, 1, 100, 0.0, is_first=False)
    pipeline.answered(1.0, is_alone=True)
    assert pipeline.depth == int(100 * 1.2) + 1


def test_answer_in_time_never_makes_it_shallower() -> None:
    pipeline = Pipeline(SETTINGS, 0.0)
    pipeline.time_one(0, 1, 1, 0.0, is_first=False)
    pipeline.answered(0.9)
    assert pipeline.depth == 8


def test_depth_stays_within_its_bounds() -> None:
    assert after_probes(*[0.01] * 20).depth == 500
    assert after_probes(0.01, 1e6).depth == 2


def test_a_peer_that_takes_few_requests_is_believed_one_that_takes_many_is_not() -> None:
    pipeline = Pipeline(SETTINGS, 0.0)
    pipeline.allow(3)
    assert pipeline.depth_max == 3
    pipeline.allow(1_000_000)
    assert pipeline.depth_max == 500


def test_after_a_stall_it_begins_anew() -> None:
    pipeline = after_probes(0.01)
    pipeline.stalled()
    assert pipeline.depth == 2
