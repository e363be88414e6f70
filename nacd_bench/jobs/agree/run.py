"""``nacd-bench agree``: how near detectors and metrics come to a rater on graded triplets.

*Read* triplets and grades, *score* both sides, *compare* with the graded severities::

    data = find_graded("truth")
    agreed = agree(data, [Texture(), Text()], [PSNR()], "run")

Within the traditional side a triplet is scored with its decodes exchanged. The run's folder::

    agreement.parquet   every figure with its interval; agreement.csv is the same
    agreement.json      the pre-stated tests, notes, and what all was computed from
    table.md            the tables of the console
    scores.parquet      a row per triplet and side: graded means, and a column per method
    detections.parquet  the boxes on both sides
    agreement.svg, .png constant, metrics, detectors and one rater on one line per type
    agree/index.html    the triplets on which detectors and ratings disagree most
    failures.csv        what failed, with its message
    settings.json       what decides the results; a run is continued only with the same
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import MinLen
from numpy.typing import NDArray
from pydantic import SkipValidation

from nacd_bench.baselines import Baseline
from nacd_bench.cache import ScoreCache, cache_folder
from nacd_bench.detectors import Detector
from nacd_bench.detectors.severity.detector import SeverityDetector
from nacd_bench.errors import DataError, Failure, ImageError, UserError
from nacd_bench.evaluation.bootstrap import Resampling
from nacd_bench.evaluation.graded import RankTest, Targets, centres, rank_test, spearman
from nacd_bench.evaluation.graded_table import (
    NEURAL,
    TRADITIONAL,
    GradedTriplets,
    MethodScores,
    Row,
    faults,
    rows_of,
)
from nacd_bench.evaluation.significance import holm_corrected
from nacd_bench.jobs.agree.results import Agreed, tables, write_results
from nacd_bench.pipeline.methods import Method, by_name
from nacd_bench.pipeline.progress import progress_bar
from nacd_bench.pipeline.scores import DEFAULT as DEFAULT_ENGINE
from nacd_bench.pipeline.scores import Scored, score_triplets
from nacd_bench.pipeline.scoring import Engine
from nacd_bench.registry import BASELINES, DETECTORS, unknown
from nacd_bench.report.agreement import disagreements, write_agreement
from nacd_bench.runs.folder import open_run
from nacd_bench.runs.provenance import provenance
from nacd_bench.runs.schema import AGREEMENT
from nacd_bench.settings import Count, Name, checked
from nacd_bench.triplets.files import json_sha256
from nacd_bench.triplets.grades import (
    SIDES,
    Grade,
    GradedData,
    Ratings,
    find_grades,
    raters_of,
    ratings,
    read_grades,
    ungraded,
)
from nacd_bench.triplets.images import image_size
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord, cluster_names
from nacd_bench.triplets.source import Source, find_triplets

ALL = "all"
"""The group of all triplets, where the data have no column of groups."""
BY_SET = "set"
"""The column of groups that data need not have."""
JPEG_AI: Mapping[str, Sequence[str]] = {"JPEG AI": ("fixed", "mixed", "low")}
"""The sets of graded truth whose neural side is one codec's."""
RESAMPLES = Resampling(resamples=2000)


def find_graded(
    source: Source, grades: Name | None = None, raters: Sequence[str] | None = None
) -> GradedData:
    """The triplets of a source and the grades beside them, or in another file.

    Raises:
        DataError: no triplets, or no grades of them.
    """
    records, problems = find_triplets(source)
    if grades is None:
        found, faults, notes = find_grades(source, records, raters)
    else:
        found, faults, notes = read_grades(grades, records, raters)
    if not found:
        lines = "".join(f"\n{fault.message}" for fault in faults)
        raise DataError(
            f"{grades or source}: expected grades of triplets, got none."
            + (f" What is wrong:{lines}" if lines else " Put grades.jsonl beside the triplets")
            + ("" if lines else " (docs/truth.md), or name another file with data.grades=FILE.")
        )
    missing = ungraded(records, found)
    without = {failure.item for failure in missing}
    graded = [record for record in records if record.id not in without]
    return GradedData(graded, found, [*problems, *faults, *missing], notes)


@checked
def agree(
    source: Annotated[GradedData, SkipValidation],
    detectors: Sequence[Detector],
    baselines: Sequence[Baseline],
    folder: Name,
    *,
    group: str = BY_SET,
    pools: Mapping[str, Annotated[Sequence[str], MinLen(1)]] | None = None,
    tests: Mapping[str, Sequence[str]] | None = None,
    development: Name | None = None,
    fit: Name | None = None,
    pictures: Count = 12,
    bootstrap: Resampling = RESAMPLES,
    trainer: Engine = DEFAULT_ENGINE,
    cache: Name | None = None,
    show_progress: bool = True,
    failures: Sequence[Failure] = (),
    configuration: str | None = None,
) -> Agreed:
    """Compare the order of scores with that of graded severities.

    Args:
        source: graded triplets, see :func:`find_graded`.
        detectors, baselines: with names of their own.
        folder: where results go; one that holds an unfinished run is continued.
        group: column of the manifest by which triplets are grouped.
        pools: groups that are also taken together, by the pool's name; the first of which there
            are some is the primary one. Without any it is the pool of all. None: :data:`JPEG_AI`
            where triplets are grouped by ``set``, else no pools.
        tests: by artifact type the detector and the metric of its one pre-stated test.
        development: folder of an earlier run on other photographs, whose best detector and best
            metric of each type are tested.
        fit: folder for weights of the severity detectors that are fitted to these grades, with
            cross-validation by photograph (:mod:`nacd_bench.detectors.severity.fit`).
        pictures: triplets per detector on the page, those with the largest disagreement.
        bootstrap: how intervals are made.
        trainer: devices, precision, batch size.
        cache: folder for scores; the user's cache folder by default.
        show_progress: progress bars.
        failures: what failed before, to be listed with the rest.
        configuration: YAML to keep beside the results as ``config.yaml``.

    Raises:
        DataError: no grades, a group or method that there is not, a folder in use, other settings
            than those the run began with.
    """
    began = time.perf_counter()
    folder = Path(folder)
    every: list[Method] = [*detectors, *baselines]
    methods = by_name(every)
    if not (isinstance(source, GradedData) and source.grades):
        raise DataError(
            "expected graded triplets, got some without grades. Give a folder or manifest with "
            "grades.jsonl beside it (docs/truth.md), or leave the data out: the sample has grades."
        )
    records = list(source.records)
    clusters = cluster_names(records)
    pools = _pools(records, group, pools)
    groups = groups_of(records, group, pools)
    pairs, note = stated_tests(tests, development, methods, clusters)
    settings = {  # what decides the results and is the same for a continued run
        "methods": {name: method.settings for name, method in methods.items()},
        "group": group,
        "pools": {name: list(of) for name, of in pools.items()},
        "tests": {kind: list(pair) for kind, pair in pairs.items()},
        "resampling": asdict(bootstrap),
        "precision": str(trainer.precision),
        "grades_sha256": json_sha256([asdict(grade) | {"line": 0} for grade in source.grades]),
        "triplets_sha256": json_sha256([record.id for record in records]),
    }
    place = Path(cache) if cache is not None else cache_folder("scores") or folder
    with open_run(folder, "agree", settings, configuration=configuration) as run:
        engine = replace(trainer, show_progress=trainer.show_progress and show_progress)
        scored = score_sides(records, methods, ScoreCache(place / "scores.sqlite"), engine)
        run.failures += [*failures, *source.failures]
        run.failures += dict.fromkeys(
            failure for one in scored.values() for failure in one.failures
        )
        graded = GradedTriplets(clusters, groups, _ratings_by_type(source), _image_centres(records))
        said = [method_scores(method, records, scored) for method in methods.values()]
        rows: list[Row] = []
        places = [(kind, name) for kind in ARTIFACT_TYPES for name in groups]
        with progress_bar("groups compared", len(places), show_progress) as tick:
            for kind, name in places:
                rows += rows_of(graded, said, kind, name, bootstrap)
                tick(0)
        tested, untested = _tests(graded, said, pairs, bootstrap)
        seen = in_sample(detectors, scored[NEURAL])
        fitted, unfitted = _fitted(source, fit)
        agreed = Agreed(
            folder=folder,
            records=records,
            grades=source.grades,
            graded=graded,
            methods=said,
            scored=scored,
            rows=rows,
            tests=tested,
            kinds=between_kinds(source.grades, records, bootstrap),
            fitted=fitted,
            in_sample=seen,
            notes=[
                *(
                    f"{name} was fitted to the photographs of {count} of these {len(records)} "
                    "triplets: its figures, and a test of it, are in-sample and say nothing of "
                    "other photographs. Its model card says what it reached on those left out."
                    for name, count in seen.items()
                ),
                *(*faults(graded), *note, *untested, *unfitted, *source.notes),
            ],
            failures=run.failures,
            facts=provenance(_data_hash(scored), began),
            settings=settings,
        )
        write_results(agreed)
        page = _write_page(agreed, pictures, show_progress)
        agreed = replace(agreed, page=page)
    return agreed


def groups_of(
    records: Sequence[TripletRecord], column: str, pools: Mapping[str, Sequence[str]]
) -> dict[str, NDArray[np.bool_]]:
    """Which triplets are in which group: the pools first, then each group on its own.

    Where no pool is in the data, those of one neural codec are a pool; where no codec is known,
    all are.
    """
    names = np.array([_group_of(record, column) for record in records])
    pooled = [name for of in pools.values() for name in of]
    several = list(dict.fromkeys([name for name in pooled if name in names] + names.tolist()))
    together = {
        pool: np.isin(names, list(of)) for pool, of in pools.items() if set(of) & set(several)
    }
    if not together:
        codecs = np.array([record.neural_codec or "" for record in records])
        together = {codec: codecs == codec for codec in sorted(set(codecs.tolist())) if codec}
    together = together or {ALL: np.ones(len(names), bool)}
    alone = {name: names == name for name in several}
    return together | {
        name: of
        for name, of in alone.items()
        if not any(np.array_equal(of, pool) for pool in together.values())
    }


def _group_of(record: TripletRecord, column: str) -> str:
    return str(record.extra.get(column) or ALL)


def _pools(
    records: Sequence[TripletRecord], column: str, pools: Mapping[str, Sequence[str]] | None
) -> Mapping[str, Sequence[str]]:
    """The pools that were asked for, or else the usual ones.

    Raises:
        DataError: a column or groups of pools that the data have not.
    """
    columns = list(dict.fromkeys(name for record in records for name in record.extra))
    if column not in [BY_SET, *columns]:
        raise DataError(unknown("column in group", column, columns))
    if pools is None:
        return JPEG_AI if column == BY_SET else {}
    groups = list(dict.fromkeys(_group_of(record, column) for record in records))
    for pool, members in pools.items():
        for name in members:
            if name not in groups:
                raise DataError(unknown(f"{column} in pools.{pool}", name, groups))
    return pools


def _ratings_by_type(data: GradedData) -> dict[tuple[str, str], Ratings]:
    """What all raters say of the triplets, by artifact type and side."""
    ids, raters = [record.id for record in data.records], raters_of(data.grades)
    return {
        (kind, side): ratings(data.grades, ids, raters, kind, side)
        for kind in ARTIFACT_TYPES
        for side in SIDES
    }


def score_sides(
    records: Sequence[TripletRecord],
    methods: Mapping[str, Method],
    cache: ScoreCache,
    engine: Engine,
) -> dict[str, Scored]:
    """Scores of every method by side: for the traditional one with the decodes exchanged.

    A metric's score only changes its sign then, see :class:`~nacd_bench.baselines.Baseline`.
    """
    exchanged = [
        replace(record, neural=record.traditional, traditional=record.neural) for record in records
    ]
    scored = {}
    for side, given in {NEURAL: records, TRADITIONAL: exchanged}.items():
        names = [
            name
            for name, method in methods.items()
            if side == NEURAL or isinstance(method, Detector)
        ]
        some = [methods[name] for name in names]
        wanted = {record.id: names for record in given}
        scored[side] = score_triplets(given, wanted, some, cache, engine)
    for name, method in methods.items():
        if not isinstance(method, Detector):
            scored[TRADITIONAL].scores[name] = {
                triplet: replace(result, score=-result.score)
                for triplet, result in scored[NEURAL].scores[name].items()
            }
    return scored


def method_scores(
    method: Method, records: Sequence[TripletRecord], scored: Mapping[str, Scored]
) -> MethodScores:
    """What a method says of every triplet, in their order."""
    name = str(method.name)
    scores, points = {}, {}
    for side in SIDES:
        results = [scored[side].scores[name].get(record.id) for record in records]
        scores[side] = np.array([np.nan if one is None else one.score for one in results])
        boxes = [one.boxes[0] if one and one.boxes else [np.nan] * 4 for one in results]
        points[side] = centres(np.array(boxes, np.float64).reshape(-1, 4))
    if isinstance(method, Detector):
        return MethodScores(name, method.artifact_type, scores, points, method.is_severity)
    return MethodScores(name, None, scores)


def in_sample(detectors: Sequence[Detector], scored: Scored) -> dict[str, int]:
    """By detector the number of triplets whose original its weights were fitted to, where any."""
    originals = [hashes["original"] for hashes in scored.sha256.values()]
    fitted = {
        str(detector.name): set(detector.numbers.card.get("originals", ()))
        for detector in detectors
        if isinstance(detector, SeverityDetector)
    }
    counts = {name: sum(one in of for one in originals) for name, of in fitted.items()}
    return {name: count for name, count in counts.items() if count}


def _fitted(data: GradedData, folder: Name | None) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Weights fitted to the grades: figures by type, and why there are none of others."""
    if folder is None:
        return {}, []
    from nacd_bench.detectors.severity.fit import fit_types

    try:
        return fit_types(data.records, data.grades, Path(folder))
    except UserError as error:  # the rest of the run is worth having
        return {}, [f"nothing is fitted: {error}"]


def stated_tests(
    tests: Mapping[str, Sequence[str]] | None,
    development: Name | None,
    methods: Mapping[str, Method],
    clusters: Sequence[str],
) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """The detector and the metric to test for each type, and notes on tests that are not made.

    Raises:
        DataError: an unknown type, no pair; a development run that cannot be read, or on the same
            photographs.
    """
    import json

    from nacd_bench.triplets.text_files import read_json

    pairs = dict(tests or {})
    if development is not None:
        path = Path(development) / f"{AGREEMENT}.json"
        before = read_json(path, "the results of an agree run")
        try:
            pairs = before["best"]
            shared = sorted(set(before["photographs"]) & set(clusters))
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{path}: expected the results of an agree run, got none of 'best' and "
                "'photographs'. Name the folder of such a run."
            ) from error
        if shared:
            raise DataError(
                f"expected development data of other photographs, got {len(shared)} that are in "
                f"both ({', '.join(shared[:5])}). Name a run on others."
            )
    stated, notes = {}, []
    for kind, pair in pairs.items():
        if kind not in ARTIFACT_TYPES or len(pair) != 2:
            raise DataError(
                f"tests: expected a detector and a metric by type ({', '.join(ARTIFACT_TYPES)}), "
                f"got {kind}: {json.dumps(list(pair))}. Correct it."
            )
        absent = [name for name in pair if name not in methods]
        for name in absent:
            if tests and name not in (registered := [*DETECTORS, *BASELINES]):
                raise DataError(unknown(f"method in tests.{kind}", name, registered))
        if absent:
            notes.append(
                f"{kind}: the pre-stated test ({' against '.join(pair)}) is not made: "
                f"{' and '.join(absent)} did not run."
            )
        else:
            stated[kind] = (str(pair[0]), str(pair[1]))
    if not pairs:
        notes.append("no test was stated before (tests, development): all is description.")
    return stated, notes


def _tests(
    graded: GradedTriplets,
    methods: Sequence[MethodScores],
    pairs: Mapping[str, tuple[str, str]],
    resampling: Resampling,
) -> tuple[dict[str, RankTest], list[str]]:
    """The tests by artifact type, corrected for their number, on the primary group."""
    scores = {method.name: method.scores[NEURAL] for method in methods}
    members = graded.groups[graded.primary]
    tests = {}
    notes = []
    for kind, (first, second) in pairs.items():
        targets = graded.targets(kind, NEURAL, graded.primary)
        if targets.fault:
            notes.append(f"{kind}: the pre-stated test is not made: {targets.fault}.")
            continue
        values = scores[first][members], scores[second][members]
        tests[kind] = rank_test(targets, (first, second), values, resampling)
    return holm_corrected(tests), notes


def between_kinds(
    grades: Sequence[Grade], records: Sequence[TripletRecord], resampling: Resampling
) -> list[Row]:
    """Human against model raters: correlation of their means by type and side.

    Empty where all raters are of one kind.
    """
    by_kind: dict[str, list[Grade]] = defaultdict(list)
    for grade in grades:
        by_kind[grade.kind].append(grade)
    if len(by_kind) < 2:
        return []
    ids = [record.id for record in records]
    rows = []
    for artifact_type in ARTIFACT_TYPES:
        for side in SIDES:
            means = {}
            for kind, some in by_kind.items():
                severity = ratings(some, ids, raters_of(some), artifact_type, side).severity
                given = ~np.isnan(severity)
                total = np.where(given, severity, 0).sum(axis=1)
                counts = given.sum(axis=1)
                means[kind] = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
            # the models' mean three times over: a target that does not depend on who is left out
            targets = Targets(np.repeat(means["model"][:, None], 3, axis=1), cluster_names(records))
            value = spearman(targets, means["human"], resampling)
            rows.append({"artifact_type": artifact_type, "side": side, **asdict(value)})
    return rows


def _write_page(agreed: Agreed, pictures: int, show_progress: bool) -> Path:
    """The page of a run; pictures that cannot be made are among its failures."""
    boxes = {
        (method.name, side): {
            triplet: result.boxes[0]
            for triplet, result in agreed.scored[side].scores[method.name].items()
            if result.boxes
        }
        for method in agreed.methods
        for side in SIDES
    }
    shown = disagreements(
        agreed.records, agreed.grades, agreed.graded, agreed.methods, boxes, pictures
    )
    with progress_bar("pictures", len(shown), show_progress) as tick:
        return write_agreement(
            agreed.folder, agreed.records, shown, tables(agreed), agreed.notes, tick
        )


def _image_centres(records: Sequence[TripletRecord]) -> NDArray[np.float64]:
    sizes = []
    for record in records:
        try:
            sizes.append(image_size(record.original))
        except ImageError:  # whoever decodes it tells
            sizes.append((np.nan, np.nan))  # type: ignore[arg-type]
    return np.array(sizes, np.float64).reshape(-1, 2) / 2


def _data_hash(scored: Mapping[str, Any]) -> str:
    return json_sha256(scored[NEURAL].sha256)
