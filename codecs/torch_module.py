"""Any PyTorch module as a codec: an object, or ``module:object`` that makes one.

Three forms of module are understood, tried in this order; ``x`` is ``(B, 3, H, W)`` RGB in [0, 1]
with sides that are multiples of ``multiple``:

1. ``compress(x)`` gives ``{"strings": [[bytes per image], ...], "shape": ...}`` and
   ``decompress(strings, shape)`` gives the image or ``{"x_hat": image}`` (CompressAI's form).
2. ``compress(x)`` gives ``[bytes per image]`` and ``decompress(strings)`` the image.
3. ``forward(x)`` gives ``{"x_hat": image, "likelihoods": {name: tensor}}``: there is no bitstream,
   the rate is **estimated** as the sum of -log2 of the likelihoods, and the codec says so
   (:attr:`rate_is_estimated`, the manifest, every table and figure).
"""

from __future__ import annotations

import copy
import hashlib
import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any

import numpy as np
from pydantic import Strict, TypeAdapter, ValidationError

from nacd_bench.coding.codec import Codec, Image, OperatingPoints, png
from nacd_bench.errors import CodecError
from nacd_codecs.checkpoint import load_weights, make_tables
from nacd_codecs.packing import pack, unpack

STRINGS = TypeAdapter(tuple[list[list[Annotated[bytes, Strict()]]], tuple[int, ...]])
ESTIMATED = b"nacd-estimated-1"
"""Start of what stands for a bitstream where the rate is estimated: bits, then a PNG."""


class TorchModule(Codec):
    """A learned codec in PyTorch.

    Args:
        module: an ``nn.Module``, a function or class that makes one, or the name of either as
            ``"package.module:object"``.
        points: the operating points in order of rising rate.
        point_name: what they are called.
        point_to: who gets the point: ``"factory"`` (as the keyword ``point_name``; one module per
            point), ``"call"`` (second argument of ``compress`` or ``forward``), or ``None``.
        slope: change of log2(bpp) from one point to the next, a first guess.
        arguments: more keywords for the factory.
        checkpoint: file of weights, see :mod:`nacd_codecs.checkpoint`; ``{point}`` in it stands for
            the operating point.
        multiple: sides are padded to a multiple of this by repeating the border.
        device: where the module runs.
        batch_size: images of one size in one call.
    """

    name = "torch"
    in_main_process = True
    is_neural = True

    def __init__(
        self,
        module: Any,
        points: Sequence[float] = (1,),
        point_name: str = "quality",
        point_to: str | None = None,
        slope: float = 0.5,
        arguments: Mapping[str, Any] | None = None,
        checkpoint: str | Path | None = None,
        multiple: int = 64,
        device: str = "cpu",
        batch_size: int = 1,
    ) -> None:
        import torch

        if point_to not in (None, "factory", "call"):
            raise CodecError(f"expected point_to factory, call or None, got {point_to!r}.")
        self.points = OperatingPoints(point_name, tuple(points), slope)
        self.target = module
        self.point_to = point_to
        self.arguments = dict(arguments or {})
        self.checkpoint = str(checkpoint) if checkpoint is not None else None
        self.multiple = multiple
        self.device = device
        self.batch_size = batch_size
        self._modules: dict[float, Any] = {}
        if len(points) > 1 and point_to is None and "{point}" not in (self.checkpoint or ""):
            raise CodecError(
                f"{self.name} got {len(points)} operating points and nothing that depends on them. "
                "Set point_to to factory or call, or put {point} into the checkpoint's name."
            )
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise CodecError(
                f"{self.name} is to run on {self.device}, but PyTorch sees no CUDA device. "
                "Use device: cpu, or install a PyTorch with CUDA and a driver."
            )
        first = self.module(self.points.values[0])
        self.rate_is_estimated = not (hasattr(first, "compress") and hasattr(first, "decompress"))

    @property
    def parameter_count(self) -> int:
        """Of the network at the first operating point."""
        return sum(each.numel() for each in self.module(self.points.values[0]).parameters())

    @property
    def parameters(self) -> Mapping[str, Any]:
        target = self.target
        kind = target if hasattr(target, "__qualname__") else type(target)
        return {
            "module": target
            if isinstance(target, str)
            else f"{kind.__module__}:{kind.__qualname__}",
            "arguments": self.arguments,
            "point_to": self.point_to,
            "weights_sha256": self.fingerprint,
            "multiple": self.multiple,
            "device": self.device,
            "batch_size": self.batch_size,
        }

    def version(self) -> str:
        import torch

        return f"weights {self.fingerprint}, torch {torch.__version__}"

    @cached_property
    def fingerprint(self) -> str:
        """Hash of weights and tables at all operating points, 16 hexadecimal digits."""
        import torch

        digest = hashlib.sha256()
        for point in self.points.values:
            module = self.module(point)
            # with the buffers that a checkpoint does not hold
            tensors = {**module.state_dict(), **dict(module.named_buffers())}
            for name, value in sorted(tensors.items()):
                if isinstance(value, torch.Tensor):
                    value = value.detach().cpu().contiguous()
                    digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                    digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def module(self, point: float) -> Any:
        """The module of an operating point, with its weights, on its device."""
        from nacd_bench.ops.planes import one_thread

        key = point if self.point_to == "factory" or "{point}" in (self.checkpoint or "") else 0.0
        if key not in self._modules:
            module = self.build(point).cpu().eval()
            if hasattr(module, "compress"):
                with one_thread():  # the same tables in every process, on every device
                    make_tables(module)
            self._modules[key] = module.to(self.device)
        return self._modules[key]

    def build(self, point: float) -> Any:
        """A new module for an operating point, on the CPU."""
        try:
            target = resolve_name(self.target) if isinstance(self.target, str) else self.target
        except (ImportError, AttributeError, ValueError) as error:
            raise CodecError(
                f"expected 'package.module:object' that can be imported, got '{self.target}': "
                f"{error}. Install the package or put its folder on PYTHONPATH."
            ) from error
        if not hasattr(target, "state_dict") or isinstance(target, type):
            keywords = dict(self.arguments)
            if self.point_to == "factory":
                keywords[self.points.name] = point
            target = target(**keywords)
        elif "{point}" in (self.checkpoint or ""):
            target = copy.deepcopy(target)
        if self.checkpoint is not None:
            load_weights(target, self.checkpoint.replace("{point}", f"{point:g}"))
        return target

    def encode(self, image: Image, point: float) -> bytes:
        return self.encode_batch([image], point)[0]

    def decode(self, data: bytes) -> Image:
        return self.decode_batch([data])[0]

    def encode_batch(self, images: Sequence[Image], point: float) -> list[bytes]:
        for image in images:
            self.require(image, point)
        module = self.module(point)
        extra = (point,) if self.point_to == "call" else ()
        with _reproducible():
            code = module if self.rate_is_estimated else module.compress
            out = code(self._padded(images), *extra)
        if self.rate_is_estimated:
            return self._estimated(out, images)
        strings, shape = _strings(out, len(images))
        height, width = images[0].shape[:2]
        # The point goes first: a decoder has to know which module to take.
        shape = (self.points.values.index(point), *shape)
        return [pack(height, width, shape, of_image) for of_image in zip(*strings, strict=True)]

    def decode_batch(self, bitstreams: Sequence[bytes]) -> list[Image]:
        if self.rate_is_estimated:
            return [_split_estimated(data)[1] for data in bitstreams]
        unpacked = [unpack(data) for data in bitstreams]
        height, width, shape, _ = unpacked[0]
        if any(other[:3] != unpacked[0][:3] for other in unpacked):
            return [image for data in bitstreams for image in self.decode_batch([data])]
        if not shape or shape[0] >= len(self.points.values):
            raise CodecError(
                f"expected a bitstream of {self.name}, got one without a known operating point. "
                "Decode with the codec and parameters that encoded it."
            )
        module = self.module(self.points.values[shape[0]])
        strings = [list(kind) for kind in zip(*(parts[3] for parts in unpacked), strict=True)]
        with _reproducible():
            out = module.decompress(*((strings, shape[1:]) if shape[1:] else strings))
        return _images(out["x_hat"] if isinstance(out, Mapping) else out, height, width)

    def rate_bytes(self, data: bytes) -> float:
        return _split_estimated(data)[0] / 8 if self.rate_is_estimated else len(data)

    def _padded(self, images: Sequence[Image]) -> Any:
        import torch

        x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div(255)
        height, width = x.shape[2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        return torch.nn.functional.pad(x, padding, mode="replicate").to(self.device)

    def _estimated(self, out: Any, images: Sequence[Image]) -> list[bytes]:
        import torch

        if not isinstance(out, Mapping) or not {"x_hat", "likelihoods"} <= out.keys():
            raise CodecError(
                f"expected {self.parameters['module']} to have compress and decompress, or a "
                "forward that gives a dictionary with x_hat and likelihoods. Wrap it in a module "
                "that does."
            )
        bits = torch.zeros(len(images), dtype=torch.float64, device=self.device)
        for likelihood in out["likelihoods"].values():
            bits -= torch.log2(likelihood.double()).flatten(1).sum(1)
        if not torch.isfinite(bits).all():
            raise CodecError(
                f"{self.name} gives likelihoods that are 0 or not numbers, so that no rate follows "
                "from them. Bound them from below (CompressAI uses 1e-9)."
            )
        decoded = _images(out["x_hat"], *images[0].shape[:2])
        return [
            ESTIMATED + struct.pack("<d", float(count)) + png(image)
            for count, image in zip(bits, decoded, strict=True)
        ]


def _strings(out: Any, count: int) -> tuple[list[list[bytes]], tuple[int, ...]]:
    """The strings ``[kind][image]`` and the latent's shape of what ``compress`` gave."""
    is_mapping = isinstance(out, Mapping)
    with suppress(KeyError, ValidationError):
        given = (out["strings"], out["shape"]) if is_mapping else ([out], ())
        strings, shape = STRINGS.validate_python(given)
        if strings and all(len(kind) == count for kind in strings):
            return strings, shape
    keys = f" with {', '.join(map(str, out))}" if is_mapping else ""
    raise CodecError(
        f"expected compress to give {{'strings': [[bytes for each of {count} images], ...], "
        f"'shape': [...]}} or [bytes for each image], got a {type(out).__name__}{keys}. Wrap "
        "the module in one that does."
    )


def _images(x: Any, height: int, width: int) -> list[Image]:
    """``(B, 3, H', W')`` in [0, 1] to images of the size before padding, rounded."""
    pixels = x[:, :, :height, :width].float().clamp(0, 1).mul(255).round().byte()
    return list(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy())


def _split_estimated(data: bytes) -> tuple[float, Image]:
    """Bits and image of what stands for a bitstream."""
    from PIL import Image as Pillow

    start = len(ESTIMATED)
    if data[:start] != ESTIMATED or len(data) < start + 8:
        raise CodecError(
            f"expected an image with an estimated rate, got {len(data)} other bytes. "
            "Decode with the codec that encoded them."
        )
    with Pillow.open(io.BytesIO(data[start + 8 :]), formats=["PNG"]) as image:
        return float(struct.unpack_from("<d", data, start)[0]), np.asarray(image)


@contextmanager
def _reproducible() -> Iterator[None]:
    """No gradients, and kernels on a GPU that give the same result each time."""
    import torch

    exact = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with torch.inference_mode(), exact:
        yield
