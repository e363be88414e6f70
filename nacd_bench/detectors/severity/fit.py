"""Fit the weights of the severity detectors to graded triplets.

    python -m nacd_bench.detectors.severity.fit GRADED_TRIPLETS FOLDER

writes ``texture.npz``, ``color.npz`` and ``text.npz`` and prints how well each does on photographs
that it was not fitted to. A detector takes such a file as ``model``.

Severity: weights >= 0 on logarithms of evidence, both sides of every triplet (the traditional one
counts a quarter), against the mean rating: squares of errors, the order of every two sides that are
graded differently, and what a crop changes when it lies on a larger canvas; then two lines through
the predictions of photographs left out, so that a predicted 2 is a graded 2 and as many sides are
predicted as graded clear. Places: the odds that a
rater's box holds a place, by the logarithm of the probability that the boxes hold.
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
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import spearmanr
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from nacd_bench.detectors.severity.detector import SMALLEST, faults_of_decodes, on_unit_scale
from nacd_bench.detectors.severity.evidence import TILE, places, tiles, within
from nacd_bench.detectors.severity.maps import CELL
from nacd_bench.detectors.severity.model import CLEAR, WORST, SeverityModel
from nacd_bench.detectors.text_severity import TextSeverity
from nacd_bench.errors import UserError
from nacd_bench.triplets.batch import Planes, TripletBatch
from nacd_bench.triplets.files import sha256
from nacd_bench.triplets.grades import SIDES, Grade, Ratings, find_grades, raters_of, ratings
from nacd_bench.triplets.images import content_hash
from nacd_bench.triplets.loading import load_triplet
from nacd_bench.triplets.record import ARTIFACT_TYPES, TripletRecord
from nacd_bench.triplets.source import find_triplets

RIDGE = {"texture": 150.0, "color": 150.0, "text": 45.0}
ORDER = {"texture": 1.0, "color": 1.0, "text": 0.0}
"""Weight of the order of sides beside their errors; for text it helps little and raises alarms."""
DOUBT = 0.5
"""Difference of predicted severities at which the order of two sides is 2.7 to 1."""
CANVAS = 30.0
"""Weight of a crop's change of severity on a canvas beside an error of the same size."""
CANVASES = 4
"""Of how many triplets one gives such a crop."""
PLACE_PENALTY = 0.05
TRADITIONAL = 0.25
"""Weight of a traditional side: the faults that matter here are those of neural codecs."""
FOLDS = 6
SEED = 0
REACH = 1.5
ORIGINS = ("azure_", "mindocr_example", "mmocr_", "ic15_")
"""Starts of the names of photographs that come from one place."""
LEAST_SCALE = 1e-3
CROSSINGS = 601
"""Candidates for the prediction at which the line of calibration bends."""
FAINT = 1e-3
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
        crops: evidence ``(m, 2, ...)`` of crops by themselves and on a canvas; none for text.
    """

    tiles: Floats
    places: Tensor
    prior: Tensor
    centres: Floats
    severity: Floats
    boxes: Floats
    groups: NDArray[np.str_]
    crops: Floats

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
    crops = np.log1p(units.crops / scale).reshape(-1, 2, features.shape[1])
    left_out = np.full(len(target), np.nan)
    folds = list(
        GroupKFold(FOLDS, shuffle=True, random_state=SEED).split(features, groups=units.groups)
    )

    def weights(rows: NDArray[np.intp]) -> tuple[Floats, float]:
        of = features[rows], target[rows], units.is_neural[rows]
        return _severity_weights(kind, *of, crops[:, 1] - crops[:, 0])

    for train, test in folds:
        slopes, bias = weights(train[rated[train]])
        left_out[test] = features[test] @ slopes + bias
    neural = rated & units.is_neural
    crossing, below, above = _calibration(left_out[neural], target[neural])
    slopes, bias = weights(np.flatnonzero(rated))
    place_scale, place_weights, strongest = _fit_places(units, folds)
    away = left_out[neural] - crossing
    predicted = (CLEAR + np.where(away < 0, below, above) * away).clip(0, WORST)
    figures = {
        "spearman_neural": float(spearmanr(left_out[neural], target[neural])[0]),
        "mean_absolute_error": float(np.abs(predicted - target[neural]).mean()),
        "pointing_neural": _pointing(units, strongest),
    }
    model = SeverityModel(
        scale.astype(np.float32),
        (below * slopes).reshape(scale.shape).astype(np.float32),
        min(0.0, float(CLEAR + below * (bias - crossing))),
        above / below - 1,
        place_scale.astype(np.float32),
        place_weights.astype(np.float32),
        REACH,
        {},
    )
    return model, figures


def _calibration(predicted: Floats, target: Floats) -> tuple[float, float, float]:
    """The prediction that stands for :data:`CLEAR`, and the slopes of lines from there down and up.

    They make the least of the mean square of errors and the squared logarithm of the ratio of how
    many are predicted to how many are graded clear.
    """
    low, high = predicted.min(), predicted.max()
    clear = (target >= CLEAR).sum() + 1
    found = []
    for crossing in np.linspace(2 * low - high, 2 * high - low, CROSSINGS):
        away = predicted - crossing
        sides = np.stack([away < 0, away >= 0])
        pull, square = sides @ (away * (target - CLEAR)), sides @ away**2
        # a side with hardly any prediction has the slope of both
        slopes = (pull + FAINT * pull.sum()) / (square + FAINT * square.sum())
        slopes = slopes.clip(LEAST_SCALE)
        errors = CLEAR + slopes @ (sides * away) - target
        surplus = np.log((sides[1].sum() + 1) / clear)
        found.append((np.mean(errors**2) + surplus**2, crossing, *slopes))
    _, crossing, below, above = map(float, min(found))
    return crossing, below, above


def _severity_weights(
    kind: str, features: Floats, target: Floats, is_neural: NDArray[np.bool_], changes: Floats
) -> tuple[Floats, float]:
    """Weights >= 0 on the features as they are, and the bias.

    They make the least of half the squares of errors, of the logistic loss of the order of every
    two targets of one side (by their difference; :data:`ORDER` a target in all), of the squares of
    ``changes`` ``(m, k)`` of the features that should say nothing, and of the weights.
    """
    scaler = StandardScaler().fit(features)
    x, moved = scaler.transform(features), changes / scaler.scale_
    count, weight = len(target), np.where(is_neural, 1.0, TRADITIONAL)
    differences = target[:, None] - target
    strength = np.abs(differences) * (is_neural[:, None] == is_neural) * weight
    strength *= ORDER[kind] * count / (strength.sum() or 1.0)
    still, ridge = CANVAS * count / max(1, len(moved)), RIDGE[kind]

    def loss(numbers: Floats) -> tuple[float, Floats]:
        slopes = numbers[:-1]
        predicted, change = x @ slopes, moved @ slopes
        error = predicted + numbers[-1] - target
        wrong = np.sign(differences) * (predicted - predicted[:, None]) / DOUBT
        squares = (weight * error**2).sum() + still * (change**2).sum() + ridge * (slopes**2).sum()
        pulls = strength * np.sign(differences) * expit(wrong) / DOUBT
        gradient = weight * error - pulls.sum(axis=1) + pulls.sum(axis=0)
        slant = x.T @ gradient + still * (moved.T @ change) + ridge * slopes
        value = squares / 2 + (strength * np.logaddexp(0, wrong)).sum()
        return value, np.append(slant, (weight * error).sum())

    start = np.append(np.full(x.shape[1], 1e-3), np.average(target, weights=weight))
    limits = [(0, None)] * x.shape[1] + [(None, None)]
    options = {"maxiter": 1000, "maxfun": 2000}
    least = minimize(loss, start, jac=True, bounds=limits, method="L-BFGS-B", options=options).x
    slopes = least[:-1] / scaler.scale_
    return slopes, float(least[-1] - slopes @ scaler.mean_)


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
    clear = (units.target >= CLEAR) & units.is_neural
    held = inside.any(1)[np.arange(len(strongest)), strongest].numpy()
    return float(held[clear].mean())


def cell_units(records: Sequence[TripletRecord], rated: dict[str, Ratings]) -> Units:
    """Evidence of cells, for texture and colour; pictures of at most a tile."""
    sides: list[list[tuple[Tensor, Tensor]]] = [[], []]
    crops: list[Floats] = []
    ground, random = torch.zeros(1, 3, 1, 1), np.random.default_rng(SEED)
    for index, batch in enumerate(_batches(records)):
        if index % CANVASES == 0:
            crops += _crops(batch, ground, random)
            ground = batch.original
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
        np.stack([tile for tile, _ in found]),
        grids,
        prior,
        centres,
        records,
        rated,
        np.stack(crops),
    )


def _largest(evidence: Tensor) -> Floats:
    """Of the tiles of one picture, by statistic."""
    return next(tiles([evidence]))[0].amax(0).double().numpy()


def _crops(batch: TripletBatch, ground: Tensor, random: np.random.Generator) -> Iterator[Floats]:
    """Evidence ``(2, K)`` of a crop by itself and on gray or another photograph, of both sides."""
    size = TILE * CELL
    sides = np.array([batch.height, batch.width])
    height, width = lengths = random.integers(np.maximum(SMALLEST, sides // 2), sides + 1)
    top, left = random.integers(sides - lengths + 1)
    y, x = random.integers(size - lengths + 1)
    part = (..., slice(top, top + height), slice(left, left + width))
    place = (..., slice(y, y + height), slice(x, x + width))
    alone = Planes(*(plane[part] for plane in batch.planes(on_unit_scale)))
    gray = torch.full((1, 3, size, size), 0.5)
    times = (1, 1, *(-(-size // side) for side in ground.shape[-2:]))
    pairs = [faults_of_decodes(TripletBatch(*alone))]
    for canvas in (gray, on_unit_scale(ground.repeat(times)[..., :size, :size])):
        whole = Planes(*(canvas.clone() for _ in alone))
        for large, crop in zip(whole, alone, strict=True):
            large[place] = crop
        pairs.append(faults_of_decodes(TripletBatch(*whole)))
    for order in (slice(None), slice(None, None, -1)):
        first, *others = (_largest(places(*maps[order])) for maps in pairs)
        yield from (np.stack([first, on_canvas]) for on_canvas in others)


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
    return _units(evidence, places, prior, centres, records, rated, np.empty((0, 2, rows, columns)))


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
    crops: Floats,
) -> Units:
    severity, boxes = (
        np.concatenate([getattr(rated[side], name) for side in SIDES])
        for name in ("severity", "boxes")
    )
    groups = np.array([_origin(record.source or record.id) for record in records] * 2)
    return Units(evidence, places, prior, centres, severity, boxes, groups, crops)


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
            evidence = cells.tiles, cells.places, cells.prior, cells.centres
            units = _units(*evidence, records, rated, cells.crops)
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
