"""nacd-bench: where a neural image codec damages pictures and a traditional one does not."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["TripletBatch", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "TripletBatch":  # on demand: the command line answers --help without torch
        from nacd_bench.triplets.batch import TripletBatch

        return TripletBatch
    raise AttributeError(f"module 'nacd_bench' has no attribute '{name}'")
