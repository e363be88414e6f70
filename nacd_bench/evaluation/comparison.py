"""Every method on every balanced test set: what the paper's Table 2 says, with intervals and tests.

A set is about one artifact type. Its methods are the detectors of that type and all baselines, or
with ``full`` all detectors. Each detector of the type is tested against the best baseline of the
set (by DeLong or, where images are few, by permutation; corrected by Holm over all these tests).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nacd_bench.errors import DataError
from nacd_bench.evaluation.auc import AUC, auc_estimates
from nacd_bench.evaluation.balanced import BalancedSet
from nacd_bench.evaluation.bootstrap import DEFAULT, FEW, Clusters, Resampling
from nacd_bench.evaluation.delong import PairedTest, against_best, holm_corrected
from nacd_bench.evaluation.localisation import Localisation, Placed, localisation
from nacd_bench.evaluation.thresholds import Threshold, best_thresholds
from nacd_bench.triplets.detection import Result
from nacd_bench.triplets.presence import labelled_boxes

Scores = Mapping[str, Mapping[str, Result]]
"""By method and triplet id; what is not there failed."""


@dataclass(frozen=True)
class SetComparison:
    """One balanced test set.

    Args:
        artifact_type: what its positives have.
        n_positive, n_negative: its triplets.
        aucs: by method.
        tests: each detector of the type against the set's best baseline.
        thresholds: of each method by each criterion.
        places: by detector of the type; empty where no label has a box.
        notes: what is special about the set (repeats, fewer than asked, few images).
    """

    artifact_type: str
    n_positive: int
    n_negative: int
    aucs: Mapping[str, AUC]
    tests: Sequence[PairedTest]
    thresholds: Sequence[Threshold]
    places: Mapping[str, Localisation]
    notes: Sequence[str] = ()

    @property
    def best(self) -> str | None:
        """The method with the highest AUC, the first of equal ones; None of few images."""
        known = {
            name: each.value
            for name, each in self.aucs.items()
            if not math.isnan(each.value) and not each.is_of_few
        }
        return max(known, key=lambda name: known[name], default=None)


def methods_of(
    artifact_type: str, detectors: Mapping[str, str], baselines: Sequence[str], full: bool
) -> list[str]:
    """The methods that are scored on a set.

    >>> methods_of("text", {"texture": "texture", "text": "text"}, ["psnr"], full=False)
    ['text', 'psnr']
    """
    chosen = [name for name, own in detectors.items() if full or own == artifact_type]
    return [*chosen, *baselines]


def compare(
    sets: Mapping[str, BalancedSet],
    scores: Scores,
    detectors: Mapping[str, str],
    baselines: Sequence[str],
    full: bool = False,
    resampling: Resampling = DEFAULT,
) -> dict[str, SetComparison]:
    """The comparison on each set.

    Args:
        sets: by artifact type.
        scores: of every method that :func:`methods_of` names; gaps count as excluded.
        detectors: artifact type by detector.
        baselines: names.
        full: all detectors on all sets.
        resampling: of the bootstrap.
    """
    found = [
        _compare(each, scores, detectors, baselines, full, resampling) for each in sets.values()
    ]
    corrected = iter(holm_corrected([test for each in found for test in each.tests]))
    return {
        name: replace(each, tests=[next(corrected) for _ in each.tests])
        for name, each in zip(sets, found, strict=True)
    }


def scores_on(balanced: BalancedSet, scores: Scores, method: str) -> list[float]:
    """A method's scores in the order of the set; NaN where it has none."""
    own = scores.get(method, {})
    return [own[record.id].score if record.id in own else math.nan for record in balanced.records]


def _compare(
    balanced: BalancedSet,
    scores: Scores,
    detectors: Mapping[str, str],
    baselines: Sequence[str],
    full: bool,
    resampling: Resampling,
) -> SetComparison:
    kind = balanced.artifact_type
    truth, clusters = balanced.truth, balanced.clusters
    methods = methods_of(kind, detectors, baselines, full)
    values = {method: scores_on(balanced, scores, method) for method in methods}
    own = {name: values[name] for name, own_type in detectors.items() if own_type == kind}
    thresholds: list[Threshold] = []
    for method in methods:
        known = [y for y, value in zip(truth, values[method], strict=True) if value == value]
        if len(set(known)) == 2:
            thresholds += best_thresholds(truth, values[method], method, kind)
    places = {}
    for name in own:
        found = _places(balanced, scores.get(name, {}), resampling)
        if found is not None:
            places[name] = found
    return SetComparison(
        kind,
        sum(truth),
        len(truth) - sum(truth),
        auc_estimates(truth, values, clusters, resampling),
        _tests(truth, own, {name: values[name] for name in baselines}, clusters),
        thresholds,
        places,
        (*balanced.notes, *_few(Clusters(truth, clusters))),
    )


def _few(clusters: Clusters) -> list[str]:
    positive, negative = clusters.on_sides
    if min(positive, negative) >= FEW:
        return []
    return [
        f"few images ({positive:.3g} sources with the artifact, {negative:.3g} without): intervals "
        "are exact and wide, tests are by permutation, and no method is marked as the best."
    ]


def _tests(
    truth: Sequence[bool],
    detectors: Mapping[str, Sequence[float]],
    baselines: Mapping[str, Sequence[float]],
    clusters: Sequence[str],
) -> Sequence[PairedTest]:
    if not detectors or not baselines:
        return []
    try:
        return against_best(truth, detectors, baselines, clusters)
    except DataError:  # no baseline has scores on both sides
        return []


def _places(
    balanced: BalancedSet, scores: Mapping[str, Result], resampling: Resampling
) -> Localisation | None:
    images = []
    for record, cluster in zip(balanced.records, balanced.clusters, strict=True):
        if record.id in scores:
            found = scores[record.id]
            labelled = labelled_boxes(record, balanced.artifact_type)
            images.append(Placed(labelled, found.boxes, found.confidences, cluster))
    if not any(image.labelled for image in images):
        return None
    return localisation(images, resampling=resampling)
