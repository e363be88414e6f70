"""Settings of jobs: values that a signature does not take are refused in one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from checks import fails

from nacd_bench.errors import UserError
from nacd_bench.settings import (
    Name,
    Names,
    Number,
    Positive,
    Processes,
    Share,
    checked,
    options,
)


@options
class Drawn:
    """How sets are drawn."""

    n: Number = 50
    types: Sequence[str] = ("texture",)
    level: Share = 0.95


DRAWN = Drawn()


class Machine:
    """Something that is no data."""


@checked
def job(
    folder: Name,
    images: Names = (),
    *,
    workers: Processes = None,
    scheme: Literal["neural", "target"] | None = "neural",
    factor: Positive = 1.0,
    thresholds: Mapping[str, float] | Name | None = None,
    drawing: Drawn = DRAWN,
    machine: Machine | None = None,
    report: bool = True,
) -> dict[str, Any]:
    return dict(locals())


def test_what_the_signature_takes_arrives_as_it_was_given() -> None:
    machine = Machine()
    given = job(Path("run"), ["a", Path("b")], factor=2, thresholds={"text": 1}, machine=machine)
    assert given["folder"] == Path("run") and given["images"] == ["a", Path("b")]
    assert given["factor"] == 2 and given["machine"] is machine
    assert job("run", "a")["images"] == "a"
    assert job("run", thresholds="file.yaml")["thresholds"] == "file.yaml"
    assert job("run", drawing={"n": 3})["drawing"] == Drawn(n=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": "3"}, "expected workers as a whole number of at least 0 or null, got '3'."),
        ({"workers": True}, "expected workers as a whole number of at least 0 or null, got True."),
        ({"workers": 1.0}, "expected workers as a whole number"),
        ({"workers": -1}, "got -1."),
        ({"factor": 0}, "expected factor as a number above 0, got 0."),
        ({"factor": True}, "expected factor as a number above 0, got True."),
        ({"factor": float("nan")}, "got nan."),
        (
            {"scheme": "neurl"},
            "unknown scheme 'neurl'; did you mean 'neural'? Known: neural, target",
        ),
        ({"scheme": 3}, "expected scheme as neural or target or null, got 3."),
        ({"folder": 20260301}, "expected folder as the name of a file or folder, got 20260301."),
        ({"folder": ""}, "expected folder as the name of a file or folder, got ''."),
        ({"images": ["a", 3]}, "expected images[1] as the name of a file or folder, got 3."),
        ({"report": "yes"}, "expected report as true or false, got 'yes'."),
        ({"thresholds": {"text": "high"}}, "expected thresholds.text as a number, got 'high'."),
        ({"thresholds": 3}, "expected thresholds as a number by name or the name of"),
        ({"drawing": {"n": 0}}, "expected drawing.n as a whole number of at least 1, got 0."),
        ({"drawing": {"m": 0}}, "unknown setting in drawing 'm'"),
        ({"drawing": 3}, "expected drawing as settings (n, types, level), got 3."),
        ({"drawing": {"types": "text"}}, "expected drawing.types as a list (text), got 'text'."),
        ({"machine": 3}, "expected machine as Machine or null, got 3."),
        ({"threshold": {}}, "unknown setting 'threshold'; did you mean 'thresholds'"),
    ],
)
def test_anything_else_is_refused_in_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        job(**{"folder": "run", **given})
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_positions_and_what_is_left_out_have_names() -> None:
    fails(UserError, r"expected images as .*, got 3\.", job, "run", 3)
    fails(UserError, r"expected folder=\.\.\., got nothing\.", job)


def test_options_are_held_to_their_ranges_too() -> None:
    fails(UserError, r"expected level as .* up to 1, got 1\.5", Drawn, level=1.5)
    fails(UserError, "unknown setting 'levl'; did you mean 'level'", Drawn, levl=0.5)


def test_faults_within_a_job_are_its_own() -> None:
    @checked
    def outer(inner: int) -> None:
        raise ValueError(f"no {inner}")

    fails(ValueError, "no 3", outer, 3)
