"""CompressAI's image models (the extra ``compressai``), with real bitstreams.

The model zoo's weights are downloaded once by PyTorch's own cache; without a network, give a
checkpoint. CompressAI's metadata asks for numpy below 2, so that installing the extra takes numpy
back to 1.26; everything here works with that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nacd_bench.errors import CodecError
from nacd_bench.registry import unknown
from nacd_codecs.checkpoint import read_weights, unfit
from nacd_codecs.torch_module import TorchModule


class CompressAI(TorchModule):
    """A model of CompressAI.

    Args:
        architecture: name in CompressAI's zoo (``bmshj2018-hyperprior``, ``cheng2020-attn``, ...).
        qualities: the operating points, CompressAI's quality levels; all levels by default.
        metric: what the zoo's weights were trained for, ``mse`` or ``ms-ssim``.
        checkpoint: local file of weights in place of the zoo's; ``{point}`` in it stands for the
            quality. Its numbers of channels are read off the weights.
        device: where the model runs.
        batch_size: images of one size in one call.
    """

    name = "compressai"

    def __init__(
        self,
        architecture: str = "bmshj2018-hyperprior",
        qualities: Sequence[int] | None = None,
        metric: str = "mse",
        checkpoint: str | Path | None = None,
        device: str = "cpu",
        batch_size: int = 1,
    ) -> None:
        zoo = _zoo()
        if architecture not in zoo.model_architectures:
            names = sorted(zoo.model_architectures)
            raise CodecError(unknown("CompressAI architecture", architecture, names))
        self.architecture = architecture
        self.metric = metric
        levels = tuple(qualities or zoo.cfgs[architecture])
        if checkpoint is not None and qualities is None and "{point}" not in str(checkpoint):
            levels = levels[:1]
        super().__init__(
            module=f"compressai.zoo.image:{architecture}",
            points=levels,
            point_name="quality",
            point_to="factory",
            checkpoint=checkpoint,
            multiple=64,
            device=device,
            batch_size=batch_size,
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {**super().parameters, "architecture": self.architecture, "metric": self.metric}

    def version(self) -> str:
        return f"compressai {version('compressai')}, {super().version()}"

    def build(self, point: float) -> Any:
        from compressai.zoo.pretrained import load_pretrained

        zoo = _zoo()
        architecture = zoo.model_architectures[self.architecture]
        channels = next(iter(zoo.cfgs[self.architecture].values()))
        expected = architecture(*(12 for _ in channels)).state_dict()  # for the names
        if self.checkpoint is not None:
            source = self.checkpoint.replace("{point}", f"{point:g}")
            weights = read_weights(source, expected)
        else:
            source = f"CompressAI's zoo for quality {point:g}"
            weights = self._downloaded(int(point))
        weights = load_pretrained(weights)
        try:
            return architecture.from_state_dict(weights)
        except Exception as error:  # KeyError, RuntimeError, IndexError: it looks into the weights
            sizes = {name: weights.get(name, value) for name, value in expected.items()}
            raise unfit(source, weights, sizes, error) from error

    def _downloaded(self, quality: int) -> dict[str, Any]:
        from torch.hub import load_state_dict_from_url

        urls = _zoo().model_urls.get(self.architecture, {}).get(self.metric, {})
        if quality not in urls:
            raise CodecError(
                f"CompressAI's zoo has no weights of {self.architecture} for {self.metric} at "
                f"quality {quality}. Known qualities: {', '.join(map(str, urls)) or 'none'}. "
                "Give a checkpoint."
            )
        try:
            return dict(
                load_state_dict_from_url(
                    urls[quality], map_location="cpu", progress=False, weights_only=True
                )
            )
        except OSError as error:
            raise CodecError(
                f"the weights of {self.architecture} at quality {quality} cannot be downloaded "
                f"from {urls[quality]}: {error}. Download them elsewhere and give the file as "
                "checkpoint."
            ) from error


def _zoo() -> Any:
    try:
        import compressai.zoo.image as zoo
    except ImportError as error:
        raise CodecError(
            f"compressai needs the package compressai, which does not load: {error}. "
            "Install it with: pip install 'nacd-bench[compressai]'"
        ) from error
    return zoo
