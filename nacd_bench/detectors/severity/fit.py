"""Fit the weights of the severity detectors to graded triplets.

    python -m nacd_bench.detectors.severity.fit GRADED_TRIPLETS FOLDER

writes ``texture.npz``, ``color.npz`` and ``text.npz`` and prints how well each does on photographs
that it was not fitted to. A detector takes such a file as ``model``.

Severity: ridge regression with weights >= 0 on logarithms of evidence, both sides of every triplet
(the traditional one counts half), against the mean rating; then a line through the predictions of
photographs left out, so that a predicted 2 is a graded 2. Places: the odds that a rater's box holds
a place, by the logarithm of the probability that the boxes hold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from nacd_bench.detectors.severity.detector import faults_of_decodes
from nacd_bench.detectors.severity.evidence import TILE, places, tiles, within
from nacd_bench.detectors.severity.maps import CELL
from nacd_bench.detectors.severity.model import SeverityModel
from nacd_bench.detectors.text_severity import TextSeverity
from nacd_bench.errors import UserError
from nacd_bench.triplets.batch import TripletBatch
from nacd_bench.triplets.files import sha256
from nacd_bench.triplets.grades import SIDES, Grade, Ratings, find_grades, raters_of, ratings
from nacd_bench.triplets.images import content_hash
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord
from nacd_bench.triplets.source import find_triplets

RIDGE = {"texture": 100.0, "color": 100.0, "text": 30.0}
PLACE_PENALTY = 0.05
TRADITIONAL = 0.5
"""Weight of a traditional side: the faults that matter here are those of neural codecs."""
FOLDS = 6
SEED = 0
REACH = 1.5
ORIGINS = ("azure_", "mindocr_example", "mmocr_", "ic15_")
"""Starts of the names of photographs that come from one place."""
LEAST_SCALE = 1e-3
COARSE = 2
"""Cells each way that are one place while the odds are fitted."""

Floats = NDArray[np.float64]


@dataclass
class Units:
    """One side of each triplet after the other: neural sides, then traditional ones.

    Args:
        tiles: evidence ``(n, ...)``; the largest of tiles that shift within the margin.
        places: evidence ``(n, P, K)`` of places, zeros where there are fewer.
        prior: ``(n, P)`` logarithm of the odds without evidence, -inf where there is no place.
        centres: ``(n, P, 2)`` in pixels.
        severity: ``(n, raters)``, NaN where not rated.
        boxes: ``(n, raters, 4)``, NaN where none was drawn.
        groups: ``(n,)`` photograph, or what it comes from.
    """

    tiles: Floats
    places: Tensor
    prior: Tensor
    centres: Floats
    severity: Floats
    boxes: Floats
    groups: NDArray[np.str_]

    @property
    def target(self) -> Floats:
        given = ~np.isnan(self.severity)
        sums = np.where(given, self.severity, 0).sum(axis=1)
        return np.divide(
            sums, given.sum(axis=1), out=np.full(len(sums), np.nan), where=given.any(1)
        )

    @property
    def is_neural(self) -> NDArray[np.bool_]:
        return np.arange(len(self.severity)) < len(self.severity) // 2


def fit(kind: str, units: Units) -> tuple[SeverityModel, dict[str, float]]:
    """The weights for one artifact type, and figures on photographs left out."""
    target = units.target
    rated = np.isfinite(target)
    scale = np.maximum(np.median(units.tiles[rated], axis=0), LEAST_SCALE)
    features = np.log1p(units.tiles / scale).reshape(len(target), -1)
    weight = np.where(units.is_neural, 1.0, TRADITIONAL)
    left_out = np.full(len(target), np.nan)
    folds = list(
        GroupKFold(FOLDS, shuffle=True, random_state=SEED).split(features, groups=units.groups)
    )
    for train, test in folds:
        kept = train[rated[train]]
        slopes, bias = _ridge(RIDGE[kind], features[kept], target[kept], weight[kept])
        left_out[test] = features[test] @ slopes + bias
    neural = rated & units.is_neural
    slope, intercept = np.polyfit(left_out[neural], target[neural], 1)
    slopes, bias = _ridge(RIDGE[kind], features[rated], target[rated], weight[rated])
    bias = min(0.0, float(slope * bias + intercept))
    place_scale, place_weights, strongest = _fit_places(units, folds)
    figures = {
        "spearman_neural": float(spearmanr(left_out[neural], target[neural])[0]),
        "mean_absolute_error": float(
            np.abs((slope * left_out + intercept).clip(0, 3) - target)[neural].mean()
        ),
        "pointing_neural": _pointing(units, strongest),
    }
    model = SeverityModel(
        scale.astype(np.float32),
        (slope * slopes).reshape(scale.shape).astype(np.float32),
        bias,
        place_scale.astype(np.float32),
        place_weights.astype(np.float32),
        REACH,
        {},
    )
    return model, figures


def _ridge(alpha: float, features: Floats, target: Floats, weight: Floats) -> tuple[Floats, float]:
    """Weights >= 0 on the features as they are, and the bias."""
    scaler = StandardScaler().fit(features)
    regression = Ridge(alpha, positive=True, max_iter=1000)
    regression.fit(scaler.transform(features), target, sample_weight=weight)
    slopes = regression.coef_ / scaler.scale_
    return slopes, float(regression.intercept_ - slopes @ scaler.mean_)


def _fit_places(
    units: Units, folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Scale and weights of places, and the strongest place of each unit by weights of others."""
    some = units.places[:: max(1, len(units.places) // 50)].float().flatten(0, 1)
    scale = some.median(0).values.clamp(min=LEAST_SCALE)
    features = torch.log1p(units.places.float() / scale)
    spread = features.flatten(0, 1).std(0).clamp(min=1e-6)
    features /= spread
    inside, weight = _held(units)
    strongest = np.zeros(len(features), np.intp)
    for train, test in folds:
        fitted = _odds(features, units.prior, inside, weight, train)
        strongest[test] = (features[test] @ fitted + units.prior[test]).argmax(1).numpy()
    everything = np.arange(len(features))
    fitted = _odds(features, units.prior, inside, weight, everything)
    return scale.double().numpy(), (fitted / spread).double().numpy(), strongest


def _held(units: Units) -> tuple[Tensor, Tensor]:
    """Which places each rater's box holds ``(n, raters, P)``, and its severity as the weight."""
    low, high = units.boxes[:, :, None, :2], units.boxes[:, :, None, 2:]
    centres = units.centres[:, None]
    inside = ((centres >= low) & (centres < high)).all(-1)
    weight = np.nan_to_num(units.severity) * inside.any(-1)
    return torch.from_numpy(inside), torch.from_numpy(weight).float()


def _odds(
    features: Tensor, prior: Tensor, inside: Tensor, weight: Tensor, rows: NDArray[np.intp]
) -> Tensor:
    """Weights that make the boxes of these units likely."""
    index = torch.from_numpy(rows)
    index = index[weight[index].sum(1) > 0]
    x, held, strength = features[index], inside[index], weight[index]
    weights = torch.zeros(x.shape[-1], requires_grad=True)
    search = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        probability = torch.softmax(x @ weights + prior[index], 1)
        mass = (probability[:, None] * held).sum(-1)
        value = -((mass + 0.01).log() * strength).sum() / strength.sum()
        value = value + PLACE_PENALTY * (weights * weights).sum()
        value.backward()
        return value

    search.step(loss)
    return weights.detach()


def _pointing(units: Units, strongest: NDArray[np.intp]) -> float:
    """Share of clear neural sides whose strongest place lies in a box that a rater drew."""
    inside, _ = _held(units)
    clear = (units.target >= 1.5) & units.is_neural
    held = inside.any(1)[np.arange(len(strongest)), strongest].numpy()
    return float(held[clear].mean())


def cell_units(records: Sequence[TripletRecord], rated: dict[str, Ratings]) -> Units:
    """Evidence of cells, for texture and colour; pictures of at most a tile."""
    sides: list[list[tuple[Tensor, Tensor]]] = [[], []]
    for batch in _batches(records):
        maps = faults_of_decodes(batch)
        for side, (own, other) in zip(sides, (maps, maps[::-1]), strict=True):
            evidence = places(own, other)
            coarse = F.avg_pool2d(within(evidence), COARSE, ceil_mode=True)[0]
            side.append((next(tiles([evidence]))[0].amax(0), coarse))
    found = sides[0] + sides[1]
    width = TILE // COARSE
    grids = torch.zeros(len(found), width * width, found[0][1].shape[0], dtype=torch.float16)
    prior = torch.full(grids.shape[:2], -torch.inf)
    for index, (_, coarse) in enumerate(found):
        grid = F.pad(coarse, (0, width - coarse.shape[2], 0, width - coarse.shape[1]))
        grids[index] = grid.flatten(1).T.half()
        exists = F.pad(
            torch.zeros(coarse.shape[1:]),
            (0, width - coarse.shape[2], 0, width - coarse.shape[1]),
            value=-torch.inf,
        )
        prior[index] = exists.flatten()
    axis = (np.arange(width) + 0.5) * COARSE * CELL
    grid_centres = np.stack(np.meshgrid(axis, axis), -1).reshape(1, -1, 2)
    centres = np.repeat(grid_centres, len(found), 0)
    return _units(
        np.stack([tile.double().numpy() for tile, _ in found]),
        grids,
        prior,
        centres,
        records,
        rated,
    )


def text_units(records: Sequence[TripletRecord], rated: dict[str, Ratings]) -> Units:
    """Evidence of pieces of text."""
    detector = TextSeverity()
    pieces = [detector.pieces(batch) for batch in _batches(records)]
    pieces += [one.exchanged for one in pieces]
    most = max(len(one.letters) for one in pieces)
    rows, columns = detector.shape
    evidence = np.zeros((len(pieces), rows, columns))
    places = torch.zeros(len(pieces), most, rows)
    prior = torch.full((len(pieces), most), -torch.inf)
    prior[:, 0] = 0
    centres = np.full((len(pieces), most, 2), -1.0)
    for index, one in enumerate(pieces):
        if count := len(one.letters):
            evidence[index] = one.tiles()[0]
            places[index, :count] = torch.from_numpy(one.evidence).float()
            prior[index, :count] = torch.from_numpy(np.log(one.letters)).float()
            centres[index, :count] = (one.boxes[:, :2] + one.boxes[:, 2:]) / 2
    return _units(evidence, places, prior, centres, records, rated)


def _batches(records: Sequence[TripletRecord]) -> Iterator[TripletBatch]:
    """Each triplet by itself."""
    for index, record in enumerate(records):
        batch = load_triplet(record).batch
        if max(batch.height, batch.width) > TILE * CELL:
            raise UserError(
                f"expected pictures of at most {TILE * CELL} pixels each way, got "
                f"{batch.width} x {batch.height} in {record.id}. Cut them around the grades."
            )
        print(f"\r{index + 1} of {len(records)}", end="", file=sys.stderr)
        yield batch


def _units(
    evidence: Floats,
    places: Tensor,
    prior: Tensor,
    centres: Floats,
    records: Sequence[TripletRecord],
    rated: dict[str, Ratings],
) -> Units:
    severity, boxes = (
        np.concatenate([getattr(rated[side], name) for side in SIDES])
        for name in ("severity", "boxes")
    )
    groups = np.array([_origin(record.source or record.id) for record in records] * 2)
    return Units(evidence, places, prior, centres, severity, boxes, groups)


def _origin(photograph: str) -> str:
    """What photographs of one origin share, so that none lies on both sides of a split."""
    return next((origin for origin in ORIGINS if photograph.startswith(origin)), photograph)


def fit_types(
    records: Sequence[TripletRecord],
    grades: Sequence[Grade],
    folder: Path,
    types: Sequence[str] = ARTIFACT_TYPES,
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Write the weights ``<type>.npz`` of each artifact type into a folder.

    Returns:
        by type its figures on photographs left out, and why there are none of other types.
    """
    ids, raters = [record.id for record in records], raters_of(grades)
    folder.mkdir(parents=True, exist_ok=True)
    cells: Units | None = None
    found, faults = {}, []
    for kind in types:
        rated = {side: ratings(grades, ids, raters, kind, side) for side in SIDES}
        index = np.flatnonzero(np.isfinite(rated["neural"].severity).any(1))
        some = [records[i] for i in index.tolist()]
        origins = {_origin(record.source or record.id) for record in some}
        severities = set(rated["neural"].severity[index].ravel().tolist())
        if len(origins) < FOLDS or sum(value >= 0 for value in severities) < 2:
            faults.append(
                f"{kind} is not fitted: expected grades of the neural side that differ, of "
                f"photographs of at least {FOLDS} origins, got {len(origins)}"
                f"{'' if len(severities) > 1 else ', all graded alike'}. Grade more."
            )
            continue
        if kind == "text":
            units = text_units(
                some, {s: Ratings(r.severity[index], r.boxes[index]) for s, r in rated.items()}
            )
        else:
            cells = cells or cell_units(records, rated)
            units = _units(cells.tiles, cells.places, cells.prior, cells.centres, records, rated)
        model, found[kind] = fit(kind, units)
        card = {
            "type": kind,
            "triplets": len(units.tiles) // 2,
            "photographs": len(set(units.groups)),
            "raters": len(raters),
            "originals": sorted({content_hash(record.original) for record in records}),
            "grades_sha256": sha256(json.dumps([str(grade) for grade in grades]).encode()),
            "seed": SEED,
            "left_out": found[kind],
        }
        replace(model, card=card).save(folder / f"{kind}.npz")
    return found, faults


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line, see the module's docstring."""
    parser = argparse.ArgumentParser(prog="fit", description="Fit severity to graded triplets.")
    parser.add_argument("graded", help="folder of triplets with grades")
    parser.add_argument("folder", type=Path, help="where the weights go")
    parser.add_argument("--types", nargs="+", default=ARTIFACT_TYPES, choices=ARTIFACT_TYPES)
    options = parser.parse_args(arguments)
    records, _ = find_triplets(options.graded)
    grades, failures, _ = find_grades(options.graded, records)
    if not grades:
        raise UserError(f"expected grades beside the triplets of {options.graded}, got none.")
    found, faults = fit_types(records, grades, options.folder, options.types)
    for line in [*(failure.message for failure in failures), *faults]:
        print(line, file=sys.stderr)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
