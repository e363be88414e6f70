"""Images whose paths say where they belong: a pattern for each side, with the name that they share.

In a pattern ``{name}`` is what the three files of a triplet have in common, folders included;
``*`` is anything inside a name, and ``**/`` any folders, or none::

    photos/{name}.png   decodes/**/{name}_neural.*   decodes/**/{name}_hm*.png

All else stands for itself. Neither ``{name}`` nor ``**/`` takes in the folder of a run: its
pictures are no images of a triplet. A file that fits several patterns is of the one that leaves the
shortest name (``a_neural.png`` is the neural image of ``a``, not the original of ``a_neural``),
then of the one with the most letters of its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from nacd_bench.errors import DataError, Failure
from nacd_bench.triplets.files import as_on_disk, composed, is_url
from nacd_bench.triplets.formats import files_below, has_image_suffix
from nacd_bench.triplets.record import ROLES

NAME = "{name}"
_ANY = {NAME: "(?P<name>.+)", "**/": "((?:.*/)?)", "*": "[^/]*"}
_SPECIAL = re.compile(r"(\{name\}|\*\*/|\*)")
_MEANT = re.compile(r"\{\w+\}|\*")

Files = dict[str, dict[str, list[Path]]]
"""Image files by role and by the name that they share."""


def are_patterns(paths: Sequence[str | Path]) -> bool:
    """Whether paths are patterns, and not files; three with other signs are meant as such."""
    if len(paths) == len(ROLES) and not any(map(is_url, paths)):
        return any(_MEANT.search(str(path)) and not as_on_disk(path).exists() for path in paths)
    return any(NAME in str(path) for path in paths)


def files_by_name(patterns: Mapping[str, str]) -> tuple[Files, list[Failure], list[Path]]:
    """The images that fit patterns, by role.

    Returns:
        files; those that cannot be told apart, as problems; images beside them that fit none.

    Raises:
        DataError: a pattern without a name, or that nothing fits.
    """
    fits = {role: re.compile(_expression(pattern, role)) for role, pattern in patterns.items()}
    letters = {role: len(_SPECIAL.sub("", pattern)) for role, pattern in patterns.items()}
    files: Files = {role: defaultdict(list) for role in patterns}
    problems, others = [], []
    for whole, (path, run) in _images_searched(patterns.values()):
        text = composed(whole.as_posix())
        upto = len(composed(Path(run).absolute().as_posix())) if run else 0
        found = {
            role: match["name"]
            for role, fit in fits.items()
            if (match := fit.fullmatch(text))
            and not any(first < upto <= last for first, last in match.regs[1:])
        }
        order = {role: (len(name), -letters[role]) for role, name in found.items()}
        best = [role for role in found if order[role] == min(order.values())]
        if not found:
            others += [] if run else [path]
        elif len(best) == 1:
            files[best[0]][found[best[0]]].append(path)
        else:
            line = f"expected a file of one side, got one that is as well {' as '.join(best)}."
            problems.append(Failure(found[best[0]], "read", f"{path}: {line} Tell patterns apart."))
    for role, pattern in patterns.items():
        if not files[role]:
            near = "".join(f"\n  {path}" for path in others[:5])
            raise DataError(
                f"{pattern}: expected {role} images that fit, got none. Correct the pattern."
                + (f" Images that fit none:{near}" if near else "")
                + "".join(f"\n{problem.message}" for problem in problems)
            )
    return files, problems, others


def _images_searched(patterns: Iterable[str]) -> list[tuple[Path, tuple[Path, str]]]:
    """Images where patterns look, sorted: from the root, as found, and the run that each is of."""
    found: dict[Path, tuple[Path, str]] = {}
    for pattern in patterns:
        for path, run in files_below(_base(pattern)):
            if has_image_suffix(path) and (run or path.absolute() not in found):
                found[path.absolute()] = path, run
    return sorted(found.items())


def _expression(pattern: str, role: str) -> str:
    """The regular expression of a role's pattern, in Unicode's composed form."""
    if pattern.count(NAME) != 1:
        raise DataError(
            f"{pattern}: expected a pattern with {NAME} once for the {role} images, as for "
            f"the others, got it {pattern.count(NAME)} times. Correct it."
        )
    place = composed(
        _base(pattern).absolute().joinpath(*Path(pattern).parts[len(_fixed(pattern)) :]).as_posix()
    )
    return "".join(_ANY.get(part, re.escape(part)) for part in _SPECIAL.split(place))


def _fixed(pattern: str) -> tuple[str, ...]:
    """The folders of a pattern before its first sign."""
    return tuple(takewhile(lambda part: not re.search(r"\*|\{name\}", part), Path(pattern).parts))


def _base(pattern: str) -> Path:
    """The folder that is searched."""
    return as_on_disk(Path(*_fixed(pattern)))
