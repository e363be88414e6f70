"""Text finders: RapidOCR (the default, offline), MMOCR (the paper's) and polygons from a file."""

from nacd_bench.detectors.text_finders.cache import Cached
from nacd_bench.detectors.text_finders.file import PolygonFile
from nacd_bench.detectors.text_finders.finder import TextFinder, TextPolygon
from nacd_bench.detectors.text_finders.mmocr import MMOCR
from nacd_bench.detectors.text_finders.rapidocr import RapidOCR

__all__ = ["MMOCR", "Cached", "PolygonFile", "RapidOCR", "TextFinder", "TextPolygon"]
