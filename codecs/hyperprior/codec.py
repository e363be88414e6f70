"""The adapter of the hyperprior codec: images to bytes and back."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import constriction
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nacd_bench.coding.codec import Codec, Image, OperatingPoints
from nacd_bench.errors import CodecError
from nacd_bench.triplets.files import sha256
from nacd_codecs.hyperprior.networks import STRIDE, Networks, Size
from nacd_codecs.hyperprior.prior import WholePrior

FOLDER = Path(__file__).parent
HEADER = struct.Struct("<BBHHH")
"""Format, operating point, width, height, first two bytes of the weights' hash."""
FORMAT = 1
LARGEST_SIDE = 0xFFFF
LARGEST_SYMBOL = 4095
"""Latents beyond it are cut; at the highest rate they stay below 1000."""
SYMBOLS = constriction.stream.model.QuantizedGaussian(-LARGEST_SYMBOL, LARGEST_SYMBOL)


class Hyperprior(Codec):
    """A small learned codec with real bitstreams (README.md in its folder); for demonstrations.

    Args:
        device: where the networks run: ``cpu``, ``cuda``, ``cuda:1``. Bitstreams made on one are
            decoded on any; decoded pixels then differ by at most a level here and there.
        weights: another model than the one that comes with the codec: a file that its ``train``
            wrote, with its ``training.json`` beside it.
    """

    name = "hyperprior"
    is_neural = True
    points = OperatingPoints("quality", tuple(range(1, Size().points + 1)), slope=0.5)

    def __init__(self, device: str = "cpu", weights: str | Path | None = None) -> None:
        self.device = device
        self.weights = Path(weights) if weights is not None else FOLDER / "weights.pt"
        self.in_main_process = not device.startswith("cpu")

    @property
    def parameter_count(self) -> int:
        return sum(each.numel() for each in self._model.networks.parameters())

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"device": self.device, "weights": self._model.sha256}

    def version(self) -> str:
        return f"hyperprior {self._model.sha256[:12]}, constriction {version('constriction')}"

    @property
    def _model(self) -> _Model:
        return _made(self.weights, self.device)

    def encode(self, image: Image, point: float) -> bytes:
        self.require(image, point)
        height, width = image.shape[:2]
        if max(height, width) > LARGEST_SIDE:
            raise CodecError(
                f"{self.name} expects sides of at most {LARGEST_SIDE} pixels, got {width} x "
                f"{height}. Cut the image into tiles."
            )
        quality = self.points.values.index(point)
        model = self._model
        header = HEADER.pack(FORMAT, quality, width, height, model.tag)
        return header + model.encode(image, quality)

    def decode(self, data: bytes) -> Image:
        model = self._model
        if len(data) < HEADER.size:
            raise CodecError(f"expected a {self.name} bitstream, got {len(data)} bytes.")
        number, quality, width, height, tag = HEADER.unpack_from(data)
        if number != FORMAT or quality >= len(self.points.values) or not (width and height):
            raise CodecError(f"expected a {self.name} bitstream, got other bytes.")
        if tag != model.tag:
            raise CodecError(
                f"expected a bitstream of the weights {self.weights.name} "
                f"({model.sha256[:4]}...), got one of others. Decode it with those it was made "
                "with: weights=FILE."
            )
        body = data[HEADER.size :]
        if len(body) % 4:
            raise CodecError(f"expected a whole {self.name} bitstream, got one cut short.")
        return model.decode(body, quality, width, height)


class _Model:
    """Networks with weights, and the range coder."""

    def __init__(self, weights: Path, device: str) -> None:
        notes = weights.with_name("training.json")
        try:
            content, training = weights.read_bytes(), json.loads(notes.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CodecError(
                f"expected weights in {weights} and what they are in {notes}, got: {error}. "
                "Install nacd-bench again, or train them: docs/learned_codec.md."
            ) from error
        self.sha256 = sha256(content)
        if self.sha256 != training["weights_sha256"]:
            raise CodecError(
                f"expected {weights} with the SHA-256 {training['weights_sha256'][:12]}..., got "
                f"{self.sha256[:12]}...: the file is damaged. Install nacd-bench again."
            )
        self.tag = int(self.sha256[:4], 16)
        self.device = device
        state = torch.load(weights, map_location="cpu", weights_only=True)
        networks = Networks(Size(**training["size"]))
        networks.load_state_dict({name: value.float() for name, value in state.items()})
        self.prior = WholePrior(networks.hyper_synthesis)
        self.z_mean = networks.hyper_mean.detach().double().numpy().round(6)
        self.z_scale = networks.hyper_log_scale.detach().double().exp().numpy().round(6)
        self.networks = networks.eval().requires_grad_(False).to(device)

    @torch.inference_mode()
    def encode(self, image: Image, quality: int) -> bytes:
        pixels = torch.tensor(image).permute(2, 0, 1)[None].to(self.device).float() / 255
        right, bottom = (-pixels.shape[3] % STRIDE, -pixels.shape[2] % STRIDE)
        # reflection wants more pixels than small images have
        padded = F.pad(pixels, (0, right, 0, bottom), mode="replicate")
        point = torch.tensor([quality], device=self.device)
        y = self.networks.latents(padded, point)
        z = whole(self.networks.hyper_analysis(y))
        means, scales = self.prior(z)
        residual = whole(y.cpu() - means)
        coder = constriction.stream.queue.RangeEncoder()
        coder.encode(_flat(z), SYMBOLS, *self._hyper(z.shape))
        coder.encode(_flat(residual), SYMBOLS, np.zeros(residual.numel()), scales.ravel())
        return coder.get_compressed().astype("<u4").tobytes()

    @torch.inference_mode()
    def decode(self, data: bytes, quality: int, width: int, height: int) -> Image:
        rows, columns = (-(-side // STRIDE) for side in (height, width))
        shape = (1, len(self.z_mean), rows, columns)
        coder = constriction.stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
        try:
            z = coder.decode(SYMBOLS, *self._hyper(shape)).reshape(shape)
            means, scales = self.prior(torch.from_numpy(z))
            residual = coder.decode(SYMBOLS, np.zeros(scales.size), scales.ravel())
        except AssertionError as error:  # constriction's word for data that nobody encoded
            raise CodecError(f"expected a whole hyperprior bitstream, got: {error}.") from error
        y = torch.from_numpy(residual.reshape(scales.shape)).float() + means
        point = torch.tensor([quality], device=self.device)
        decoded = self.networks.decoded(y.to(self.device), point)[0, :, :height, :width]
        levels = (decoded * 255).round().clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())

    def _hyper(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and scale of every hyperlatent, in the order of coding."""
        count = shape[2] * shape[3]
        return np.repeat(self.z_mean, count), np.repeat(self.z_scale, count)


_made = cache(_Model)
"""A model, made once in a process."""


def whole(x: Tensor) -> Tensor:
    """The nearest whole numbers that can be coded, on the CPU."""
    return x.round().clamp(-LARGEST_SYMBOL, LARGEST_SYMBOL).cpu()


def _flat(x: Tensor) -> NDArray[np.int32]:
    return x.numpy().astype(np.int32).ravel()
