"""The codecs of finished runs: what each made of which photograph, and what was found in it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacd_bench.errors import DataError, UserError
from nacd_bench.numbers import count
from nacd_bench.runs.compared_run import (
    DETECT,
    judges,
    operating_point,
    read_compared,
    run_thresholds,
)
from nacd_bench.runs.folder import journal_schema, read_journal, require_alike
from nacd_bench.runs.read import Run, read_run
from nacd_bench.runs.schema import CLEAN, FACTS, JOURNAL, SIDES
from nacd_bench.triplets.images import content_hash, image_size
from nacd_bench.triplets.record import TripletRecord, named_version

JOB = "rank"
"""Its runs know what they tried."""
Row = dict[str, Any]


@dataclass
class Entrant:
    """A codec that may be ranked.

    Args:
        name: what the table calls it.
        run: where its results are.
        records: its triplets by id.
        rows: of the table ``codings``, in the order of photographs and rates.
        presets: its rates, by rising bits per pixel.
        tried: hashes of the photographs that it was given.
        is_neural: whether it is; None where nothing says.
        parameters: of its networks, where it says how many.
        out: why it is not ranked; empty for one that is.
    """

    name: str
    run: Run
    records: Mapping[str, TripletRecord]
    rows: list[Row]
    presets: list[str] = field(default_factory=list)
    tried: set[str] = field(default_factory=set)
    is_neural: bool | None = None
    parameters: float | None = None
    out: str = ""

    @property
    def whole(self) -> set[str]:
        """Photographs that have every rate."""
        times = Counter(row["image_sha256"] for row in self.rows)
        return {name for name, number in times.items() if number == len(self.presets)}

    def on(self, photographs: Sequence[str]) -> list[Row]:
        """The rows of these photographs."""
        chosen = set(photographs)
        return [row for row in self.rows if row["image_sha256"] in chosen]


def read_entrants(
    folders: Sequence[str | Path], anchor: str | None, failure_limit: float
) -> tuple[list[Entrant], dict[str, str], str]:
    """The codecs of runs, the detector that judges each artifact type, and the anchor of all.

    Args:
        folders: of detect, mine or rank runs.
        anchor: the traditional codec that all were compared with; None for the one there is.
        failure_limit: share of its photographs on which a codec may fail and be ranked.

    Raises:
        DataError: not one anchor for all, or no detectors of severity.
    """
    runs = {str(folder): read_compared(folder) for folder in folders}
    require_alike({name: run.settings for name, run in runs.items()})
    chosen = [judges(run.types) for run in runs.values()]
    judged = {
        kind: name
        for kind, name in chosen[0].items()
        if all(other.get(kind) == name for other in chosen)
    }
    if not judged:
        raise DataError(
            f"expected runs with the same detectors of severity, got {', '.join(runs)} without "
            f"one that is in all. Run detect with {DETECT}."
        )
    reference = _anchor(runs, anchor)
    codings: dict[tuple[str, str], list[TripletRecord]] = defaultdict(list)
    for folder, run in runs.items():
        for record in run.records:
            if _traditional(record) == reference:
                codings[folder, record.codec("neural")].append(record)
        for name in _failed_codecs(run):
            codings[folder, name] = []
    labels = []  # versions tell apart what has one name, runs what has one version
    for (folder, codec), of in codings.items():
        name = (of[0].neural_codec if of else codec) or ""
        labels.append((name, codec, f"{name} ({folder})".strip(), f"{codec} ({folder})".strip()))
    times = Counter(label for shown in labels for label in dict.fromkeys(shown) if label)
    findings = {folder: _findings(run, judged) for folder, run in runs.items()}
    entrants = [
        _entrant(
            next(label for label in shown if times[label] == 1),
            *(runs[folder], records, judged, findings[folder], failure_limit),
        )
        for shown, ((folder, _), records) in zip(labels, codings.items(), strict=True)
    ]
    return entrants, judged, named_version(*reference)


def _failed_codecs(run: Run) -> list[str]:
    """The codecs of a rank run that have no result at all."""
    if run.settings.get("job") != JOB:
        return []
    done = {record.neural_codec for record in run.records}
    given = run.settings["codecs"].items()
    return [name for name, codec in given if codec["follows"] is None and name not in done]


def _traditional(record: TripletRecord) -> tuple[str, str]:
    return record.traditional_codec or "", record.traditional_version or ""


def _anchor(runs: Mapping[str, Run], name: str | None) -> tuple[str, str]:
    """The traditional codec, with its version, that all runs compare with."""
    of_run = {
        folder: {_traditional(record) for record in run.records} for folder, run in runs.items()
    }
    shared = set.intersection(*of_run.values())
    if name is not None:
        shared = {codec for codec in shared if codec[0] == name}
    if len(shared) != 1:
        told = "; ".join(
            f"{', '.join(named_version(*codec) or 'unknown' for codec in sorted(codecs))} "
            f"in {folder}"
            for folder, codecs in of_run.items()
        )
        wanted = f"the anchor {name}" if name else "one traditional codec"
        raise DataError(
            f"expected {wanted} in all runs, in one version, since severity is relative to it, got "
            f"{told}. Name one that all have with anchor=..., or code with the same one."
        )
    _require_same_settings(runs)
    return shared.pop()


def _require_same_settings(runs: Mapping[str, Run]) -> None:
    """The anchors of rank runs, which are known to be of one version, were set alike."""
    told = {
        folder: ", ".join(f"{name}={value}" for name, value in codec["parameters"].items())
        for folder, run in runs.items()
        if run.settings.get("job") == JOB
        for codec in run.settings["codecs"].values()
        if codec["follows"] is not None
    }
    if len(set(told.values())) > 1:
        raise DataError(
            "expected an anchor with the same settings in all runs, since severity is relative to "
            f"it, got {'; '.join(f'{each} in {folder}' for folder, each in told.items())}. Code "
            "with the same one."
        )


Findings = tuple[dict[tuple[str, str], int], dict[tuple[str, str], int] | None]
"""Boxes over the threshold by triplet and detector: worse than the anchor, and better."""


def _findings(run: Run, judged: Mapping[str, str]) -> Findings:
    thresholds = run_thresholds(run, judged.values())

    def counted(detections: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
        return Counter(
            (row["triplet"], row["detector"])
            for row in detections
            if row["confidence"] > thresholds.get(row["detector"], math.inf)
        )

    clean = run.folder / CLEAN
    better = None
    if (clean / "detections.parquet").is_file() and _is_exchanged(run, clean):
        better = counted(read_run(clean).detections)
    return counted(run.detections), better


def _is_exchanged(run: Run, clean: Path) -> bool:
    """Whether clean triplets are those of the run with their sides exchanged."""
    others = {record.id: record for record in read_run(clean).records}
    return all(
        record.id in others and others[record.id].neural_bpp == record.traditional_bpp
        for record in run.records
    )


def _entrant(
    name: str,
    run: Run,
    records: Sequence[TripletRecord],
    judged: Mapping[str, str],
    findings: Findings,
    failure_limit: float,
) -> Entrant:
    """A codec from its triplets; whether it fails on too many photographs."""
    found, better = findings
    rows = []
    for record in records:
        key = record.extra["image_sha256"] or record.original
        said = {kind: run.scores.get(by, {}).get(record.id) for kind, by in judged.items()}
        scores = {kind: score for kind, score in said.items() if score is not None}
        if len(scores) < len(judged):
            continue
        row: Row = {
            "codec": name,
            "anchor": record.traditional_codec or "anchor",
            "triplet": record.id,
            "image": record.extra["image"],
            "image_sha256": key,
            "preset": operating_point(record),
            "megapixels": _megapixels(record),
            "severity": sum(scores.values()) / len(scores),
        }
        for kind, by in judged.items():
            row[f"{kind}_severity"] = scores[kind]
            row[f"{kind}_artifacts"] = found.get((record.id, by), 0)
            row[f"{kind}_better"] = None if better is None else better.get((record.id, by), 0)
        for side in SIDES:
            row |= {f"{side}_{fact}": _number(_fact(record, f"{side}_{fact}")) for fact in FACTS}
        rows.append(row)
    first = records[0].extra if records else {}
    is_neural = first.get("neural_is_neural")
    entrant = Entrant(
        name,
        run,
        {record.id: record for record in records},
        rows,
        is_neural=None if is_neural is None else str(is_neural) == "True",
        parameters=_number(first.get("neural_parameter_count")),
    )
    by_rate: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_rate[row["preset"]].append(row["neural_bpp"] or 0.0)
    entrant.presets = sorted(
        by_rate, key=lambda preset: sum(by_rate[preset]) / len(by_rate[preset])
    )
    entrant.tried = {row["image_sha256"] for row in rows} | _tried(run)
    failed = len(entrant.tried) - len(entrant.whole)
    is_over = failed > failure_limit * len(entrant.tried)
    if is_over or not entrant.whole:
        tried = count(len(entrant.tried), "photograph")
        entrant.out = f"no result at every rate for {failed} of {tried}"
        entrant.out += f", more than failure_limit={failure_limit:g}" if is_over else ""
    return entrant


def _tried(run: Run) -> set[str]:
    """Photographs of a run: those of any of its codecs, and those on which one failed."""
    names = {record.extra["image_sha256"] or record.original for record in run.records}
    if run.settings.get("job") != JOB:
        return names
    journal = read_journal(run.folder / JOURNAL, journal_schema(JOB))
    hashes = {record["name"]: record["sha256"] for _, record in journal}
    steps = ("process", *(f"{name} " for name in run.settings["codecs"]))
    for item in {row["item"] for row in run.failures if row["step"].startswith(steps)}:
        try:
            names.add(hashes[item] if item in hashes else content_hash(item))
        except UserError:  # one that no codec coded and that is gone
            names.add(item)
    return names


def _fact(record: TripletRecord, name: str) -> Any:
    return getattr(record, name) if hasattr(record, name) else record.extra.get(name)


def _megapixels(record: TripletRecord) -> float | None:
    """Of the original; None where nothing says how large it is and it is gone."""
    width, height = (_number(record.extra.get(name)) for name in ("width", "height"))
    if width is None or height is None:
        try:
            width, height = image_size(record.original)
        except UserError:
            return None
    return width * height / 1e6


def _number(value: Any) -> float | None:
    with suppress(TypeError, ValueError):
        return None if value is None else float(value)
    return None
