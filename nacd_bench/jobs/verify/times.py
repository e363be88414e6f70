"""When votes were given: ISO 8601, seconds since 1970, and what spreadsheets make of dates.

``1/9/2026`` may be in January or in September. Where the other dates of a file do not say which,
both readings have to agree about which of two votes is the later one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

DAY_FIRST, MONTH_FIRST = "day/month", "month/day"
WIDEST_ZONE = timedelta(hours=14)
"""How far a time without a zone may lie from the same time in UTC."""
_DATE = re.compile(
    r"(\d{1,4})([/.-])(\d{1,2})\2(\d{1,4})"
    r"(?:,?[T\s]\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(?:([ap])\.?m\.?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)
_EPOCHS = ((1e8, 1), (1e11, 1e3), (1e14, 1e6))
"""Least numbers that are read as seconds, milliseconds, microseconds since 1970, and the factor."""


def readings(text: str, order: str = "") -> dict[str, datetime]:
    """What a time can mean, by the order of day and month; nothing for what is no time.

    Args:
        text: as in the file.
        order: :data:`DAY_FIRST` or :data:`MONTH_FIRST` where it is known.

    >>> [str(each.date()) for each in readings("1/9/2026").values()]
    ['2026-09-01', '2026-01-09']
    >>> readings("2026-01-09T12:00:00Z") == readings("2026-01-09T13:00:00+01:00")
    True
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    factor = next((by for least, by in reversed(_EPOCHS) if least <= number < least * 1e3), None)
    if factor:
        return {"": datetime.fromtimestamp(number / factor, UTC)}
    match = _DATE.fullmatch(text.strip())
    if match is None or len(match[1]) == 4:
        try:
            return {"": datetime.fromisoformat(re.sub(r"\s*(UTC|GMT)$", "Z", text.strip()))}
        except ValueError:
            if match is None:
                return {}
    assert match is not None
    orders = (DAY_FIRST, MONTH_FIRST)
    found = {each: time for each in orders if (time := _reading(match, each)) is not None}
    if order in found:
        return {"": found[order]}
    return found if len(set(found.values())) > 1 else dict(zip([""], found.values(), strict=False))


def _reading(match: re.Match[str], order: str) -> datetime | None:
    first, second, third = int(match[1]), int(match[3]), int(match[4])
    if len(match[1]) == 4:
        year, month, day = first, second, third
    else:
        is_day_first = order == DAY_FIRST or match[2] == "."
        month, day = (second, first) if is_day_first else (first, second)
        year = third if len(match[4]) > 2 else 2000 + third
    hour, minute, second = (int(match[group] or 0) for group in (5, 6, 7))
    if match[8]:
        hour = hour % 12 + (12 if match[8].lower() == "p" else 0)
    zone = (match[9] or "").upper()
    offset = "+00:00" if zone in ("Z", "UTC", "GMT") else zone
    try:
        return datetime.fromisoformat(
            f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{offset}"
        )
    except ValueError:
        return None


def order_of(texts: Iterable[str]) -> str:
    """The order of day and month that the dates of a file have, where some fit one only.

    >>> order_of(["1/9/2026", "13/9/2026"]), order_of(["1/9/2026"])
    ('day/month', '')
    """
    fitting = {DAY_FIRST, MONTH_FIRST}
    for text in texts:
        match = _DATE.fullmatch(text.strip())
        if match and len(match[1]) < 4 and match[2] != ".":
            fitting = {each for each in fitting if _reading(match, each) is not None}
    return fitting.pop() if len(fitting) == 1 else ""


def is_later(one: dict[str, datetime], other: dict[str, datetime]) -> bool:
    """Whether a time is later than another in every way in which both can be read.

    Two that may be read either way are read in the same order of day and month; one with a time
    zone is later than one without when it is so in every zone.
    """
    pairs = [
        (a, b)
        for order, a in one.items()
        for other_order, b in other.items()
        if not (order and other_order) or order == other_order
    ]
    return bool(pairs) and all(_surely_later(a, b) for a, b in pairs)


def _surely_later(a: datetime, b: datetime) -> bool:
    if (a.tzinfo is None) == (b.tzinfo is None):
        return a > b
    return a.replace(tzinfo=a.tzinfo or UTC) - b.replace(tzinfo=b.tzinfo or UTC) > WIDEST_ZONE
