"""Every method on every balanced test set: what the paper's Table 2 says, with intervals and tests.

A set is about one artifact type. Its methods are the detectors of that type and all baselines, or
with ``full`` all detectors. Each detector of the type is tested against the best baseline of the
set (by DeLong or, where images are few, by permutation; corrected by Holm over all these tests).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nacd_bench.evaluation.auc import AUC, auc_estimates
from nacd_bench.evaluation.balanced import BalancedSet
from nacd_bench.evaluation.bootstrap import DEFAULT, FEW, Clusters, Resampling
from nacd_bench.evaluation.delong import PairedTest, paired_test
from nacd_bench.evaluation.localisation import Localisation, Placed, localisation
from nacd_bench.evaluation.significance import holm_corrected
from nacd_bench.evaluation.thresholds import (
    UNKNOWN,
    Criterion,
    Scale,
    Threshold,
    best_thresholds,
)
from nacd_bench.numbers import count
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.record import is_artifact, labelled_boxes

Scores = Mapping[str, Mapping[str, Result]]
"""By method and triplet id; what is not there failed."""
Sizes = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class SetComparison:
    """One balanced test set.

    Args:
        artifact_type: what its positives have.
        n_positive, n_negative: its triplets.
        aucs: by method.
        tests: each detector of the type against the set's best baseline.
        thresholds: of each method by each criterion.
        places: by detector of the type; empty where no label has a box, or all are its own.
        notes: what is special about the set (repeats, fewer than asked, few images).
    """

    artifact_type: str
    n_positive: int
    n_negative: int
    aucs: Mapping[str, AUC]
    tests: Sequence[PairedTest]
    thresholds: Mapping[str, Mapping[Criterion, Threshold]]
    places: Mapping[str, Localisation]
    notes: Sequence[str] = ()

    @property
    def best(self) -> str | None:
        """The method with the highest AUC, the first of equal ones; None of few images."""
        values = {
            name: auc.value
            for name, auc in self.aucs.items()
            if not math.isnan(auc.value) and not auc.is_of_few
        }
        return max(values, key=lambda name: values[name], default=None)


def methods_of(
    artifact_type: str, detectors: Mapping[str, str], baselines: Sequence[str], full: bool
) -> list[str]:
    """The methods that are scored on a set.

    >>> methods_of("text", {"texture": "texture", "text": "text"}, ["psnr"], full=False)
    ['text', 'psnr']
    """
    chosen = [name for name, its_type in detectors.items() if full or its_type == artifact_type]
    return [*chosen, *baselines]


def compare(
    sets: Mapping[str, BalancedSet],
    scores: Scores,
    detectors: Mapping[str, str],
    baselines: Sequence[str],
    full: bool = False,
    resampling: Resampling = DEFAULT,
    scales: Mapping[str, Scale] | None = None,
    sizes: Sizes | None = None,
) -> dict[str, SetComparison]:
    """The comparison on each set.

    Args:
        sets: by artifact type.
        scores: of every method that :func:`methods_of` names; gaps count as excluded.
        detectors: artifact type by detector.
        baselines: names.
        full: all detectors on all sets.
        resampling: of the bootstrap.
        scales: of the detectors' scores.
        sizes: width and height by triplet, of those whose labels have boxes.
    """
    comparisons = {
        name: _compare(
            balanced, scores, detectors, baselines, full, resampling, scales or {}, sizes or {}
        )
        for name, balanced in sets.items()
    }
    corrected = holm_corrected(
        {(name, test.first): test for name, one in comparisons.items() for test in one.tests}
    )
    return {
        name: replace(one, tests=[corrected[name, test.first] for test in one.tests])
        for name, one in comparisons.items()
    }


def scores_on(balanced: BalancedSet, scores: Scores, method: str) -> list[float]:
    """A method's scores in the order of the set; NaN where it has none."""
    by_triplet = scores.get(method, {})
    return [
        by_triplet[record.id].score if record.id in by_triplet else math.nan
        for record in balanced.records
    ]


def _compare(
    balanced: BalancedSet,
    scores: Scores,
    detectors: Mapping[str, str],
    baselines: Sequence[str],
    full: bool,
    resampling: Resampling,
    scales: Mapping[str, Scale],
    sizes: Sizes,
) -> SetComparison:
    kind = balanced.artifact_type
    truth, clusters = balanced.truth, balanced.clusters
    methods = methods_of(kind, detectors, baselines, full)
    values = {method: scores_on(balanced, scores, method) for method in methods}
    aucs = auc_estimates(truth, values, clusters, resampling)
    of_type = {name: values[name] for name, its_type in detectors.items() if its_type == kind}
    rivals = {name: values[name] for name in baselines if not math.isnan(aucs[name].value)}
    # picked on the images that are then tested on: a hard rival, and the tests lean towards "same"
    best = max(rivals, key=lambda name: aucs[name].value, default="")
    tests = [
        paired_test(truth, scores, rivals[best], clusters, (name, best))
        for name, scores in of_type.items()
        if best
    ]
    notes = list(balanced.notes)
    positive, negative = Clusters(truth, clusters).on_sides
    if min(positive, negative) < FEW:
        notes.append(
            f"few images (sources with the artifact: {positive:.3g}, without: {negative:.3g}): "
            "intervals are exact and wide, tests are by permutation, and no method is marked as "
            "the best."
        )
    places = {}
    for name in of_type:
        images, n_own = _placed(balanced, scores.get(name, {}), name, sizes)
        if n_own:
            notes.append(
                f"left out of the localisation of {name}: {count(n_own, 'image')} with a label "
                "of a place that it boxed itself and would find where it put it."
            )
        if any(len(image.labelled) for image in images):
            places[name] = localisation(images, resampling=resampling)
    return SetComparison(
        kind,
        sum(truth),
        len(truth) - sum(truth),
        aucs,
        tests,
        {
            method: best_thresholds(truth, values[method], clusters, scales.get(method, UNKNOWN))
            for method in methods
            if not math.isnan(aucs[method].value)
        },
        places,
        notes,
    )


def _placed(
    balanced: BalancedSet, scores: Mapping[str, Result], detector: str, sizes: Sizes
) -> tuple[list[Placed], int]:
    """Images with a detector's boxes and those of the labels, and how many are left out since a
    label of theirs is of a place that the detector boxed."""
    images, n_own = [], 0
    for record, cluster in zip(balanced.records, balanced.clusters, strict=True):
        if record.id not in scores:
            continue
        if any(
            detector in label.detectors and is_artifact(label)
            for label in record.labels
            if label.artifact_type == balanced.artifact_type
        ):
            n_own += 1
            continue
        result = scores[record.id]
        labelled = labelled_boxes(record, balanced.artifact_type)
        placed = labelled, result.boxes, result.confidences, cluster, sizes.get(record.id)
        images.append(Placed(*placed))
    return images, n_own
