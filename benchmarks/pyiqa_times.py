"""Times of pyiqa's metrics, for an interpreter that has pyiqa and perhaps not nacd-bench.

    python pyiqa_times.py RUNS ORIGINAL NEURAL TRADITIONAL

Prints JSON: by metric, median seconds of process CPU time on one thread for both decodes.
"""

import json
import statistics
import sys
import time

import numpy as np
import pyiqa
import torch
from PIL import Image

MODELS = {"psnr": "psnry", "ssim": "ssim", "ms_ssim": "ms_ssim", "vifp": "vif", "fsim": "fsim"}
MODELS["nlpd"] = "nlpd"

torch.set_num_threads(1)
runs, *paths = sys.argv[1:]
original, *decodes = (
    torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float() / 255
    for path in paths
)
times = {}
for name, model in MODELS.items():
    metric = pyiqa.create_metric(model, device="cpu")
    spent = []
    with torch.inference_mode():
        for _ in range(int(runs) + 1):  # the first warms up
            began = time.process_time()
            for decode in decodes:
                metric(decode, original)
            spent.append(time.process_time() - began)
    times[name] = statistics.median(spent[1:])
print(json.dumps(times))
