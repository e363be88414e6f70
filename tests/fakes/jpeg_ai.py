"""The JPEG AI reference software's encoder or decoder, by file name, with JPEG 2000 for a network.

Arguments, messages and exit statuses are those of the real one. ``FAKE_JPEG_AI`` makes it fail with
``file``, ``checkpoints`` or ``model``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from PIL import Image

FAILURES = {
    "file": ("CRITICAL: cannot find file decoder_Y_0.002.pth in model VM_hop", -200),
    "checkpoints": ("No *.dvc files for model VM_hop in repository!!!", -120),
    "model": ("No information about model VM_hop in repository!!!", -100),
}


def encode() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("input_path")
    parser.add_argument("bin_path")
    parser.add_argument("--set_target_bpp", type=int)
    parser.add_argument("--cfg", nargs="+")
    options = parser.parse_args()
    for path in options.cfg:
        json.loads(Path(path).read_text())  # relative to the working directory
    image = Image.open(options.input_path)
    ratio = 24 / (options.set_target_bpp / 100 * 0.93)
    logs = Path(options.bin_path).parent.parent / "log" / "enc"
    logs.mkdir(parents=True)
    image.save(options.bin_path, "JPEG2000", quality_mode="rates", quality_layers=[ratio])


def decode() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bit_fpath")
    parser.add_argument("rec_path")
    options = parser.parse_args()
    Image.open(options.bit_fpath).save(options.rec_path)


def main() -> None:
    failure = FAILURES.get(os.environ.get("FAKE_JPEG_AI", ""))
    if failure:
        print(failure[0])
        sys.exit(failure[1])
    role = Path(__file__).stem
    print(f"Codec/{role.title()}: name=JAI, version=IS, GPU={os.environ['CUDA_VISIBLE_DEVICES']}")
    {"encoder": encode, "decoder": decode}[role]()


if __name__ == "__main__":
    main()
