"""``nacd-bench rank``: which codec makes the fewest artifacts on these photographs.

Each codec is asked for every rate, and one anchor for the rate that the codec *got*; detectors of
severity say where a codec is worse than the anchor, and, with the sides exchanged, where it is
better. A run that was killed goes on where it was::

    done = rank("photos/", codecs=["mycodec.yaml", "avif"], anchor="x265", folder="run")

The run's folder is one of ``compress`` with the tables of ``detect``, so that ``report`` and
``rank runs=[...]`` read it, and::

    ranking.parquet     the figures of each codec; ranking.csv is the same
    codings.parquet     a row per codec, photograph and rate; codings.csv is the same
    pairs.csv           every two codecs: difference and its test
    rgb_curves.csv      rates and distortions on RGB, with curves=[...]
    summary.md          for people; table.tex is the same for a paper
    rank/index.html     the page
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nacd_bench.cache import ScoreCache, cache_folder
from nacd_bench.coding.codec import Codec
from nacd_bench.coding.originals import list_images
from nacd_bench.coding.sides import (
    TARGETS,
    AnyCodec,
    CodecSpec,
    Side,
    TargetRate,
    built,
    codec_of,
)
from nacd_bench.detectors import Detector
from nacd_bench.errors import CodecError, DataError, Failure, UserError
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.paired_versions import DEFAULT
from nacd_bench.evaluation.rgb_curves import read_rgb_curve
from nacd_bench.evaluation.thresholds import Criterion, Limit
from nacd_bench.jobs.rank.beside import rgb_curves
from nacd_bench.jobs.rank.entrants import JOB, read_entrants
from nacd_bench.jobs.rank.ranking import Ranking, ranked
from nacd_bench.jobs.rank.results import write_results
from nacd_bench.numbers import count
from nacd_bench.pipeline.coding import CodedImages, anchored_sides, code_sides
from nacd_bench.pipeline.forecast import SAMPLE, forecast
from nacd_bench.pipeline.methods import by_name, limits_of
from nacd_bench.pipeline.scores import score_triplets
from nacd_bench.pipeline.scoring import DEFAULT as DEFAULT_ENGINE
from nacd_bench.pipeline.scoring import Engine
from nacd_bench.pipeline.workers import cores
from nacd_bench.registry import CODECS
from nacd_bench.runs.compared_run import DETECT, judges
from nacd_bench.runs.folder import Journal, journal_schema, open_run
from nacd_bench.runs.schema import CLEAN, FAILURES, JOURNAL, TRIPLETS
from nacd_bench.runs.tables import Table, write_limits, write_tables
from nacd_bench.settings import Count, Name, Names, Positive, Share, checked
from nacd_bench.triplets.record import exchanged
from nacd_bench.triplets.source import find_triplets
from nacd_bench.triplets.text_files import read_yaml

YAML = (".yaml", ".yml")
ANCHORS = ("hm", "x265")
"""The one where it is installed, the other everywhere."""


@dataclass(frozen=True)
class RankedCodecs:
    """What a job left in its folder.

    Args:
        folder: where everything lies.
        ranking: figures, ranks and tests.
        failures: what failed.
        coded: what was coded and left out; None for finished runs.
        page: ``index.html``, or None where none was asked for.
    """

    folder: Path
    ranking: Ranking
    failures: list[Failure]
    coded: CodedImages | None
    page: Path | None


@checked
def rank(
    images: Names | None,
    folder: Name,
    *,
    codecs: Sequence[AnyCodec] = (),
    runs: Sequence[Name] = (),
    rates: Sequence[TargetRate] = TARGETS,
    anchor: AnyCodec | None = None,
    curves: Sequence[Name] = (),
    detectors: Sequence[Detector] = (),
    thresholds: Mapping[str, float] | Name | None = None,
    criterion: Criterion | None = None,
    tolerance: Positive | None = None,
    failure_limit: Share = 0.2,
    bootstrap: Resampling = DEFAULT,
    workers: Count | None = None,
    cache: Name | None = None,
    trainer: Engine = DEFAULT_ENGINE,
    report: bool = True,
    pictures: Count = 20,
    show_progress: bool = True,
    configuration: str | None = None,
) -> RankedCodecs:
    """Code photographs with several codecs, find their artifacts and rank the codecs.

    Args:
        images: a folder, a file, a text file of paths, a pattern, or a list of these; None with
            ``runs``.
        folder: where results go; one that holds an unfinished run is continued.
        codecs: registered names, YAML files, :class:`~nacd_bench.coding.sides.CodecSpec` or codec
            objects.
        runs: finished runs of detect, mine or rank, in place of images and codecs.
        rates: bits per pixel that each codec is asked for.
        anchor: the traditional codec that all are compared with; HM where it is installed, else
            x265. With ``runs`` its name, where they have several.
        curves: JSON files of CompressAI's evaluation, whose curves stand beside on RGB.
        detectors: those of severity judge.
        thresholds, criterion: severity over which a place is an artifact, as ``detect`` takes
            them; ``runs`` keep theirs.
        tolerance: miss of the rate beyond which a codec's fine control is used.
        failure_limit: share of photographs on which a codec may fail and be ranked.
        bootstrap: how intervals are made.
        workers: processes that code; the number of cores by default, 0 for none but this one.
        cache: folder for scores; the user's cache folder by default.
        trainer: devices, precision, batch size of the detectors.
        report: write the page.
        pictures: findings on the page, the worst first.
        show_progress: progress bars.
        configuration: YAML to keep beside the results as ``config.yaml``.

    Raises:
        CodecError: a codec cannot be used at all.
        DataError: no photographs that all codecs have, runs without a common anchor, a folder in
            use, a curve that cannot be read.
    """
    folder = Path(folder)
    others = [read_rgb_curve(path) for path in curves]
    if images is None:
        _require_runs(runs, codecs, folder, thresholds or criterion)
        name = anchor.name if isinstance(anchor, CodecSpec | Codec) else anchor
        settings: Mapping[str, Any] = {"runs": list(map(str, runs)), "anchor": name}
        failures: list[Failure] = []
        coded: CodedImages | None = None
        folders = list(runs)
    else:
        _require_codecs(images, runs, codecs, detectors)
        limits = limits_of(detectors, thresholds, criterion)
        coded = code_sides(
            images,
            rank_sides(codecs, anchor),
            tuple({f"bpp-{bpp:g}": float(bpp) for bpp in sorted(rates)}.items()),
            folder,
            job=JOB,
            settings={"detectors": {one.name: one.settings for one in detectors}},
            measures=("msssim",),
            tolerance=tolerance,
            workers=workers,
            failure_limit=1.0,
            show_progress=show_progress,
        )
        settings, failures = coded.settings, list(coded.failures)
        if not coded.rows:
            raise DataError(
                "expected photographs that a codec and the anchor can code, got none: "
                f"{failures[0]} All that failed is in {folder / FAILURES}."
            )
        name, folders = None, [folder]
    anew = coded is None or not coded.encodes
    with open_run(
        folder, JOB, settings, failures=failures, configuration=configuration, anew=anew
    ) as opened:
        if images is not None:
            place = Path(cache) if cache is not None else cache_folder("scores") or folder
            engine = replace(trainer, show_progress=trainer.show_progress and show_progress)
            kept = ScoreCache(place / "scores.sqlite")
            opened.failures += _score(folder, detectors, limits, kept, engine)
        ranking = ranked(*read_entrants(folders, name, failure_limit), bootstrap)
        if others:
            try:
                ranking.curves = rgb_curves(ranking, others, show_progress)
            except UserError as error:
                opened.failures.append(Failure(", ".join(map(str, curves)), "curves", str(error)))
        page = write_results(folder, ranking, pictures if report else None, show_progress)
    return RankedCodecs(folder, ranking, opened.failures, coded, page)


def _require_runs(
    runs: Sequence[Name], codecs: Sequence[AnyCodec], folder: Path, limits: object
) -> None:
    """Raise :class:`DataError` if finished runs cannot be ranked in a folder."""
    if not runs:
        raise DataError(_expected(None, runs, codecs))
    if limits:
        raise DataError(
            "expected thresholds and criterion with photographs, got them with finished runs, "
            "which keep theirs. Run nacd-bench detect with others."
        )
    if folder.resolve() in [Path(run).resolve() for run in runs]:
        raise DataError(
            f"expected a folder of its own for the ranking, got that of a run ({folder}). Name "
            "another one: folder=runs/rank"
        )


def _require_codecs(
    images: Names, runs: Sequence[Name], codecs: Sequence[AnyCodec], detectors: Sequence[Detector]
) -> None:
    """Raise :class:`DataError` if photographs cannot be ranked with codecs and detectors."""
    if runs or not codecs:
        raise DataError(_expected(images, runs, codecs))
    types = {one.name: one.artifact_type for one in detectors}
    if not judges(types):
        raise DataError(
            f"expected detectors of severity, got {', '.join(types) or 'none'}. Name some that "
            f"rank: {DETECT}."
        )


def _expected(images: Names | None, runs: Sequence[Name], codecs: Sequence[AnyCodec]) -> str:
    """What rank takes, and what it got instead."""
    return (
        "expected photographs and codecs=[...], or finished runs as runs=[...], got "
        f"{'photographs' if images else 'no photographs'}, {count(len(codecs), 'codec')} and "
        f"{count(len(runs), 'run')}."
    )


def rank_sides(codecs: Sequence[AnyCodec], anchor: AnyCodec | None) -> tuple[Side, ...]:
    """The codecs, each with the anchor after it; a codec that is the anchor is the reference.

    Raises:
        UserError: a codec that cannot be had, or two of one name.
    """
    specs = [_codec(codec) for codec in codecs]
    reference = _codec(anchor) if anchor is not None else _usual_anchor()
    name = built(reference).name
    others = [codec for codec in specs if built(codec).name != name]
    if not others:
        raise DataError(f"expected a codec beside the anchor, got {name} alone. Name another one.")
    return anchored_sides(others, reference)


def _codec(given: AnyCodec) -> AnyCodec:
    """A codec from its YAML file: a row as in ``conf/codec``, or commands of any other."""
    spec: AnyCodec = codec_of(given)
    path = spec.name if isinstance(spec, CodecSpec) else ""
    if not path.endswith(YAML):
        return spec
    content = read_yaml(Path(path), "a codec")
    if (
        isinstance(content, Mapping)
        and str(content.get("name")) in CODECS
        and "encode" not in content
    ):
        row: AnyCodec = codec_of(dict(content))
        return row
    is_named = isinstance(content, Mapping) and content.get("name")
    return CodecSpec("command", {"file": path}, label=None if is_named else Path(path).stem)


def _usual_anchor() -> CodecSpec:
    for name in ANCHORS[:-1]:
        with suppress(CodecError):
            built(name)
            return CodecSpec(name)
    return CodecSpec(ANCHORS[-1])


def _score(
    folder: Path,
    detectors: Sequence[Detector],
    limits: Mapping[str, Limit],
    cache: ScoreCache,
    engine: Engine,
) -> list[Failure]:
    """Score the triplets of a folder as they are and with their sides exchanged; what failed."""
    records, problems = find_triplets(folder / TRIPLETS)
    methods, types = by_name(detectors), {one.name: one.artifact_type for one in detectors}
    ways = {folder: records, folder / CLEAN: exchanged(records)}
    given = {
        place: [replace(record, id=f"{record.id} {number}") for record in of_way]
        for number, (place, of_way) in enumerate(ways.items())
    }
    every = [record for of_way in given.values() for record in of_way]
    wanted = {record.id: list(methods) for record in every}
    scored = score_triplets(every, wanted, detectors, cache, engine)
    thresholds = {name: limit.threshold for name, limit in limits.items()}
    for place, of_way in ways.items():
        results = {
            record.id: {
                name: of_method[numbered.id]
                for name, of_method in scored.scores.items()
                if numbered.id in of_method
            }
            for record, numbered in zip(of_way, given[place], strict=True)
        }
        write_tables(place, of_way, results, types, thresholds)
    write_limits(folder, types, limits)
    ids = {
        numbered.id: record.id
        for way in ways
        for numbered, record in zip(given[way], ways[way], strict=True)
    }
    failures = [replace(each, item=ids.get(each.item, each.item)) for each in scored.failures]
    failures = [*problems, *dict.fromkeys(failures)]
    if not any(scored.scores.values()):
        raise DataError(f"expected severities to rank by, got none: {failures[0]}")
    return failures


def plan(arguments: Mapping[str, Any], began: float, sample: int = SAMPLE) -> tuple[Table, str]:
    """What :func:`rank` would take with these arguments; nothing of it stays on the disk.

    Args:
        arguments: of :func:`rank`.
        began: when the command did, by :func:`time.perf_counter`: starting up is counted.
        sample: images to measure.
    """
    if arguments["images"] is None:
        raise DataError("expected photographs for --plan, got finished runs: they are read only.")
    items = list_images(arguments["images"], Path(arguments["folder"]), files_only=True).items
    sides = rank_sides(arguments["codecs"], arguments["anchor"])

    def job(scratch: Path, every: int, _: int) -> list[dict[str, Any]]:
        images = [item.path for item in items[::every]]
        here = {"images": images, "folder": str(scratch), "cache": str(scratch), "report": False}
        start = time.perf_counter()
        rank(**{**arguments, **here, "configuration": None})
        records = list(Journal(scratch / JOURNAL, journal_schema(JOB)))
        coding = sum(sum(record["seconds"].values()) for record in records)
        processes = cores() if arguments["workers"] is None else max(arguments["workers"], 1)
        scoring = time.perf_counter() - start - coding / processes
        for record in records:
            record["seconds"]["detect"] = max(scoring, 0.0) / len(records)
        return records

    on_device = [side.label for side in sides if side.codec.in_main_process]
    return forecast(job, len(items), arguments["workers"], [*on_device, "detect"], began, sample)
