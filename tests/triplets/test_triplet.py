"""A batch of triplets: what it refuses, what it shares."""

from __future__ import annotations

import pytest
import torch
from checks import fails
from torch import Tensor

from nacd_bench import TripletBatch
from nacd_bench.errors import ImageError


def images(*shape: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    levels = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    return levels.to(torch.uint8) if dtype == torch.uint8 else (levels / 255).to(dtype)


GOOD = images(2, 3, 8, 9)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (images(3, 8, 9), r"expected neural of shape \(B, 3, H, W\), got \(3, 8, 9\)"),
        (images(2, 4, 8, 9), r"got \(2, 4, 8, 9\). Drop an alpha channel"),
        (images(2, 1, 8, 9), "repeat a gray channel"),
        (images(2, 3, 8, 9).short(), "uint8, or as float32 .* got torch.int16. Divide"),
        (images(2, 3, 0, 9), "at least one pixel"),
        (images(2, 3, 9, 8), "one size, got original 9 x 8 .* neural 8 x 9"),
        (images(1, 3, 8, 9), "one size, got original 9 x 8 .batch of 2., neural 9 x 8 .batch of 1"),
        (images(2, 3, 8, 9, dtype=torch.float32) * 255, "values in .* got 0 to 255. Scale"),
        (images(2, 3, 8, 9, dtype=torch.float32) - 0.5, "got -0.5"),
        (images(2, 3, 8, 9, dtype=torch.float16), r"got torch.float16. .* .float\(\) converts"),
        (
            images(2, 3, 8, 9, dtype=torch.bfloat16),
            "float32 or float64 .* got torch.bfloat16",
        ),
        (GOOD.numpy(), "expected neural as a torch tensor .* got ndarray"),
        (torch.full((2, 3, 8, 9), float("nan")), "got nan"),
        (torch.full((2, 3, 8, 9), float("inf")), "got inf"),
    ],
)
def test_bad_images(bad: Tensor, message: str) -> None:
    fails(ImageError, message, TripletBatch, GOOD, bad, GOOD)


def test_ids() -> None:
    assert TripletBatch(GOOD, GOOD, GOOD).ids == ("0", "1")
    batch = TripletBatch(GOOD, GOOD, GOOD, ids=["a", "b"])
    assert batch[1].ids == ("b",) and torch.equal(batch[1].original[0], GOOD[1])
    with pytest.raises(ImageError, match="expected 2 ids, one per triplet, got 1"):
        TripletBatch(GOOD, GOOD, GOOD, ids=["a"])


def test_size() -> None:
    batch = TripletBatch(GOOD, GOOD, GOOD)
    assert (len(batch), batch.height, batch.width) == (2, 8, 9)
    assert batch.to("cpu").device.type == "cpu"


@pytest.mark.parametrize("planes", ["y", "uv", "lab"])
def test_planes_are_computed_once_and_shared(planes: str) -> None:
    batch = TripletBatch(GOOD, GOOD.flip(3), GOOD.flip(2))
    first = getattr(batch, planes)
    assert getattr(batch, planes) is first
    assert [plane.shape[1] for plane in first] == [{"y": 1, "uv": 2, "lab": 3}[planes]] * 3
    assert torch.equal(first.neural, first.original.flip(3))  # functions of pixels


def test_planes_of_a_batch_have_one_precision() -> None:
    batch = TripletBatch(GOOD, GOOD.float() / 255, GOOD.double() / 255)
    for planes in (batch.y, batch.uv, batch.lab):
        assert {plane.dtype for plane in planes} == {torch.float64}
    assert TripletBatch(GOOD, GOOD.float() / 255, GOOD).y.neural.dtype == torch.float32


@pytest.mark.numeric
def test_floats_are_the_same_images() -> None:
    """float32 holds 1/255 to 3e-8, of which a and b of Lab show 800 times as much."""
    exact = TripletBatch(*[GOOD.double() / 255] * 3)
    for images, tolerances in (
        (GOOD, (4e-8, 4e-8, 1e-9)),
        (GOOD.float() / 255, (1e-7, 1e-7, 5e-5)),
    ):
        batch = TripletBatch(*[images] * 3)
        for name, tolerance in zip(("y", "uv", "lab"), tolerances, strict=True):
            difference = getattr(batch, name)[0].double() - getattr(exact, name)[0]
            assert difference.abs().max() < tolerance
