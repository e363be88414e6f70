"""A codec with a command line that is no fake: Pillow's WebP, JPEG 2000 or JPEG."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

SETTING = {"WEBP": "quality", "JPEG": "quality", "JPEG2000": "quality_layers"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", action="version", version="pillow_codec 1.2")
    parser.add_argument("--format", default="WEBP", choices=SETTING)
    parser.add_argument("--quality", type=float)
    parser.add_argument("--size", help="width x height of raw 4:4:4 planes")
    parser.add_argument("--report", type=Path, help="write the arguments here")
    parser.add_argument("command", choices=["encode", "decode"])
    parser.add_argument("source", type=Path)
    parser.add_argument("result", type=Path)
    options = parser.parse_args()
    if options.report:
        options.report.write_text("\n".join(sys.argv[1:]))
    if options.command == "encode":
        value = [options.quality] if options.format == "JPEG2000" else int(options.quality)
        loaded(options).save(options.result, options.format, **{SETTING[options.format]: value})
    elif options.size:
        planes = Image.open(options.source).convert("YCbCr").split()
        options.result.write_bytes(b"".join(plane.tobytes() for plane in planes))
    else:
        Image.open(options.source).convert("RGB").save(options.result)


def loaded(options: argparse.Namespace) -> Image.Image:
    if not options.size:
        return Image.open(options.source).convert("RGB")
    width, height = map(int, options.size.split("x"))
    data = options.source.read_bytes()
    count = width * height
    planes = [
        Image.frombytes("L", (width, height), data[i * count : (i + 1) * count]) for i in range(3)
    ]
    return Image.merge("YCbCr", planes).convert("RGB")


if __name__ == "__main__":
    main()
