"""Pure tensor functions: colour, filters, gradients, structural similarity.

On the CPU the filters run in OpenCV, elsewhere in PyTorch; both give the same numbers to the
tolerances stated in ``tests/ops/test_ops.py``.
"""
