"""The sample that comes with nacd-bench: real triplets that may be passed on, with grades.

Twelve photographs coded by JPEG AI VM 3.3 networks and by HM 18.0 at 1.2 times their rate, at two
rates, graded by three model raters. ``sample/README.md`` says whose the photographs are and what
was done with them. They are kept as lossless WebP, so that neither another version of the package
that a photograph comes from nor another JPEG decoder changes a pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nacd_bench.errors import DataError, Failure, UserError
from nacd_bench.registry import unknown
from nacd_bench.settings import checked
from nacd_bench.triplets.grades import GradedData, find_grades
from nacd_bench.triplets.images import content_hash
from nacd_bench.triplets.record import ROLES, TripletRecord
from nacd_bench.triplets.source import find_triplets

FOLDER = Path(__file__).parents[1] / "sample"
SUMS = "SHA256SUMS"
"""Hashes of its files, as ``sha256sum -c`` reads them."""
ABOUT = (
    "The sample that comes with nacd-bench. Its neural side is JPEG AI VM 3.3 networks, which is "
    "not JPEG AI: without its tools and its search for rates, with a range coder and chroma "
    "up-sampling of our own."
)
GRAY = "color leaves out the gray originals, which have none to lose."


@checked
def sample_triplets(
    photos: Sequence[str] | None = None, rates: Sequence[str] | None = None
) -> GradedData:
    """Triplets of the sample with their grades; of color where the original has any.

    A file that is missing or was changed is a failure, which costs its triplets; without the
    hashes, which is one too, all that are there are taken.

    Args:
        photos: names such as ``astronaut``; None for all.
        rates: of ``low`` (0.09 to 0.24 bpp) and ``high`` (0.17 to 0.38 bpp); None for both.

    Raises:
        DataError: unknown names, no table of triplets, or no triplet that is whole.
    """
    tables = [FOLDER / name for name in ("triplets.csv", "grades.jsonl")]
    if not tables[0].is_file():
        raise DataError(_failure(tables[0], "none").message)
    records, problems = find_triplets(tables[0])
    grades, faults, notes = find_grades(FOLDER, records)
    records = _chosen(records, "source", "photograph", photos)
    records = _chosen(records, "neural_point", "rate", rates)
    files = dict.fromkeys(getattr(record, role) for record in records for role in ROLES)
    failures = _faults(list(map(Path, [*tables, *files])))
    whole = [
        record for record in records if not any(getattr(record, role) in failures for role in ROLES)
    ]
    if not whole:
        raise DataError("\n".join(failure.message for failure in failures.values()))
    is_gray = {record.id: "gray" in record.extra for record in whole}
    used = [
        grade
        for grade in grades
        if grade.triplet in is_gray
        and not (grade.artifact_type == "color" and is_gray[grade.triplet])
    ]
    notes = [ABOUT, *([GRAY] if any(is_gray.values()) else []), *notes]
    return GradedData(whole, used, [*problems, *failures.values(), *faults], notes)


def _chosen(
    records: Sequence[TripletRecord], fact: str, noun: str, wanted: Sequence[str] | None
) -> list[TripletRecord]:
    """Those with a fact that is wanted; :class:`DataError` where none has it."""
    there = list(dict.fromkeys(str(getattr(record, fact)) for record in records))
    for name in wanted or ():
        if name not in there:
            raise DataError(unknown(noun, name, there))
    return [record for record in records if not wanted or str(getattr(record, fact)) in wanted]


def _faults(files: Sequence[Path]) -> dict[str, Failure]:
    """What is wrong with files of the sample, by path; without the hashes that is all there is."""
    try:
        lines = (FOLDER / SUMS).read_text("utf-8").splitlines()
        sums = {name: digest for digest, name in map(str.split, lines)}
    except (OSError, ValueError):  # gone, no text, or other lines
        sums = {}
    failures = {}
    for file in files if sums else [FOLDER / SUMS]:
        try:
            if content_hash(file) == sums.get(file.relative_to(FOLDER).as_posix()):
                continue
            got = "another"
        except UserError:
            got = "none that can be read"
        failures[str(file)] = _failure(file, got)
    return failures


def _failure(file: Path, got: str) -> Failure:
    return Failure(
        file.relative_to(FOLDER).as_posix(),
        "read",
        f"{file}: expected the file that nacd-bench came with, got {got}. Put it back, or install "
        "nacd-bench again (pip install --force-reinstall --no-deps, and where it came from).",
    )
