"""Codec adapters, installed as ``nacd_codecs`` and found through entry points.

In wheels: x265, Pillow's formats, JPEG XL, CompressAI and any ``torch`` module. By programs of the
user's: HM, VTM, ffmpeg, the JPEG AI reference software, and ``command`` for any other codec with a
command line, which needs one YAML file and no Python.
"""
