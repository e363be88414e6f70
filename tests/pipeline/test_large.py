"""Pictures and batches that memory has no room for."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch
from checks import fails
from triplet_folder import make_triplets

from nacd_bench.baselines import PSNR
from nacd_bench.cache import ScoreCache
from nacd_bench.detectors import Detector, LargeColor
from nacd_bench.errors import Failure, ImageError
from nacd_bench.jobs.detect import detect
from nacd_bench.pipeline.methods import score_batch
from nacd_bench.pipeline.scores import score_triplets
from nacd_bench.pipeline.scoring import Engine, batches
from nacd_bench.pipeline.workers import ahead
from nacd_bench.registry import BASELINES
from nacd_bench.triplets import batch as batch_module
from nacd_bench.triplets import memory
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.detection import DetectionBatch
from nacd_bench.triplets.loading import LoadedTriplet, load_triplet
from nacd_bench.triplets.record import TripletRecord
from nacd_bench.triplets.source import find_triplets


def test_a_picture_without_room_fails_its_triplet_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, _ = find_triplets(make_triplets(tmp_path / "data", ("astronaut", "coffee")))
    monkeypatch.setattr(memory, "WHOLE", 1)
    rooms = iter([10**9] * 2 + [6 * 10**8] + [10**9] * 9)
    monkeypatch.setattr(memory, "free_memory", lambda: next(rooms))
    first, second = batches([(record, ("texture",)) for record in records], 1, readers=0)
    refused = first if isinstance(first, Failure) else second
    assert isinstance(refused, Failure) and (first is refused) != (second is refused)
    assert "128 x 96 pixels, which take 0.6 GB where 0.6 GB are free" in refused.message


def test_a_metric_without_room_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are not worked out in strips ask for their own."""
    images = torch.randint(0, 256, (3, 1, 3, 120, 130), generator=torch.Generator().manual_seed(0))
    batch = TripletBatch(*images.byte(), ids=["a"])
    monkeypatch.setattr(memory, "free_memory", lambda: 299 * 120 * 130)
    names = ("ssimulacra2", "gmsd", "psnr", "ssim")
    metrics = [BASELINES.get(name)() for name in names]
    (small,) = score_batch(metrics, batch)
    monkeypatch.setattr(memory, "WHOLE", 1)
    (large,) = score_batch(metrics, batch)
    for name in names[:2]:
        assert not small[name].fault
        assert f"a, {name}: expected a picture that fits" in large[name].fault
        assert "130 x 120 pixels" in large[name].fault
    assert all(large[name] == small[name] for name in names[2:])


def test_what_fits() -> None:
    memory.require_memory("a.png", 3000, 2000, 10**9)  # not large
    fails(
        ImageError,
        "take 100000.6 GB",
        memory.require_memory,
        "a.png",
        10**5,
        10**5,
        10**4,
        6 * 10**8,
    )


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  3 kB\n"}, 3072),
        ({"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "1\n"}, None),
        (
            {
                "proc/meminfo": "MemAvailable: 3 kB\n",
                "sys/fs/cgroup/memory.max": "1000\n",
                "sys/fs/cgroup/memory.current": "400\n",
            },
            600,
        ),
        (
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "1400",
            },
            0,
        ),
    ],
)
def test_free_memory(files: dict[str, str], expected: int | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.free_memory(tmp_path) == expected


class Hungry(LargeColor):
    """Has room for so many triplets."""

    name = "hungry"
    most = 1

    def forward(self, batch: TripletBatch) -> DetectionBatch:
        if len(batch) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return super().forward(batch)


def test_a_batch_without_room_is_halved(capsys: pytest.CaptureFixture[str]) -> None:
    images = torch.randint(0, 256, (3, 5, 3, 70, 80), generator=torch.Generator().manual_seed(0))
    batch = TripletBatch(*images.byte())
    detectors: list[Detector] = [Hungry(), LargeColor()]
    results = score_batch(detectors, batch)
    assert [r["hungry"].score for r in results] == [r["large_color"].score for r in results]
    assert "hungry: the GPU has no memory for 5 triplets at a time" in capsys.readouterr().err
    detectors[0].most = 0
    assert "no memory for one triplet" in score_batch(detectors, batch[:1])[0]["hungry"].fault


def test_large_triplets_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is decoded before the one before it was taken."""
    records, _ = find_triplets(make_triplets(tmp_path / "data", ("astronaut", "coffee")))
    monkeypatch.setattr("nacd_bench.pipeline.scoring.WHOLE", batch_module.WHOLE // 10**6)
    taken: list[str] = []
    monkeypatch.setattr(
        "nacd_bench.pipeline.scoring.load_triplet",
        lambda record: taken.append(record.id) or fake(record.id),
    )
    coming = batches([(record, ("texture",)) for record in records], 1)
    next(coming)
    assert taken == [records[0].id]


def test_large_jobs_among_small_ones_are_alone() -> None:
    begun: list[int] = []

    def job(size: int) -> int:
        begun.append(size)
        return size

    sizes = [1, 2, 30, 40, 3]
    coming = ahead(job, sizes, threads=2, more=9, alone=lambda size: size >= 30)
    for number, size in enumerate(coming):
        assert size == sizes[number]
        assert set(begun) <= set(sizes[: max(2, number + 1)])


def test_no_large_triplet_outlives_its_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one is decoded, the pixels of those before it are gone."""
    monkeypatch.setattr(batch_module, "WHOLE", 1)
    monkeypatch.setattr("nacd_bench.pipeline.scoring.WHOLE", 1)
    monkeypatch.setattr("nacd_bench.pipeline.scoring.LARGE", 1)
    records, _ = find_triplets(make_triplets(tmp_path / "data", ("astronaut", "coffee", "chelsea")))
    alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()

    def loaded(record: TripletRecord) -> LoadedTriplet:
        gc.collect()  # an import that failed once leaves a cycle behind
        assert not alive
        triplet = load_triplet(record)
        alive.add(triplet.batch.original)
        return triplet

    monkeypatch.setattr("nacd_bench.pipeline.scoring.load_triplet", loaded)
    found = detect((records, []), [LargeColor()], tmp_path / "run", device="cpu")
    assert not found.failures and len(found.results) == 3
    scored = score_triplets(
        records,
        {record.id: ["psnr"] for record in records},
        [PSNR()],
        ScoreCache(tmp_path / "scores.sqlite"),
        Engine(accelerator="cpu", devices=1, show_progress=False),
    )
    assert not scored.failures and len(scored.scores["psnr"]) == 3


def fake(name: str) -> object:
    raise ImageError(name)
