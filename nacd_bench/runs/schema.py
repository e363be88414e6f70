"""What a run's folder contains: the names of its files, its tables, their columns and types.

A column means the same wherever it stands. A place that a detector boxed is ``triplet`` (the id
of the three images), ``image`` (of the original that they were made from), ``artifact_type``,
``detector``, ``confidence`` and the box ``x0`` to ``y1``, in pixels of the original, half-open;
every later table has these columns and adds its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from nacd_bench.triplets.record import ROLES

SCHEMA_VERSION = 3
"""Of all tables and ``settings.json``; changes whenever a column changes its name or meaning."""

SETTINGS, CONFIG, JOURNAL, LOCK = "settings.json", "config.yaml", "journal.jsonl", "run.lock"
FAILURES = "failures.csv"
JOURNALS = "journal"
"""Folder of the journals of runs that share a folder."""
TRIPLETS = "triplets.parquet"
METRICS, SUMMARY, THRESHOLDS = "metrics.json", "summary.json", "thresholds.yaml"
DETECTIONS, SCORES, HEAT_MAPS = "detections", "scores", "heat_maps"
LIMITS = "thresholds"
"""Tables: Parquet and CSV of that name, heat maps and thresholds CSV alone."""
CURVES, SETS = "curves", "sets"
"""Folders of a benchmark: curves as pictures and CSV, its test sets as manifests."""
CANDIDATES, CODED, IMAGES = "candidates", "coded", "images"
"""Folders of the three tables of a mined folder."""
VERIFIED, ARTIFACTS, CHANGES, UNPAIRED = "verified", "artifacts", "changes", "unpaired"

AGREEMENT = "agreement"
"""Table of an agree run, its figure and its summary as JSON."""
RANKING, CODINGS, PAIRS, RGB_CURVES = "ranking", "codings", "pairs", "rgb_curves"
"""Tables of codecs that were ranked."""

CLEAN = "clean"
"""Folder in a run of what its detectors find in clean triplets."""

SIDES = ROLES[1:]
EDGES = ("x0", "y0", "x1", "y1")
TEXT, WHOLE, REAL, YES = pa.string(), pa.int64(), pa.float64(), pa.bool_()
Columns = Mapping[str, pa.DataType]


def _sides(facts: Columns) -> Columns:
    return {f"{side}_{fact}": kind for side in SIDES for fact, kind in facts.items()}


def _ends(name: str) -> tuple[str, str, str]:
    """A figure and the ends of its 95 % interval."""
    return name, f"{name}_low", f"{name}_high"


BOX = dict.fromkeys(EDGES, WHOLE)
CODECS = _sides({"codec": TEXT, "version": TEXT, "point": TEXT, "bpp": REAL})
"""How both sides of a triplet were made, as in its manifest."""
PLACE = {"artifact_type": TEXT, "detector": TEXT, "confidence": REAL, **BOX}
SAME_PLACE = {
    "found_by": pa.list_(pa.struct({"detector": TEXT, "confidence": REAL})),
    "presets": pa.list_(TEXT),
}
"""Who boxed one place of a triplet, and at which operating points it was boxed."""
VOTES = {"votes_for": WHOLE, "votes_against": WHOLE, "confirmed": YES}
IMAGE = {"image": TEXT, "image_sha256": TEXT, "image_path": TEXT, "width": WHOLE, "height": WHOLE}
STEP = {"triplet": TEXT, "preset": TEXT, "preset_index": WHOLE}
MADE = _sides(
    {
        **{"codec": TEXT, "version": TEXT, "point": TEXT, "bpp": REAL},
        **{"sha256": TEXT, "bitstream": TEXT},
    }
)
CANDIDATE = {
    **{"candidate": TEXT, **IMAGE, **STEP, **MADE, **PLACE, "number": WHOLE},
    **{f"crop_{edge}": WHOLE for edge in EDGES},
    **{f"crop_{role}": TEXT for role in ROLES},
    "duplicate_of": TEXT,
    **SAME_PLACE,
}
CODED_FACTS = {"decoded": TEXT, "bytes": REAL, "psnr": REAL, "encodes": WHOLE, "out_of_range": YES}
COSTS = ("encode_seconds", "decode_seconds", "peak_memory")
FACTS = ("bpp", "psnr", "msssim", *COSTS)
"""What is known of a coded image."""
CURVE = ("threshold", "false_positive_rate", "recall", "precision")
RUNS = ("before", "after")

TABLES: Mapping[str, Columns] = {
    DETECTIONS: {"triplet": TEXT, "image": TEXT, **PLACE, **CODECS},
    SCORES: {"triplet": TEXT, "image": TEXT, **CODECS},
    HEAT_MAPS: {"triplet": TEXT, "detector": TEXT, "file": TEXT, "low": REAL, "high": REAL},
    LIMITS: {
        **{"detector": TEXT, "artifact_type": TEXT, "threshold": REAL, "by": TEXT},
        **dict.fromkeys(("expected", "expected_low", "expected_high"), REAL),
        **{"clean_triplets": WHOLE, **dict.fromkeys(("clean", "clean_low", "clean_high"), REAL)},
        "exceeds": YES,
    },
    CURVES: {"method": TEXT, **dict.fromkeys(CURVE, REAL)},
    CANDIDATES: CANDIDATE,
    CODED: {**IMAGE, **STEP, **MADE, **_sides(CODED_FACTS), "scores": pa.map_(TEXT, REAL)},
    IMAGES: {**IMAGE, "names": pa.list_(TEXT), "candidates": WHOLE},
    VERIFIED: {
        **{**CANDIDATE, **VOTES, "votes_same": WHOLE, "votes_nothing": WHOLE, "raters": WHOLE},
        **{"chance": REAL, "run": TEXT},
    },
    ARTIFACTS: {
        **{"candidate": TEXT, "triplet": TEXT, "image": TEXT, **PLACE, **VOTES},
        **{"duplicate_of": TEXT, **SAME_PLACE, **dict.fromkeys(ROLES, TEXT), "image_sha256": TEXT},
        **{"width": WHOLE, "height": WHOLE, "preset": TEXT, "preset_index": WHOLE, **CODECS},
        **dict.fromkeys(("license", "image_source", "source_url", "author", "attribution"), TEXT),
    },
    CHANGES: {
        **{"status": TEXT, "change": TEXT, "image": TEXT, "preset": TEXT},
        **{"artifact_type": TEXT, "detector": TEXT, "strength": REAL, "threshold": REAL},
        **{
            f"{name}_{run}": kind
            for run in RUNS
            for name, kind in {"triplet": TEXT, "severity": REAL, **BOX, "bpp": REAL}.items()
        },
        "original_sha256": TEXT,
    },
    AGREEMENT: {
        **dict.fromkeys(("artifact_type", "group", "side", "method", "kind", "figure"), TEXT),
        **dict.fromkeys(("value", "low", "high"), REAL),
        **dict.fromkeys(("n", "n_clusters", "n_positive", "n_negative"), WHOLE),
    },
    CODINGS: {
        **dict.fromkeys(("codec", "anchor", "triplet", "image", "image_sha256", "preset"), TEXT),
        **{"megapixels": REAL, "severity": REAL, **_sides(dict.fromkeys(FACTS, REAL))},
    },
    RANKING: {
        **{"codec": TEXT, "anchor": TEXT, "preset": TEXT, "is_anchor": YES, "is_neural": YES},
        **{"out": TEXT, "rank": WHOLE, "rank_low": WHOLE, "rank_high": WHOLE},
        **{"photographs": WHOLE, "scenes": WHOLE},
        **dict.fromkeys((*_ends("severity"), *_ends("any"), *FACTS, "parameters"), REAL),
        **dict.fromkeys(("encode_mp_per_second", "decode_mp_per_second"), REAL),
        **dict.fromkeys(("bd_rate_psnr", "bd_rate_msssim"), REAL),
        **dict.fromkeys(("bd_rate_psnr_reason", "bd_rate_msssim_reason"), TEXT),
    },
    PAIRS: {
        **{"first": TEXT, "second": TEXT},
        **dict.fromkeys((*_ends("difference"), "p", "p_holm"), REAL),
    },
    RGB_CURVES: {
        **{"codec": TEXT, "source": TEXT},
        **dict.fromkeys(("bpp", "psnr", "msssim", "bd_rate_psnr", "bd_rate_msssim"), REAL),
    },
    UNPAIRED: dict.fromkeys(("run", "triplet", "image", "point", "detector", "reason"), TEXT),
}
"""Columns and types of each table, in their order.

``detections``
    a box over its detector's threshold.
``scores``
    a triplet, and a column for each method; of a benchmark a row for each test set that the
    triplet is in, with ``test_set``, ``cluster`` (its original: the unit of the bootstrap) and
    ``is_positive``.
``thresholds``
    a detector of a detect run: the confidence over which a box is a detection, by which criterion;
    false alarms per 100 clean triplets, as the thresholds file expects them and as they were on
    the clean triplets of the run, where there are some.
``candidates``
    ``candidate`` is ``<image>_<preset>_<detector>_<number>``, ``triplet`` is ``<image>_<preset>``;
    ``image_sha256`` is of the file of the original, which was found first at ``image_path``;
    ``preset`` is the rate step (``quality-3``), ``preset_index`` its place by rising rate, from 0;
    ``neural_sha256`` is of the decoded pixels, ``neural_bitstream`` where the bitstream lies;
    ``number`` is its place among its detector's in the triplet, from 0, strongest first;
    ``crop_x0`` to ``crop_y1`` is what its crops show: the box and at least 300 x 300 pixels around
    it, inside the image; ``crop_original`` and so on are their paths; ``duplicate_of`` is the
    candidate that is the same artifact and is kept, or null for one that is kept itself;
    ``found_by`` has the detectors that boxed its place in its triplet, each with its largest
    confidence, the strongest first, and ``presets`` the rate steps at which the place was boxed.
``coded``
    an image at a rate step: ``neural_decoded`` (a path, or null where it was not kept),
    ``neural_bytes``, ``neural_psnr`` (luma, dB), ``neural_encodes``, ``neural_out_of_range``, and
    ``scores``, the image's score by detector.
``images``
    ``names`` is every place where the same bytes were found, ``candidates`` how many it has.
``verified``
    candidates with what people said: votes for neural, against it, of these for neither side
    (``votes_same``), and of these that there is no text (``votes_nothing``); ``raters``;
    ``confirmed`` is null for undecided; ``chance`` is the probability that these raters confirm it
    if they pick sides at random; ``run`` is the path of the mined folder.
``artifacts``
    of a data set, with the licence of the original.
``agreement``
    a figure of a method or rater on one side of graded triplets; ``kind`` is detector, metric or
    reference, ``n`` the sides of ``n_clusters`` photographs that are behind it.
``codings``
    a photograph in one of the codecs that are ranked at one rate, and in the anchor at the rate
    that it got; then by artifact type its predicted severity, how many places are worse than in
    the anchor (``_artifacts``), and in how many the anchor is worse (``_better``).
``ranking``
    a codec at a rate, or in the mean of all (``all``), or the anchor; ``out`` says why it is not
    ranked, ``_reason`` why a BD-rate is not there or is not the mean over photographs; then by
    artifact type, and for ``all`` of them, artifacts per 100 photographs and per
    100 megapixels, and places better than the anchor's per 100 photographs.
``pairs``
    two codecs: difference of mean severity, p of the paired permutation test.
``rgb_curves``
    a codec at an operating point, in means over photographs: PSNR of RGB, the mean MS-SSIM of R, G
    and B in dB, and the BD-rates of its curve against the anchor's, in percent; ``source`` is the
    file that says so, null for what was measured here.
``changes``, ``unpaired``
    of two runs: pictures with an artifact in one or both, what became of it, by how much its
    severity changed (``strength``), the strongest box; triplets compared with nothing.
"""


def schema(table: str, **more: pa.DataType) -> pa.Schema:
    """Columns of a table, and further ones after them.

    >>> schema("unpaired").names[:3]
    ['run', 'triplet', 'image']
    """
    return pa.schema({**TABLES[table], **more})
