"""How numbers are written for people: digits enough for what they claim, and never more.

The same value reads the same on the console, in Markdown, in LaTeX and on a page. The pages' own
script writes numbers by ``report/site/page.js``.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

NOTHING = "-"
MOST_DECIMALS = 12
SIGNIFICANCE = (0.05, 0.01, 0.001)
"""Levels that a printed p value must not seem to reach, or to miss."""


def number(value: float | None, digits: int = 4) -> str:
    """A value of any size with its significant digits.

    >>> number(1200.0), number(1.5e-10), number(0.123456), number(None)
    ('1200', '1.5e-10', '0.1235', '-')
    """
    if value is None or math.isnan(value):
        return NOTHING
    return f"{float(f'{value:.{digits}g}'):.15g}"


def estimate(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    decimals: int | None = 3,
    is_difference: bool = False,
) -> str:
    """A value with its interval, ``0.996 [0.995, 0.999]``.

    The bounds are rounded outwards, so that the interval never claims more than it holds. Digits
    are added until its width has two units in the last place, and until nothing reads as 0 or 1
    that is not; the lower bound of what is no difference may read as 0, which says less and not
    more: the interval of few images has no use for digits.

    Args:
        decimals: least number of them; None for three digits of the largest of the numbers.
        is_difference: whether signs are written out.

    >>> estimate(0.9962, 0.9951, 0.9990), estimate(0.61, 0.4951, 0.72)
    ('0.996 [0.995, 0.999]', '0.610 [0.495, 0.720]')
    >>> estimate(0.99996, 0.9999, 1.0), estimate(-0.02, -0.04, -0.0002, is_difference=True)
    ('0.99996 [0.99990, 1.00000]', '-0.0200 [-0.0400, -0.0002]')
    """
    if value is None or math.isnan(value):
        return NOTHING
    sign = "+" if is_difference else ""
    numbers = [value]
    if low is not None and high is not None and not (math.isnan(low) or math.isnan(high)):
        numbers += [low, high]
    largest = max((abs(x) for x in numbers if math.isfinite(x)), default=0.0)
    if decimals is None:
        decimals = max(0, 2 - math.floor(math.log10(largest))) if largest else 3
    if decimals > MOST_DECIMALS:
        shown = [f"{x:{sign}.3g}" for x in numbers]
    else:
        while decimals < MOST_DECIMALS and _claims_more(numbers, decimals, is_difference):
            decimals += 1
        shown = [f"{x:{sign}f}" for x in _outwards(numbers, decimals)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]" if len(shown) == 3 else f"{shown[0]} [-, -]"


def p_value(p: float | None) -> str:
    """Three digits, and more where the value would else seem to lie on a level of significance.

    >>> p_value(0.0625), p_value(0.04996), p_value(0.0500004), p_value(9.3e-6), p_value(None)
    ('0.0625', '0.04996', '0.0500004', '9.3e-06', '-')
    """
    if p is None or math.isnan(p):
        return NOTHING
    return beside(p, SIGNIFICANCE)


def beside(value: float, limits: tuple[float, ...], digits: int = 3) -> str:
    """The value with digits enough to lie on its own side of the limits.

    >>> beside(0.8996, (0.9,)), beside(0.9, (0.9,))
    ('0.8996', '0.9')
    """
    while digits < 17 and any(
        (value > limit) != (float(f"{value:.{digits}g}") > limit)
        or (value < limit) != (float(f"{value:.{digits}g}") < limit)
        for limit in limits
    ):
        digits += 1
    return f"{value:.{digits}g}"


def share(value: float | None, decimals: int = 3) -> str:
    """A number between -1 and 1 that reads as 0 or 1 only where it is.

    >>> share(0.5), share(0.99996), share(1.0), share(None)
    ('0.500', '0.99996', '1.000', '-')
    """
    if value is None or math.isnan(value):
        return NOTHING
    return f"{value:.{_decimals(value, decimals)}f}"


def percent(value: float | None, decimals: int = 0) -> str:
    """A share in percent that reads as 0 or 100 % only where it is.

    >>> percent(0.9), percent(0.9996), percent(1.0), percent(2 / 3)
    ('90 %', '99.96 %', '100 %', '67 %')
    """
    if value is None or math.isnan(value):
        return NOTHING
    return f"{100 * value:.{_decimals(value, decimals + 2) - 2}f} %"


def count(number: int, noun: str) -> str:
    """A number of things, of which one is singular.

    >>> count(1, "image"), count(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """In the unit that people would name it in.

    >>> [duration(seconds) for seconds in (0.4, 59.7, 90, 5400, 200_000)]
    ['0.4 s', '1.0 min', '1.5 min', '1.5 hours', '2.3 days']
    """
    for limit, unit, of in ((59.5, "s", 1), (5370, "min", 60), (171_900, "hours", 3600)):
        if seconds < limit:
            return _two_digits(seconds / of, unit)
    return _two_digits(seconds / 86_400, "days")


def size(number: float) -> str:
    """Bytes in the unit that people would name them in.

    >>> size(812), size(34_567), size(1.25e9), size(3.4e13)
    ('812 bytes', '35 kB', '1.2 GB', '34 TB')
    """
    for factor, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= 0.9995 * factor:
            return _two_digits(number / factor, unit)
    return f"{number:.0f} bytes"


def _two_digits(value: float, unit: str) -> str:
    """At least two digits, and all of them before the point."""
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"


def gaps(mean: float, largest: float) -> str:
    """Shares by which rates miss what was asked for: the mean of their sizes, the largest of all.

    >>> gaps(0.07, -0.12), gaps(math.nan, math.nan)
    ('7.0 % (-12.0 %)', '-')
    """
    return NOTHING if math.isnan(mean) else f"{100 * mean:.1f} % ({100 * largest:+.1f} %)"


def _decimals(value: float, decimals: int) -> int:
    """So many, and more where rounding would make it -1, 0 or 1 and it is not."""
    while (
        decimals < MOST_DECIMALS
        and value not in (-1, 0, 1)
        and round(value, decimals) in (-1, 0, 1)
    ):
        decimals += 1
    return decimals


def _claims_more(numbers: list[float], decimals: int, is_difference: bool) -> bool:
    """Whether rounding says what is not so: no width, an end that is none, another side of 0."""
    low, high = numbers[-2:] if len(numbers) == 3 else (numbers[0], numbers[0])
    shown = _outwards(numbers, decimals)
    told = list(zip(numbers, shown, strict=True))
    if not is_difference and low >= 0:
        del told[1:2]
    if not low < 0 < high and any(x != 0 and rounded == 0 for x, rounded in told):
        return True
    if low >= 0 and high <= 1 and numbers[0] != 1 and shown[0] == 1:
        return True
    return 0 < high - low < 2 * 10.0**-decimals


def _outwards(numbers: list[float], decimals: int) -> list[Decimal | float]:
    """Rounded: the value to the nearest, its bounds away from it."""
    ways = (ROUND_HALF_EVEN, ROUND_FLOOR, ROUND_CEILING)
    return [
        # 0.30000000000000004 is 0.3 here: outwards is not for the last bit of a sum
        Decimal(f"{x:.14g}").quantize(Decimal(1).scaleb(-decimals), rounding=way) + 0
        if math.isfinite(x)
        else x
        for x, way in zip(numbers, ways, strict=False)
    ]
