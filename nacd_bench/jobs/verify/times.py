"""When votes were given: ISO 8601, seconds since 1970, and what spreadsheets make of dates.

``1/9/2026`` may be in January or in September. Where the other dates of a file do not say which,
both readings have to agree about which of two votes is the later one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from dateutil import parser

DAY_FIRST, MONTH_FIRST = "day/month", "month/day"
WIDEST_ZONE = timedelta(hours=14)
"""How far a time without a zone may lie from the same time in UTC."""
EPOCHS = (1e8, 1e11, 1e17)
"""Numbers from the first are seconds since 1970, from the second a thousand times more of
milliseconds or microseconds, up to the last."""
_SHORT_DATE = re.compile(r"\s*(\d{1,2})([/.-])(\d{1,2})\2\d")


def readings(text: str, order: str = "") -> list[datetime]:
    """What a time means with the day first, and with the month first; nothing for what is no time.

    Args:
        text: as in the file.
        order: :data:`DAY_FIRST` or :data:`MONTH_FIRST` where it is known.

    >>> [str(reading.date()) for reading in readings("1/9/2026")]
    ['2026-09-01', '2026-01-09']
    >>> readings("2026-01-09T12:00:00Z") == readings("2026-01-09T13:00:00+01:00")
    True
    """
    date = _SHORT_DATE.match(text)
    orders = [order or DAY_FIRST, order or MONTH_FIRST]
    if date is None or date[2] == ".":  # ISO, or as in 9.1.2026, where the day is first
        orders = [DAY_FIRST if date else MONTH_FIRST] * 2
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    try:
        if EPOCHS[0] <= number < EPOCHS[-1]:
            while number >= EPOCHS[1]:
                number /= 1e3
            return 2 * [datetime.fromtimestamp(number, UTC)]
        start = datetime(1970, 1, 1)
        return [parser.parse(text, default=start, dayfirst=way == DAY_FIRST) for way in orders]
    except (ValueError, OverflowError):
        return []


def order_of(texts: Iterable[str]) -> str:
    """The order of day and month that the dates of a file have, where some fit one only.

    >>> order_of(["1/9/2026", "13/9/2026"]), order_of(["1/9/2026"])
    ('day/month', '')
    """
    dates = [date for date in map(_SHORT_DATE.match, texts) if date and date[2] != "."]
    has_day_first = any(int(date[1]) > 12 for date in dates)
    has_month_first = any(int(date[3]) > 12 for date in dates)
    if has_day_first == has_month_first:
        return ""
    return DAY_FIRST if has_day_first else MONTH_FIRST


def is_later(one: list[datetime], other: list[datetime]) -> bool:
    """Whether a time is later than another, whichever order of day and month both have.

    One with a time zone is later than one without when it is so in every zone.
    """
    pairs = zip(one, other, strict=False)
    return bool(one and other) and all(_surely_later(a, b) for a, b in pairs)


def _surely_later(a: datetime, b: datetime) -> bool:
    if (a.tzinfo is None) == (b.tzinfo is None):
        return a > b
    return a.replace(tzinfo=a.tzinfo or UTC) - b.replace(tzinfo=b.tzinfo or UTC) > WIDEST_ZONE
