"""nacd-bench: where a neural image codec damages pictures and a traditional one does not."""

from nacd_bench.triplet import TripletBatch

__version__ = "0.1.0"
__all__ = ["TripletBatch", "__version__"]
