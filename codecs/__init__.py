"""Codec adapters, installed as ``nacd_codecs`` and found through entry points.

In wheels: x265, Pillow's formats, JPEG XL, CompressAI and any ``torch`` module. By programs of the
user's: rows of data in ``conf/codec/`` for one class, :class:`nacd_codecs.command.CommandLine`. HM,
VTM, ffmpeg and the JPEG AI reference software are such rows, and any other program can be one.
"""
