"""The one class of MMOCR that is used."""

import os
import sys
import time
from pathlib import Path

from mmengine.runner import read


class TextDetInferencer:
    def __init__(self, model, weights, device=None):
        print("loading", model, weights, device)  # noise on standard output, as MMOCR makes
        if "no weights" in Path(weights).read_text():
            raise ValueError("the checkpoint is corrupt")
        self.model = self

    def state_dict(self):
        usual = "backbone.conv.weight 4 3\nbackbone.bn.num_batches_tracked\nhead.bias 2"
        return read(os.environ.get("FAKE_MMOCR_WEIGHTS", usual))

    def __call__(self, image, progress_bar=True):
        print("progress: 100 %")
        fault = os.environ.get("FAKE_MMOCR", "")
        marked = int(image[0, 0, 0]) == 1  # images that the fault waits for have this blue level
        if fault == "dies" and marked:
            os._exit(9)
        if fault == "dies once" and marked and not Path(os.environ["FAKE_MMOCR_MARK"]).exists():
            Path(os.environ["FAKE_MMOCR_MARK"]).touch()
            sys.stderr.write("Segmentation fault (core dumped)\n")
            os._exit(139)
        if fault == "hangs" and marked:
            time.sleep(60)
        if fault == "raises" and marked:
            raise RuntimeError("CUDA out of memory")
        if fault == "nonsense" and marked:
            return {"predictions": [{"polygons": [[1, 2, 3]], "scores": [0.9]}]}
        blue = (image[..., 0] == 255) & (image[..., 2] == 0)
        if not blue.any():
            return {"predictions": [{"polygons": [], "scores": []}]}
        rows, columns = blue.any(axis=1).nonzero()[0], blue.any(axis=0).nonzero()[0]
        x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        polygon = [float(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]
        return {"predictions": [{"polygons": [polygon], "scores": [0.875]}]}
