"""The planted sample: what it holds, that it is found again, and that one bad photograph costs
only itself."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from processes import Starter

from nacd_bench.coding.codec import png
from nacd_bench.errors import CodecError, UserError
from nacd_bench.evaluation.balanced import balanced_sets
from nacd_bench.ops.color import luma
from nacd_bench.planting.photographs import photo_path
from nacd_bench.planting.sample import planted_triplets, tile_boxes
from nacd_bench.triplets.images import read_image
from nacd_bench.triplets.record import TripletRecord

PHOTOS = [photo_path(name) for name in ("coffee", "brick")]
TILE = 192
SMALL: dict[str, Any] = {"neural": "jpeg", "tile": TILE, "workers": 0, "show_progress": False}


def psnr(first: str, second: str) -> float:
    y = [luma(read_image(path).pixels[None])[0, 0].numpy() for path in (first, second)]
    return float(-10 * np.log10(np.square(y[0] - y[1]).mean()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def records(folder: Path) -> Sequence[TripletRecord]:
    found, problems = planted_triplets(PHOTOS, folder=folder, tiles=12, **SMALL)
    assert problems == []
    return found


def test_every_tile_has_a_free_triplet_and_one_of_each_type(
    records: Sequence[TripletRecord],
) -> None:
    assert {record.source for record in records} == {"coffee", "brick"}
    assert len({record.original for record in records}) == 12
    free = [record for record in records if record.artifact_free]
    assert len(free) == 12 and not any(record.labels for record in free)
    types = Counter(record.labels[0].artifact_type for record in records if record.labels)
    assert types["color"] == types["text"] == 12 and types["texture"] >= 10
    kinds = {record.extra.get("planted_kind") for record in records} - {None}
    assert kinds == {"texture", "boundary", "large_color", "small_color", "text"}


def test_outside_the_mask_all_is_the_real_decode(records: Sequence[TripletRecord]) -> None:
    of_tile = {record.original: record for record in records if record.artifact_free}
    planted = [record for record in records if record.labels]
    assert planted
    for record in planted:
        clean, changed = (
            read_image(path).pixels.numpy()
            for path in (of_tile[record.original].neural, record.neural)
        )
        mask = read_image(
            Path(record.neural).parent / "masks" / Path(record.neural).name
        ).pixels.numpy()[0]
        moved = (clean != changed).any(axis=0)
        assert moved.any() and not moved[mask == 0].any()
        box = record.labels[0].box
        assert box is not None
        x0, y0, x1, y1 = box
        assert (mask[y0:y1, x0:x1] >= 128).sum() == (mask >= 128).sum() > 0
        assert record.traditional == of_tile[record.original].traditional
        assert record.labels[0].confirmed


def test_clean_sides_have_the_rates_or_the_psnr_that_were_asked_for(tmp_path: Path) -> None:
    options = {**SMALL, "tile": 0}
    half, _ = planted_triplets(PHOTOS, folder=tmp_path, **options)
    equal, _ = planted_triplets(PHOTOS, folder=tmp_path, rate_factor=None, **options)
    for record in half:
        assert record.neural_bpp and record.traditional_bpp
        assert record.traditional_bpp == pytest.approx(record.neural_bpp / 2, rel=0.1)
    for record in equal:
        if record.artifact_free:
            sides = (psnr(record.original, side) for side in (record.neural, record.traditional))
            assert abs(np.subtract(*sides)) < 0.5


def test_artifacts_lie_anywhere_and_have_the_size_that_was_asked_for(
    folder: Path, records: Sequence[TripletRecord]
) -> None:
    placed = [r for r in records if r.extra.get("planted_kind", "text") != "text"]
    boxes = np.array([record.labels[0].box for record in placed])
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert (np.abs(centers - TILE / 2).max(axis=1) > TILE / 8).mean() > 0.5
    assert len(np.unique(centers, axis=0)) > 0.9 * len(centers)
    assert (boxes[:, 2:] - boxes[:, :2]).max() <= TILE / 2
    sized, _ = planted_triplets(PHOTOS, folder=folder, tiles=12, size=56, **SMALL)
    for record in sized:
        if record.labels and record.labels[0].box and record.extra["planted_kind"] != "text":
            x0, y0, x1, y1 = record.labels[0].box
            assert 40 <= x1 - x0 <= 56 and 20 <= y1 - y0 <= 56  # soft at the edge, off the text
    assert {r.neural for r in sized if r.labels}.isdisjoint({r.neural for r in records})


def test_every_place_of_a_type_is_another(tmp_path: Path) -> None:
    found, _ = planted_triplets(PHOTOS, folder=tmp_path, tiles=2, places=4, **SMALL)
    labelled = [record for record in found if record.labels]
    boxes = {(r.original, r.labels[0].artifact_type, r.labels[0].box) for r in labelled}
    assert len(labelled) == 2 * 3 * 4 and len(boxes) > 16
    kinds = Counter(record.extra["planted_kind"] for record in labelled)
    assert kinds["texture"] == kinds["boundary"] == 4


def test_sets_can_be_drawn(records: Sequence[TripletRecord]) -> None:
    sets, _ = balanced_sets(records, n=5)
    for drawn in sets.values():
        members = list(zip(drawn.records, drawn.truth, strict=True))
        positives, negatives = (
            Counter(record.original for record, is_positive in members if is_positive is side)
            for side in (True, False)
        )
        assert positives == negatives and len(positives) == 5
    union = {record.id for drawn in sets.values() for record in drawn.records}
    assert len(union) < 24  # sets share triplets


def test_the_second_time_codes_nothing(folder: Path, records: Sequence[TripletRecord]) -> None:
    images = [path for path in folder.rglob("*.png") if path.name != "rate_distortion.png"]
    before = {path: path.stat().st_mtime_ns for path in images}
    again, _ = planted_triplets(PHOTOS, folder=folder, tiles=12, **SMALL)
    assert again == list(records)
    other, _ = planted_triplets(PHOTOS, folder=folder, tiles=12, strength=0.2, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {r.id: r.labels for r in other} == {r.id: r.labels for r in records}
    assert {r.neural for r in other if r.labels}.isdisjoint({r.neural for r in records})


def test_another_seed_is_another_sample(folder: Path, records: Sequence[TripletRecord]) -> None:
    other, _ = planted_triplets(PHOTOS[:1], folder=folder, tiles=2, seed=1, **SMALL)
    boxes = {r.id: r.labels[0].box for r in records if r.labels}
    assert any(boxes[r.id] != r.labels[0].box for r in other if r.labels)


def test_codecs_with_parameters_and_whole_photographs(tmp_path: Path) -> None:
    found, problems = planted_triplets(
        [photo_path("rocket")],
        neural={"name": "jpeg", "progressive": True},
        traditional="webp",
        point=40,
        tile=0,
        folder=tmp_path,
        show_progress=False,
    )
    assert problems == [] and {r.source for r in found} == {"rocket"}
    assert read_image(found[0].original).width == 640
    assert {(r.neural_codec, r.neural_point, r.traditional_codec) for r in found} == {
        ("jpeg", "40", "webp")
    }


def test_one_bad_photograph_costs_only_itself(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(PHOTOS[0].read_bytes()[:5000])
    tiny = tmp_path / "tiny.png"
    tiny.write_bytes(png(np.zeros((20, 300, 3), np.uint8)))
    found, problems = planted_triplets(
        [bad, PHOTOS[0], tiny], folder=tmp_path / "out", tiles=2, **SMALL
    )
    assert [problem.item for problem in problems] == ["bad.png", "tiny.png"]
    assert "at least 32 x 32 pixels, got 300 x 20" in problems[1].message
    assert {record.source for record in found} == {"coffee"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 2}, "of at least 0 and up to 1, got 2"),
        ({"tile": 8}, "at least 32 pixels"),
        ({"neural": "jpg"}, "unknown codec 'jpg'"),
        ({"size": 0}, "size"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        planted_triplets(PHOTOS, folder=tmp_path, show_progress=False, **options)


def test_a_point_that_the_codec_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match="no quality 1000"):
        planted_triplets(PHOTOS, neural="jpeg", point=1000, folder=tmp_path, show_progress=False)


def test_it_goes_on_after_a_kill(tmp_path: Path, starter: Starter) -> None:
    code = (
        "from nacd_bench.planting.sample import planted_triplets\n"
        f"planted_triplets({[str(p) for p in PHOTOS]!r}, folder={str(tmp_path)!r}, tiles=6, "
        f"**{SMALL!r})"
    )
    process = starter.code(code)
    while process.poll() is None and not list(tmp_path.rglob("strength-*/*.png")):
        time.sleep(0.02)
    process.send(signal.SIGKILL)
    process.wait()
    found, problems = planted_triplets(PHOTOS, folder=tmp_path, tiles=6, **SMALL)
    whole, _ = planted_triplets(PHOTOS, folder=tmp_path / "b", tiles=6, **SMALL)
    assert problems == [] and [r.id for r in found] == [r.id for r in whole]
    for first, second in zip(found, whole, strict=True):
        assert Path(first.neural).read_bytes() == Path(second.neural).read_bytes()
        assert first.labels == second.labels


def test_tiles_share_little_and_cover_what_they_can() -> None:
    for length in (TILE, 300, 427, 512, 741):
        starts = [box[0] for box in tile_boxes(length, TILE, TILE)]
        assert all(b - a >= TILE * 5 / 6 - 1 for a, b in itertools.pairwise(starts))
        assert starts[-1] + TILE <= length
    assert tile_boxes(100, 90, TILE) == tile_boxes(100, 90, 0) == [(0, 0, 100, 90)]
