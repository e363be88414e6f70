"""The half of the MMOCR text finder that runs in MMOCR's own interpreter (Python 3.7 or newer).

Imports nothing of this package. Usage::

    python mmocr_worker.py describe CONFIG
    python mmocr_worker.py serve CONFIG CHECKPOINT [DEVICE]

Answers are lines of JSON on what was standard output; whatever libraries print goes to standard
error. ``describe`` answers once, with versions and a hash of the resolved configuration. ``serve``
answers ``{"ready": true}`` once the network is loaded, and then each image, which comes as a line
``{"height": H, "width": W}`` and H x W x 3 bytes of RGB, with ``{"polygons": [[x, y, x, y, ...]],
"scores": [...]}``. Any answer may be ``{"error": "..."}`` instead. The end of the input ends it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, Callable  # noqa: UP035 - Python 3.7

PACKAGES = ("mmocr", "mmdet", "mmcv", "mmengine", "torch")


def describe(config: str) -> dict[str, Any]:
    from mmengine.config import Config

    text = Config.fromfile(config).pretty_text
    versions = {name: str(getattr(__import__(name), "__version__", "unknown")) for name in PACKAGES}
    return {"versions": versions, "config": hashlib.sha256(text.encode("utf-8")).hexdigest()}


def require_weights(model: Any, checkpoint: str) -> None:
    """Refuse a checkpoint that leaves parts of the model at random, which MMOCR does not."""
    from mmengine.runner import CheckpointLoader

    content = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    weights = content.get("state_dict", content)
    shapes = {key[7:] if key.startswith("module.") else key: weights[key].shape for key in weights}
    wrong = [
        key
        for key, value in model.state_dict().items()
        if not key.endswith("num_batches_tracked") and shapes.get(key) != value.shape
    ]
    if wrong:
        raise ValueError(
            f"expected a checkpoint of this configuration, got one that lacks {len(wrong)} of its "
            f"weights: {', '.join(wrong[:5])}{', ...' * (len(wrong) > 5)}. Name the configuration "
            "that the checkpoint was trained with"
        )


def serve(
    requests: BinaryIO,
    answer: Callable[[dict[str, Any]], None],
    config: str,
    checkpoint: str,
    device: str | None = None,
) -> None:
    import numpy
    from mmocr.apis import TextDetInferencer

    inferencer = TextDetInferencer(model=config, weights=checkpoint, device=device)
    require_weights(inferencer.model, checkpoint)
    answer({"ready": True})
    for line in iter(requests.readline, b""):
        size = json.loads(line.decode("utf-8"))
        shape = (size["height"], size["width"], 3)
        pixels = requests.read(shape[0] * shape[1] * 3)
        if len(pixels) < shape[0] * shape[1] * 3:
            return
        rgb = numpy.frombuffer(pixels, numpy.uint8).reshape(shape)
        try:
            bgr = numpy.ascontiguousarray(rgb[..., ::-1])
            prediction = inferencer(bgr, progress_bar=False)["predictions"][0]
            scores = [float(score) for score in prediction["scores"]]
            answer({"polygons": prediction["polygons"], "scores": scores})
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})


def main() -> None:
    # This folder has a module named mmocr too, which must not be taken for the library.
    own_folder = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != own_folder]

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def answer(content: dict[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    mode, arguments = sys.argv[1], sys.argv[2:]
    try:
        if mode == "describe":
            answer(describe(*arguments))
        else:
            serve(requests, answer, *arguments)
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    main()
