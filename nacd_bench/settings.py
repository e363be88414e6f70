"""Settings: what a job's signature says they are, and what decides the results of a method.

The types and ranges in a job's signature are the only place that says them. :func:`checked` holds
Python callers to them, and the command line reads the same ones to know what a setting takes::

    @checked
    def mine(folder: Name, *, workers: Processes = None, engine: Literal["local", "ray"] = "local")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import wraps
from itertools import chain
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import Ge, Gt, Le, Lt
from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    validate_call,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from nacd_bench.errors import UserError
from nacd_bench.registry import unknown

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True, extra="forbid", allow_inf_nan=False)
"""No text becomes a number, and no truth value a whole number."""


def _not_empty(value: str | Path) -> str | Path:
    if not str(value):
        raise ValueError
    return value


Name = Annotated[
    str | Path, AfterValidator(_not_empty), Field(description="the name of a file or folder")
]
Names = Name | Sequence[Name]
Count = Annotated[int, Ge(0)]
Number = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Processes = Count | None
"""Processes; None for one per core, 0 for none but this one."""

IN_WORDS: Mapping[Any, str] = {
    Any: "anything",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "text",
    NoneType: "null",
}
LIMITS = {Ge: "of at least", Gt: "above", Le: "up to", Lt: "under"}


def checked(job: Callable[P, R]) -> Callable[P, R]:
    """A job that takes only what its signature says: other values are a :class:`UserError`.

    >>> @checked
    ... def repeat(text: str, times: Count = 2) -> str:
    ...     return times * text
    >>> repeat("ab")
    'abab'
    >>> repeat("ab", times="3")
    Traceback (most recent call last):
    nacd_bench.errors.UserError: expected times as a whole number of at least 0, got '3'.
    """
    # apart from the call itself: an interrupt has to reach the job as it does without this
    taken: Any = validate_call(config=STRICT)(wraps(job)(lambda *args, **kwargs: (args, kwargs)))

    @wraps(job)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            args, kwargs = taken(*args, **kwargs)
        except ValidationError as error:
            raise _explained(error, job, args, kwargs) from None
        return job(*args, **kwargs)

    return call


@dataclass_transform(frozen_default=True)
def options(kind: type[T]) -> type[T]:
    """A frozen data class of settings that belong together, held to its types and ranges.

    A job takes one as itself or as a dictionary.
    """

    def schema(cls: Any, source: Any, handler: Any) -> Any:
        core = handler.resolve_ref_schema(handler(source))
        core["strict"] = False
        return core

    kind.__get_pydantic_core_schema__ = classmethod(schema)  # type: ignore[attr-defined]
    made: Any = pydantic_dataclass(frozen=True, config=STRICT)(kind)
    begin = made.__init__

    @wraps(begin)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            begin(self, *args, **kwargs)
        except ValidationError as error:
            raise _explained(error, made, args, kwargs) from None

    made.__init__ = __init__
    return made  # type: ignore[no-any-return]


def types_of(target: Any) -> dict[str, Any]:
    """The types of what a function or class takes, by name; Any where it does not say.

    >>> types_of(unknown)["known"]
    list[str]
    """
    parameters = inspect.signature(target).parameters.values()
    is_plain_class = inspect.isclass(target) and not is_dataclass(target)
    hints = get_type_hints(target.__init__ if is_plain_class else target, include_extras=True)
    return {
        parameter.name: hints.get(parameter.name, Any)
        for parameter in parameters
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


def parts_of(kind: Any) -> dict[str, Any]:
    """The types of the settings in a group by name: ``"*"`` for any name, ``"[]"`` in a list.

    >>> parts_of(Mapping[str, float] | None), parts_of(int | None)
    ({'*': <class 'float'>}, {})
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return parts_of(arguments[0])
    if origin in (Union, UnionType):
        return {name: part for each in arguments for name, part in parts_of(each).items()}
    if origin in (Mapping, dict):
        return {"*": arguments[1]}
    if origin in (Sequence, list, tuple):
        return {"[]": arguments[0]}
    if kind is Any:
        return {"*": Any}
    return types_of(kind) if is_dataclass(kind) else {}


def described(kind: Any) -> str:
    """What a value has to be, in words.

    >>> described(Processes), described(Sequence[Positive] | Literal["auto"])
    ('a whole number of at least 0 or null', 'a list (a number above 0) or auto')
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        for each in arguments:
            if getattr(each, "description", None):
                return str(each.description)
        bounds = list(filter(None, map(_bound, arguments)))
        return " ".join([described(arguments[0]), " and ".join(bounds)]).strip()
    if origin in (Union, UnionType):
        told = [each for each in arguments if each is not int or float not in arguments]
        return " or ".join(dict.fromkeys(map(described, told)))
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (Mapping, dict):
        return f"{described(arguments[1])} by name"
    if origin is not None:
        return f"a list ({described(arguments[0])})"
    if is_dataclass(kind):
        return f"settings ({', '.join(types_of(kind))})"
    return IN_WORDS.get(kind) or str(getattr(kind, "__name__", kind))


def choices_of(kind: Any) -> list[str]:
    """The words of which a setting takes one; empty for one that takes other values, too."""
    if get_origin(kind) is Literal:
        return list(map(str, get_args(kind)))
    if get_origin(kind) not in (Union, UnionType):
        return []
    several = [choices_of(each) for each in get_args(kind) if each is not NoneType]
    return list(chain(*several)) if all(several) else []


def fits(kind: Any, value: Any) -> bool:
    """Whether a setting of this type takes the value."""
    try:
        TypeAdapter(list[kind], config=STRICT).validate_python([value])
    except ValidationError:
        return False
    return True


def refused(name: str, kind: Any, value: Any) -> UserError:
    """What to tell of a value that is not of its setting's type."""
    if choices_of(kind) and isinstance(value, str):
        return UserError(unknown(name, value, choices_of(kind)))
    return UserError(f"expected {name} as {described(kind)}, got {value!r}.")


def held(thing: Any) -> None:
    """Hold a data class to the types and ranges of its fields.

    Raises:
        UserError: a value is not one of its field's.
    """
    for name, kind in types_of(type(thing)).items():
        value = getattr(thing, name)
        if not fits(kind, value):
            raise refused(f"{getattr(thing, 'name', type(thing).__name__)}.{name}", kind, value)


def _bound(limit: Any) -> str:
    words = LIMITS.get(type(limit))
    return f"{words} {next(iter(asdict(limit).values()))}" if words else ""


def _explained(
    error: ValidationError, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> UserError:
    """The first fault of several: what was expected of which setting, and what came."""
    faults = error.errors(include_url=False)
    first = faults[0]["loc"][0]
    # of several types that a setting may have, the one that was meant got furthest
    fault = max((f for f in faults if f["loc"][0] == first), key=lambda fault: len(fault["loc"]))
    kinds = types_of(target)
    further = fault["loc"][1:-2] if fault["loc"][-1] == "[key]" else fault["loc"][1:]
    name = list(kinds)[first] if isinstance(first, int) else first
    if fault["type"].startswith("missing"):
        return UserError(f"expected {name}=..., got nothing.")
    if name not in kinds:
        return UserError(unknown("setting", name, list(kinds)))
    kind, value = kinds[name], dict(zip(kinds, args, strict=False)).get(name, kwargs.get(name))
    for key in further:
        parts = parts_of(kind)
        if isinstance(value, Mapping) and key in value:
            if not parts.keys() & {"*", key}:
                return UserError(unknown(f"setting in {name}", str(key), list(parts)))
            name, kind, value = f"{name}.{key}", parts.get(str(key), parts.get("*")), value[key]
        elif isinstance(value, list | tuple) and isinstance(key, int):
            name, kind, value = f"{name}[{key}]", parts["[]"], value[key]
    return refused(name, kind, value)


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
