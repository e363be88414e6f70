"""Text finders: RapidOCR (the default, offline), MMOCR (the paper's) and polygons from a file."""

from nacd_bench.text.cache import Cached
from nacd_bench.text.file import PolygonFile
from nacd_bench.text.finder import TextFinder, TextPolygon
from nacd_bench.text.mmocr import MMOCR
from nacd_bench.text.rapidocr import RapidOCR

__all__ = ["MMOCR", "Cached", "PolygonFile", "RapidOCR", "TextFinder", "TextPolygon"]
