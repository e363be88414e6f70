"""Where a command says that its time went."""

from __future__ import annotations

import time
from threading import Thread

import pytest

from nacd_bench.pipeline.clock import Clock, by_part, timed


class Hands:
    """A clock that goes when it is told to."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr("nacd_bench.pipeline.clock.time", hands)
    return hands


def test_a_part_within_another_counts_once(hands: Hands) -> None:
    clock = Clock()
    with timed("outer"):
        hands.now += 2
        with timed("inner"):
            hands.now += 5
        hands.now += 2
    assert clock.seconds == {"inner": 5, "outer": 4}


def test_threads_add_up_and_do_not_count_as_parts_of_each_other() -> None:
    clock = Clock()

    def work() -> None:
        with timed("thread"):
            time.sleep(0.05)

    with timed("waiting"):
        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert clock.seconds["thread"] >= 0.2 and clock.seconds["waiting"] >= 0.05


def test_a_clock_begins_when_it_is_made_and_a_fault_counts(hands: Hands) -> None:
    with pytest.raises(ZeroDivisionError), timed("faulty"):
        hands.now += 1
        _ = 1 / 0
    clock = Clock()
    assert "faulty" not in clock.seconds and str(clock) == "Time by part: none"
    with pytest.raises(ZeroDivisionError), timed("faulty"):
        hands.now += 0.6
        _ = 1 / 0
    assert str(clock) == "Time by part: faulty 0.6 s"


def test_words() -> None:
    assert by_part({"a": 9.44, "b": 9.6, "c": 0.0499}) == "Time by part: a 9.4 s, b 10 s"
