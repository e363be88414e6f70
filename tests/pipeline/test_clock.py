"""Where a command says that its time went."""

from __future__ import annotations

import time
from threading import Thread

import pytest

from nacd_bench.pipeline.clock import Clock, by_part, timed


def test_a_part_within_another_counts_once() -> None:
    clock = Clock()
    with timed("outer"):
        time.sleep(0.02)
        with timed("inner"):
            time.sleep(0.05)
        time.sleep(0.02)
    seconds = clock.seconds
    assert 0.05 <= seconds["inner"] < 0.4 and 0.04 <= seconds["outer"] < 0.4


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


def test_a_clock_begins_when_it_is_made_and_a_fault_counts() -> None:
    with pytest.raises(ZeroDivisionError), timed("faulty"):
        _ = 1 / 0
    clock = Clock()
    assert "faulty" not in clock.seconds and str(clock) == "Time by part: none"
    with pytest.raises(ZeroDivisionError), timed("faulty"):
        time.sleep(0.06)
        _ = 1 / 0
    assert clock.seconds["faulty"] >= 0.06 and str(clock).startswith("Time by part: faulty 0.")


def test_words() -> None:
    assert by_part({"a": 9.44, "b": 9.6, "c": 0.0499}) == "Time by part: a 9.4 s, b 10 s"
