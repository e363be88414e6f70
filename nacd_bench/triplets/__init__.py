"""Images, triplets and the tables that list them."""

from nacd_bench.triplets.loading import load_triplet, triplet_batch
from nacd_bench.triplets.source import find_triplets

__all__ = ["find_triplets", "load_triplet", "triplet_batch"]
