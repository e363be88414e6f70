"""Metrics and the callback for training loops: values, processes, Lightning, W&B."""

from __future__ import annotations

import copy
import pickle
import socket
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from checks import fails
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from processes import Starter
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from nacd_bench.coding.rate import Encodings, match_rates
from nacd_bench.detectors import ColorSeverity, LargeColor
from nacd_bench.errors import CodecError, ImageError, UserError
from nacd_bench.planting.photographs import photo
from nacd_bench.registry import CODECS
from nacd_bench.training import ArtifactRate, MeanSeverity
from nacd_bench.training.batch import anchor
from nacd_bench.training.callback import WorstFindings
from nacd_bench.triplets.batch import TripletBatch

COUNT = 4


def originals() -> Tensor:
    """``(4, 3, 96, 96)`` uint8, parts of photographs."""
    parts = [photo(name)[40:136, 60:156] for name in ("astronaut", "chelsea", "coffee", "rocket")]
    return torch.stack([torch.from_numpy(part.copy()).permute(2, 0, 1) for part in parts])


def faulty(images: Tensor) -> Tensor:
    """The first two with a cast, more in the second."""
    cast = images.int()
    cast[0, 0] += 12
    cast[1, 2] += 60
    return cast.clamp(0, 255).byte()


@pytest.fixture(scope="module")
def severities() -> Tensor:
    first = originals()
    return ColorSeverity()(TripletBatch(first, faulty(first), first)).scores


def test_values_are_those_of_the_detector(severities: Tensor) -> None:
    first = originals()
    rate, mean = ArtifactRate("color_severity"), MeanSeverity("color_severity")
    for half in (slice(0, 3), slice(3, 4)):
        for metric in (rate, mean):
            metric.update(first[half], faulty(first)[half], first[half])
    assert rate.compute() == (severities > 1.5).double().mean() > 0
    assert mean.compute() == pytest.approx(severities.double().mean().item(), abs=1e-6)
    lower = ArtifactRate(ColorSeverity(), threshold=-1)
    assert lower(first, first, first) == 1
    assert (
        rate.plot()[0] is not None
        and mean.plot([torch.tensor(0.5), torch.tensor(1.0)])[0] is not None
    )


def test_floats_are_what_a_file_would_hold(severities: Tensor) -> None:
    first, mean = originals(), MeanSeverity("color_severity")
    decode = (faulty(first) / 255).requires_grad_()
    for dtype, within in ((torch.float32, 1e-6), (torch.float64, 1e-6), (torch.float16, 0.05)):
        mean.reset()
        mean.update(first / 255, decode.to(dtype), (first / 255).to(dtype))
        assert mean.compute() == pytest.approx(severities.mean().item(), abs=within)
    with pytest.warns(UserWarning, match=r"outside \[0, 1\] \(neural -0.1 to 1.[01]"):
        mean.update(first, decode * 1.2 - 0.1, first)
    with pytest.warns(UserWarning, match=r"\(traditional 0 to 1\.8"):
        MeanSeverity("color_severity").update(first, first, first / 127)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean.update(first, decode * 1.2 - 0.1, first)


def test_the_anchor_codes_at_the_neural_rate_and_once() -> None:
    first = originals()
    by_anchor, given = MeanSeverity("color_severity"), MeanSeverity("color_severity")
    rates = [0.5, 0.8, 1.2, 0.9]
    codec = CODECS.get("x265")()
    decodes = []
    for one, bpp in zip(first, rates, strict=True):
        image = one.permute(1, 2, 0).contiguous().numpy()
        (match,) = match_rates(Encodings(codec, image), [bpp])
        decodes.append(torch.tensor(codec.decode(match.data)).permute(2, 0, 1))
    by_anchor.update(first, faulty(first), bpp=torch.tensor(rates))
    given.update(first, faulty(first), torch.stack(decodes))
    assert by_anchor.compute() == given.compute()
    shared = anchor("x265")
    encode, shared.codec.encode = shared.codec.encode, None  # type: ignore[method-assign, assignment]
    try:
        ArtifactRate("texture_severity").update(first, faulty(first), bpp=rates)
    finally:
        shared.codec.encode = encode  # type: ignore[method-assign]


def test_metrics_share_states_with_their_like_only() -> None:
    first = originals()[2:]  # nothing is found at first: all states are 0
    metrics = MetricCollection(
        {
            "rate": ArtifactRate("color_severity"),
            "mean": MeanSeverity("color_severity"),
            "low": ArtifactRate("color_severity", threshold=0.1),
            "texture": ArtifactRate("texture_severity"),
        }
    )
    metrics.update(first, first, first)
    groups = {tuple(sorted(group)) for group in metrics.compute_groups.values()}
    assert groups == {("mean", "rate"), ("low",), ("texture",)}


def test_copies_and_states_hold_no_images() -> None:
    first = originals()
    mean = MeanSeverity("color_severity")
    mean.update(first, faulty(first), first)
    for twin in (copy.deepcopy(mean), pickle.loads(pickle.dumps(mean)), mean.clone()):
        assert twin.compute() == mean.compute()
    assert sum(getattr(mean, name).numel() for name in mean._defaults) == 3
    model = nn.Module()
    model.mean = mean
    assert not model.state_dict()


def test_bad_input_is_told() -> None:
    first = originals()
    mean = MeanSeverity("color_severity")
    fails(UserError, "expected traditional=", mean.update, first, first)
    fails(UserError, "one rate in bpp for each of 4", mean.update, first, first, bpp=[1, 2])
    for rates in ("low", [1, None, 1, 1]):
        fails(UserError, "bpp as a number", mean.update, first, first, bpp=rates)
    fails(CodecError, "above 0 bpp", mean.update, first, first, bpp=0)
    fails(ImageError, "one size", mean.update, first, first[..., :90], bpp=1)
    fails(ImageError, r"\[0, 1\], got nan", mean.update, first, first * float("nan"), first)
    fails(ImageError, "original.*got 0 to 237", mean.update, first.float(), first, first)
    fails(ImageError, "got torch.int64", mean.update, first, first.long(), first)
    fails(ImageError, "got ndarray", mean.update, first.numpy(), first, first)
    fails(ImageError, "at least one pixel", mean.update, *[first[:0] / 255] * 3)
    fails(ImageError, "at least 64 x 64", mean.update, *[first[..., :40]] * 3)
    fails(UserError, "predicts severities", MeanSeverity, "large_color")
    fails(UserError, "color_severity", ArtifactRate, "colour_severity")
    fails(UserError, "'x265'", ArtifactRate, anchor="x266")
    fails(UserError, "threshold as a number", ArtifactRate, threshold=float("nan"))
    fails(UserError, "text or Detector", ArtifactRate, ColorSeverity)
    fails(UserError, "every as a whole number of at least 1", WorstFindings, every=0)
    fails(UserError, "detectors as a list", WorstFindings, "color_severity")
    assert mean.compute().isnan()
    assert ArtifactRate(LargeColor()).threshold == 0


def share(rank: int, port: int, folder: str) -> None:
    """One of two processes: three images, then one; then all images, the other process none."""
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    first = originals()
    metrics = MetricCollection([ArtifactRate("color_severity"), MeanSeverity("color_severity")])
    values = []
    for begins in ((0, 3, COUNT), (0, COUNT, COUNT)):
        metrics.reset()
        for index in range(begins[rank], begins[rank + 1]):
            one = slice(index, index + 1)
            metrics.update(first[one], faulty(first)[one], first[one])
        values.append(metrics.compute())
    torch.save(values, Path(folder, f"{rank}.pt"))
    torch.distributed.destroy_process_group()


def test_two_processes_with_batches_of_other_sizes(
    severities: Tensor, tmp_path: Path, starter: Starter
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = f"""
        import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
        import test_training; test_training.share(int(sys.argv[1]), {port}, {str(tmp_path)!r})
    """
    ranks = [starter.code(textwrap.dedent(code), str(rank)) for rank in (0, 1)]
    assert [rank.wait() for rank in ranks] == [0, 0], [rank.output for rank in ranks]
    for rank in (0, 1):
        for values in torch.load(tmp_path / f"{rank}.pt", weights_only=True):
            assert values["ArtifactRate"] == (severities > 1.5).double().mean()
            assert values["MeanSeverity"] == pytest.approx(severities.mean().item(), abs=1e-6)


class Codec(L.LightningModule):
    """Gains of the channels for a codec, whose decodes have a cast and leave [0, 1]."""

    def __init__(self, returned: bool = True) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([1.8, 1, 0.6])[:, None, None])
        self.severity = MeanSeverity("color_severity")
        self.returned = returned

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        return (batch * self.gain - batch).square().mean()

    def validation_step(self, batch: Tensor, index: int) -> dict[str, Any] | None:
        outputs = {"original": batch, "neural": batch * self.gain, "bpp": 1.0}
        self.severity.update(**outputs)
        self.log("severity", self.severity)
        return outputs if self.returned else None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 1e-3)


def fit(folder: Path, logger: Any, module: Codec, **options: Any) -> L.Trainer:
    trainer = L.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=logger,
        callbacks=[WorstFindings(["color_severity"], **options)],
        max_epochs=2,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    images = DataLoader(originals() / 255, batch_size=3)  # type: ignore[arg-type]
    trainer.fit(module, images, images)
    return trainer


@pytest.mark.filterwarnings("ignore")
def test_a_loop_with_weights_and_biases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    trainer = fit(tmp_path, logger, Codec(), count=2)
    logger.experiment.finish()
    assert 0 <= trainer.logged_metrics["severity"] < 3
    pictures = list(tmp_path.rglob("media/images/artifacts/color_severity_*.png"))
    assert 1 <= len(pictures) <= 4  # two an epoch; none of the sanity check's


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_other_loggers_and_outputs_are_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="takes pictures"):
        fit(tmp_path, CSVLogger(tmp_path), Codec())
    fails(UserError, "validation_step to return a mapping", fit, tmp_path, None, Codec(False))
