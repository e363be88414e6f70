"""``nacd-bench agree``: how near detectors and metrics come to a rater on graded triplets."""
