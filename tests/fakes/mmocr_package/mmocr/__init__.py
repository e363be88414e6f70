"""Stands in for MMOCR: finds what is pure blue, and misbehaves as FAKE_MMOCR says."""

import os

if os.environ.get("FAKE_MMOCR") == "no import":
    raise ImportError("libfake.so: cannot open shared object file")
__version__ = "1.0.fake"
