"""Predicted severity: detectors whose score is what a rater would say, 0 to 3.

Not from the paper. A score is a sum of weights >= 0 times logarithms of faults, fitted to graded
truth (docs/severity.md): more of a fault never lowers it.
"""
