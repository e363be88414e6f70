"""Errors that a user can act on: each message says what was expected, what came and what to do."""


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
