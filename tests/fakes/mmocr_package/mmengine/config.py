"""A configuration that inherits nothing."""

from pathlib import Path


class Config:
    def __init__(self, text):
        self.pretty_text = text

    @classmethod
    def fromfile(cls, path):
        return cls(Path(path).read_text())
