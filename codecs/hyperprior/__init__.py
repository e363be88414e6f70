"""A small learned codec of our own, for demonstrations and tests: see its README."""

from nacd_codecs.hyperprior.codec import Hyperprior

__all__ = ["Hyperprior"]
