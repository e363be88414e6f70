"""What decides the results of a detector or baseline, as JSON values."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any


def settings_of(thing: Any) -> dict[str, Any]:
    """Every parameter of the object's constructor, which keeps each under its own name.

    A parameter that has ``settings`` itself (a text finder) is named by these.

    >>> class Blur:
    ...     def __init__(self, sigma: float = 1.5) -> None:
    ...         self.sigma = sigma
    >>> settings_of(Blur())
    {'sigma': 1.5}
    """
    names = list(inspect.signature(type(thing).__init__).parameters)[1:]
    return {name: _plain(getattr(thing, name, None)) for name in names}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return _plain(value.settings) if hasattr(value, "settings") else repr(value)
