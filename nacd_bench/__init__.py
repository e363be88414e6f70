"""nacd-bench: where a neural image codec damages pictures and a traditional one does not."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

PLACES = {
    "TripletBatch": "nacd_bench.triplets.batch",
    "DetectionBatch": "nacd_bench.triplets.detection",
    "triplet_batch": "nacd_bench.triplets.loading",
    "load_triplet": "nacd_bench.triplets.loading",
    "detect": "nacd_bench.jobs.detect",
    "benchmark": "nacd_bench.jobs.benchmark.run",
    "agree": "nacd_bench.jobs.agree.run",
    "compress": "nacd_bench.jobs.compress.run",
    "mine": "nacd_bench.jobs.mine.run",
    "compare": "nacd_bench.jobs.compare.run",
}
"""The public face, imported on demand: the command line answers ``--help`` without torch."""
__all__ = ["__version__", *PLACES]


def __getattr__(name: str) -> Any:
    if name in PLACES:
        return getattr(import_module(PLACES[name]), name)
    raise AttributeError(f"module 'nacd_bench' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
