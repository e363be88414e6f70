"""Errors that a user can act on: each message says what was expected, what came and what to do."""

from dataclasses import dataclass


class UserError(Exception):
    """Base of every error that is the input's fault, shown as one line without a traceback."""


class ImageError(UserError):
    """An image file or tensor that cannot be used."""


class DataError(UserError):
    """A folder, manifest or run folder that cannot be used."""


class PluginError(UserError):
    """A name that is not registered, or a registered object that cannot be loaded."""


class CodecError(UserError):
    """A codec that failed to encode or decode."""


class TextFinderError(UserError):
    """A text finder that is not installed, does not start or dies."""


@dataclass(frozen=True)
class Failure:
    """One thing that could not be done, recorded and counted while the others go on.

    Args:
        item: the triplet, image, candidate or file; empty where it is none in particular.
        step: the step, method or codec that failed; empty where it is the item itself.
        message: what was expected, what came, what to do.

    >>> str(Failure("kodim01", "text", "no weights"))
    'kodim01: text: no weights'
    """

    item: str
    step: str
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.item, self.step, self.message)))
