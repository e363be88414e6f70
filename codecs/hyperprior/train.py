"""Train the hyperprior codec: ``python -m nacd_codecs.hyperprior.train images=PHOTOS folder=RUN``.

Settings are in ``train.yaml``. A training that was stopped goes on from the last checkpoint in its
folder. At the end the folder has ``weights.pt`` and ``training.json``, which the codec reads:
``nacd-bench compress photos/ neural=hyperprior neural.weights=RUN/weights.pt``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from nacd_bench.coding.originals import counted, list_images
from nacd_bench.errors import ImageError
from nacd_bench.ops.color import LUMA
from nacd_bench.triplets.files import sha256
from nacd_bench.triplets.images import read_8_bit
from nacd_codecs.hyperprior.networks import Networks, Size

LINEAR_SHARE = 0.1
"""Of the learning rate, for the linear transform: it begins close to where it should be."""
LEVELS = 255
MS_SSIM_WORTH = 1300.0
"""Squared error, on 0..255, that 1 - MS-SSIM stands for, about the same at all rates."""
C1, C2 = 0.01**2, 0.03**2
MS_SSIM_WEIGHTS = (0.0517, 0.3295, 0.3462, 0.2726)
"""The first four of Wang et al. 2003, to a sum of 1."""
LAST = 20
"""Lines of the log, 50 steps each, that the final loss is the mean of."""


class Crops(IterableDataset):
    """Random square crops of photographs, scaled and flipped: ``(3, crop, crop)`` on [0, 1].

    Step ``i`` has the same crops whenever it is computed.
    """

    def __init__(self, images: list[Tensor], config: Any) -> None:
        self.images = images
        self.config = config
        self.trainer: L.Trainer

    def __iter__(self) -> Iterator[Tensor]:
        for step in range(self.trainer.global_step, self.config.steps):
            rng = np.random.default_rng([self.config.seed, step])
            yield torch.stack([self._crop(rng) for _ in range(self.config.batch)])

    def _crop(self, rng: np.random.Generator) -> Tensor:
        image = self.images[rng.integers(len(self.images))]
        side = self.config.crop
        if rng.random() < 0.5:
            side = round(side / rng.uniform(self.config.smallest_scale, 1))
        top = rng.integers(image.shape[1] - side + 1)
        left = rng.integers(image.shape[2] - side + 1)
        crop = image[:, top : top + side, left : left + side].float() / LEVELS
        if rng.random() < 0.5:
            crop = crop.flip(2)
        if rng.random() < 0.5:
            crop = crop.transpose(1, 2)
        if side != self.config.crop:
            size = (self.config.crop, self.config.crop)
            crop = F.interpolate(crop[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
        return crop


class Training(L.LightningModule):
    """Rate plus lambda times squared error, at a random operating point per crop."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.model = Networks(Size(**config.size)).to(memory_format=torch.channels_last)
        ends = (math.log(config.lowest_lambda), math.log(config.highest_lambda))
        self.weights: Tensor
        self.register_buffer("weights", torch.linspace(*ends, config.size.points).exp())

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        batch = batch.contiguous(memory_format=torch.channels_last)
        generator = torch.Generator().manual_seed(self.config.seed * 10**9 + self.global_step)
        point = torch.randint(self.config.size.points, (len(batch),), generator=generator)
        point = point.to(batch.device)
        image, bits = self.model(batch, point)
        rate = bits / batch[0, 0].numel()
        error = (image - batch).square().mean(dim=(1, 2, 3))
        share = self.config.ms_ssim_share
        distortion = (1 - share) * LEVELS**2 * error
        if share:
            distortion = distortion + share * MS_SSIM_WORTH * (1 - _ms_ssim(image, batch))
        weight = self.weights[point]
        loss = ((rate + weight * distortion) / weight.sqrt()).mean()
        psnr = -10 * error.detach().log10()
        values = {"loss": loss.detach(), "bpp": rate.detach().mean(), "psnr": psnr.mean()}
        for i in (0, 3, 7):
            chosen = point == i
            if chosen.any():
                values[f"bpp_{i}"] = rate.detach()[chosen].mean()
                values[f"psnr_{i}"] = psnr[chosen].mean()
        self.log_dict(values)
        return loss

    def configure_optimizers(self) -> Any:
        """Adam; the linear transforms learn at a share of the rate."""
        linear = [self.model.transform, self.model.inverse_transform]
        others = [p for p in self.parameters() if all(p is not matrix for matrix in linear)]
        rate = self.config.learning_rate
        groups = [{"params": others, "lr": rate}, {"params": linear, "lr": rate * LINEAR_SHARE}]
        optimizer = torch.optim.Adam(groups)

        def factor(step: int) -> float:
            done = step / self.config.steps
            return min(1, (step + 1) / self.config.warm_up) * (1 + math.cos(math.pi * done)) / 2

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def _ms_ssim(image: Tensor, original: Tensor) -> Tensor:
    """Of luma, per image: ``(B, 3, H, W)`` to ``(B,)``. Four scales, which is what a crop has room
    for, and plain windows of 8 x 8, which a CPU averages much faster than Gaussian ones."""
    red, green, blue = LUMA  # in float32: variances are differences of squares
    x, y = (
        red * rgb[:, 0].float() + green * rgb[:, 1].float() + blue * rgb[:, 2].float()
        for rgb in (image, original)
    )
    similarity = x.new_ones(len(x))
    for scale, weight in enumerate(MS_SSIM_WEIGHTS, 1):
        planes = torch.stack([x, y, x * x, y * y, x * y], 1)
        mean_x, mean_y, xx, yy, xy = F.avg_pool2d(planes, 8, 1).unbind(1)
        spread = xx - mean_x.square() + yy - mean_y.square()
        local = (2 * (xy - mean_x * mean_y) + C2) / (spread + C2)
        if scale == len(MS_SSIM_WEIGHTS):
            local = local * (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
        similarity = similarity * local.mean(dim=(1, 2)).clamp(min=1e-3) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return similarity


def photographs(folder: Path, crop: int) -> list[Tensor]:
    """The photographs of a folder with sides of at least two crops, ``(3, H, W)`` uint8."""
    images = []
    originals = list_images(folder, files_only=True)
    if originals.left_out:
        print(f"left out, kinds that are not read: {counted(originals.left_out)}", file=sys.stderr)
    for path in originals.paths:
        try:
            pixels = torch.from_numpy(read_8_bit(path)[0]).permute(2, 0, 1)
        except ImageError as error:
            print(error, file=sys.stderr)
            continue
        if min(pixels.shape[1:]) >= 2 * crop:
            images.append(pixels.contiguous())
    if not images:
        raise SystemExit(
            f"expected photographs of at least {2 * crop} x {2 * crop} "
            f"pixels in {folder}, got none."
        )
    return images


def main() -> None:
    config = OmegaConf.merge(
        OmegaConf.load(Path(__file__).with_name("train.yaml")),
        OmegaConf.from_cli(sys.argv[1:]),
    )
    L.seed_everything(config.seed)
    folder = Path(config.folder)
    images = photographs(Path(config.images), config.crop)
    crops = Crops(images, config)
    checkpoints = ModelCheckpoint(
        folder,
        save_last=True,
        every_n_train_steps=config.checkpoint_every,
        save_top_k=0,
        enable_version_counter=False,
    )
    trainer = L.Trainer(
        accelerator="auto",
        devices=1,
        precision=config.precision,
        max_steps=config.steps,
        gradient_clip_val=config.clip,
        callbacks=[checkpoints],
        logger=CSVLogger(folder, name="", version=""),
        log_every_n_steps=50,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    crops.trainer = trainer
    last = folder / "last.ckpt"
    training = Training(config)
    trainer.fit(
        training, DataLoader(crops, batch_size=None), ckpt_path=last if last.exists() else None
    )
    if trainer.global_step >= config.steps:
        export(training.model, config, len(images), folder)
    else:
        print(f"stopped at step {trainer.global_step} of {config.steps}; call it again to go on")


def export(model: Networks, config: Any, n_images: int, folder: Path) -> None:
    """Write the weights in half precision, and what they were trained with."""
    file = io.BytesIO()
    torch.save({name: value.half() for name, value in model.state_dict().items()}, file)
    log = folder / "metrics.csv"
    lines = log.read_text("utf-8").splitlines() if log.is_file() else []
    losses = [float(row["loss"]) for row in csv.DictReader(lines) if row["loss"]][-LAST:]
    settings: Any = OmegaConf.to_container(config)
    del settings["folder"]
    notes = {
        "weights_sha256": sha256(file.getvalue()),
        "size": settings.pop("size"),
        "images": f"{n_images} photographs in {Path(settings.pop('images')).name}",
        "final_loss": round(sum(losses) / len(losses), 4) if losses else None,
        **settings,
        "torch": torch.__version__,
        "lightning": L.__version__,
    }
    (folder / "weights.pt").write_bytes(file.getvalue())
    (folder / "training.json").write_text(json.dumps(notes, indent=2) + "\n", "utf-8")
    print(f"{folder}/weights.pt and training.json are written")


if __name__ == "__main__":
    main()
