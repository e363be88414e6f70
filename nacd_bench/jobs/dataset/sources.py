"""What a data set is built from: verified candidates of mined folders, and other data sets.

A triplet with at least one artifact that counts is taken with everything that is known about it:
what people confirmed, what they refused, and what nobody decided, so that no reader takes silence
for a clean image.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nacd_bench.coding.sides import CodecSpec
from nacd_bench.errors import DataError, Failure
from nacd_bench.jobs.dataset.content import (
    ARTIFACT_FACTS,
    ARTIFACTS,
    CODEC_FACTS,
    HASHES,
    IMAGE_FACTS,
    TRIPLETS,
    Artifact,
    artifact_of,
    read_dataset,
    read_settings,
)
from nacd_bench.jobs.dataset.images import ImageFile, tar_of
from nacd_bench.jobs.dataset.licenses import License, LicenseTable
from nacd_bench.jobs.dataset.unite import Part, content_key
from nacd_bench.runs.candidates import kept, read_mined
from nacd_bench.runs.schema import CANDIDATES, CODED, IMAGES, SIDES, SUMMARY, VERIFIED, schema
from nacd_bench.triplets.files import as_on_disk, is_url, read_bytes, sha256
from nacd_bench.triplets.record import TripletRecord, boxes_outside, contradictions
from nacd_bench.triplets.text_files import read_columns, read_json

TABLE = f"{VERIFIED}.parquet"
DECODED = tuple(f"{side}_decoded" for side in SIDES)
NEEDED = (
    *(*ARTIFACT_FACTS, "image", "image_path", *IMAGE_FACTS, *CODEC_FACTS),
    *(*HASHES.values(), "neural_bitstream", "traditional_bitstream"),
)
"""Columns without which a row of verified candidates cannot be used."""


MinedRun = tuple[Path, Mapping[str, Any], Mapping[str, list[str]]]
"""A mined folder, its settings, and every place where an image was found, by its hash."""


@dataclass(frozen=True)
class Verified:
    """Candidates with what people said about them.

    Args:
        rows: columns of the table ``verified``.
        is_voted: False where nobody was asked.
        sha256: of the table.
        summary: of the verification: rule, raters, agreement; empty where it is not there.
        place: the folder of the table.
    """

    rows: pa.Table
    is_voted: bool
    sha256: str
    summary: Any
    place: Path

    @property
    def artifacts(self) -> pa.Table:
        """The rows that are artifacts of the data set: confirmed, or all where nobody voted."""
        return self.rows.filter(pc.fill_null(self.rows["confirmed"], not self.is_voted))


def read_verified(source: str | Path, unverified: bool = False) -> Verified:
    """The table of verified candidates in a folder or file, or a mined folder in place of it.

    Args:
        source: what ``nacd-bench verify import`` left, or a mined folder.
        unverified: take all candidates of a mined folder that are no duplicates.

    Raises:
        DataError: neither, a damaged table, or a mined folder without ``unverified``.
    """
    path = Path(source)
    table = path / TABLE if path.is_dir() else path
    if table.is_file():
        rows = read_columns(table, schema(VERIFIED), schema(VERIFIED).names)
        place = table.parent / SUMMARY
        summary = read_json(place, "the summary of the verification") if place.is_file() else {}
        digest = sha256(read_bytes(table, "a table", DataError))
        return Verified(rows, True, digest, summary, table.parent)
    if not (path / CANDIDATES).is_dir():
        raise DataError(
            f"expected the folder of nacd-bench verify import, got {path}, which has no "
            f"{TABLE}. Name that folder, another data set, or a mined folder with "
            "unverified=true."
        )
    if not unverified:
        raise DataError(
            f"expected verified candidates, got the mined folder {path}, on which nobody "
            "voted. Verify it first (nacd-bench verify export), or give unverified=true for a "
            "data set of whatever detectors found."
        )
    rows = kept(read_mined(path))
    for name in schema(VERIFIED).names[len(rows.column_names) :]:
        value = pa.scalar(
            str(path.absolute()) if name == "run" else None, schema(VERIFIED).field(name).type
        )
        rows = rows.append_column(name, pa.repeat(value, len(rows)))
    return Verified(rows, False, sha256("".join(rows["candidate"].to_pylist())), {}, path)


@dataclass
class Sources:
    """Triplets and artifacts of all inputs, and where their images come from.

    Args:
        licenses: of mined images.
        originals: folder in which mined images lie now, if they were moved.
        mined: where mined folders lie now, if they were moved.
        parts: triplets and artifacts by source.
        images: by role and :func:`~nacd_bench.jobs.dataset.unite.content_key`; originals by hash.
        failures: what was left out.
        hashes: of the tables of each input.
        made: ``runs`` and ``verification`` of the inputs, each once, as JSON.
        settings: of every run behind them, by its folder or its place in a data set.
    """

    licenses: LicenseTable
    originals: str | Path | None = None
    mined: Sequence[Path] = ()
    parts: list[Part] = field(default_factory=list)
    images: dict[tuple[str, str], ImageFile] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    hashes: list[Any] = field(default_factory=list)
    made: set[tuple[str, str]] = field(default_factory=set)
    settings: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _runs: dict[str, Path] = field(default_factory=dict)
    _licenses: dict[tuple[str, ...], License | None] = field(default_factory=dict)

    def add(self, place: Path, unverified: bool) -> None:
        """Add a data set, verified candidates, or a mined folder.

        Raises:
            DataError: none of these, nothing confirmed, or a damaged table.
        """
        if not any((place / name).is_file() for name in (TRIPLETS, ARTIFACTS)):
            self._add_verified(place, read_verified(place, unverified))
            return
        dataset = read_dataset(place)
        tables = [(place / name).read_bytes() for name in (TRIPLETS, ARTIFACTS)]
        self.hashes.append([*map(sha256, tables)])
        for kind in ("runs", "verification"):
            self._note(kind, dataset.settings.get(kind) or [])
        for number, settings in enumerate(dataset.settings.get("runs") or (), 1):
            self.settings[f"{place} (run {number})"] = settings
        self.parts.append((dataset.records, dataset.artifacts))
        for record in dataset.records:
            for role, column in HASHES.items():
                path, digest = getattr(record, role), str(record.extra[column])
                self._add_image(record, role, ImageFile(path, digest, role != "original"))

    @property
    def provenance(self) -> dict[str, list[Any]]:
        """``runs`` and ``verification`` of the inputs, whatever their order."""
        listed: dict[str, list[Any]] = {"runs": [], "verification": []}
        for kind, text in sorted(self.made):
            listed[kind].append(json.loads(text))
        return listed

    def _note(self, kind: str, values: Iterable[Any]) -> None:
        self.made |= {(kind, json.dumps(value, sort_keys=True)) for value in values}

    def _add_image(self, record: TripletRecord, role: str, file: ImageFile) -> None:
        """Of several places of one image the first by path."""
        key = role, file.sha256 if role == "original" else content_key(record)
        other = self.images.get(key)
        if other is None or (not file.source, file.source) < (not other.source, other.source):
            self.images[key] = file

    def _add_verified(self, place: Path, verified: Verified) -> None:
        if not len(verified.artifacts):
            raise DataError(
                f"{place}: expected at least one confirmed artifact, got {len(verified.rows)} rows "
                "without. Collect more votes, or import them with another rule."
            )
        self.hashes.append(verified.sha256)
        self._note("verification", [verified.summary] if verified.summary else [])
        for name in sorted({name or "" for name in verified.rows["run"].to_pylist()}):
            try:
                folder = self._find(name, verified)
                settings = read_settings(folder)
                self._note("runs", [settings])
                self.settings[str(folder)] = settings
                self._add_run(folder, settings, name, verified)
                self._runs[name] = folder
            except DataError as error:
                lost = verified.artifacts["run"].to_pylist().count(name)
                message = f"{error} {lost} artifacts are left out."
                self.failures.append(Failure(name, "", message))

    def _find(self, name: str, verified: Verified) -> Path:
        """The mined folder that a verified row names by the path that it had.

        Relative paths may start in the table's folder; moved folders are known by their name, the
        only one of the only run in any case.
        """
        is_only = len(self.mined) == 1 and len(set(verified.rows["run"].to_pylist())) == 1
        moved = [path for path in self.mined if is_only or path.resolve().name == Path(name).name]
        for folder in (*moved, Path(name), verified.place / name):
            if (folder / CANDIDATES).is_dir():
                return folder
        raise DataError(
            f"expected the mined folder {name} of the verified candidates, got nothing there. Name "
            "the place where it lies now with mined=FOLDER."
        )

    def _add_run(
        self, folder: Path, settings: Mapping[str, Any], name: str, verified: Verified
    ) -> None:
        """Add every triplet of a mined folder that has an artifact."""
        rows = verified.rows.filter(pc.equal(verified.rows["run"], name))
        is_artifact = pc.fill_null(rows["confirmed"], not verified.is_voted)
        wanted = pc.unique(rows.filter(is_artifact)["triplet"])
        rows, others, coded = (
            table.filter(pc.is_in(table["triplet"], wanted))
            for table in (rows, read_mined(folder), read_mined(folder, CODED))
        )
        others = others.filter(pc.invert(pc.is_in(others["candidate"], rows["candidate"])))
        decoded = {row["triplet"]: row for row in coded.select(["triplet", *DECODED]).to_pylist()}
        artifacts: dict[str, list[Artifact]] = defaultdict(list)
        facts: dict[str, dict[str, Any]] = {}
        for row in rows.to_pylist():
            lacking = [column for column in NEEDED if row[column] is None]
            if lacking:
                fault = f"expected a value, got an empty cell in {', '.join(lacking)}."
                self._fail(row["candidate"], fault)
                continue
            facts.setdefault(row["triplet"], row)
            artifacts[row["triplet"]].append(artifact_of(_with_votes(row, verified.is_voted)))
        for row in others.to_pylist():
            # what another detector boxed at the same place is decided with it
            if row["duplicate_of"] not in {known.id for known in artifacts[row["triplet"]]}:
                artifacts[row["triplet"]].append(artifact_of(_with_votes(row, True)))
        run = folder, settings, _names_of(folder)
        records = []
        for triplet, row in sorted(facts.items()):
            if any(artifact.is_found for artifact in artifacts[triplet]):
                row = {**row, **decoded.get(triplet, {})}
                records += self._record(run, row, artifacts[triplet])
        if records:
            found = [artifact for record in records for artifact in artifacts[record.id]]
            self.parts.append((records, found))

    def add_negatives(self, number: int, seed: int) -> None:
        """Add triplets in which nothing was found: of each image one, then second ones."""
        free: list[tuple[Any, str, str]] = []
        for name, folder in self._runs.items():
            free += [(rank, name, triplet) for rank, triplet in _free_triplets(folder, seed)]
        if len(free) < number:
            message = (
                f"expected {number} triplets in which nothing was found, got {len(free)}. "
                "All of them are taken: ask for fewer, or mine more images."
            )
            self.failures.append(Failure("negatives", "", message))
        chosen: dict[str, set[str]] = defaultdict(set)
        for _, name, triplet in sorted(free)[:number]:
            chosen[name].add(triplet)
        for name, triplets in chosen.items():
            coded = read_mined(self._runs[name], CODED)
            is_chosen = pc.is_in(coded["triplet"], pa.array(sorted(triplets), pa.string()))
            run = self._runs[name], read_settings(self._runs[name]), _names_of(self._runs[name])
            records: list[TripletRecord] = []
            for row in coded.filter(is_chosen).to_pylist():
                records += self._record(run, row, ())
            self.parts.append(([replace(record, artifact_free=True) for record in records], ()))

    def _record(
        self, run: MinedRun, row: Mapping[str, Any], artifacts: Sequence[Artifact]
    ) -> list[TripletRecord]:
        """The record of a row with its images noted; empty where something is wrong with it."""
        folder, settings, names_by_image = run
        names = names_by_image.get(row["image_sha256"]) or [row["image_path"]]
        license = self._license(row, names)
        if license is None:
            return []
        facts = {name: row[name] for name in (*IMAGE_FACTS, *HASHES.values())}
        record = TripletRecord(
            row["triplet"],
            row["image_path"],
            row["neural_bitstream"],
            row["traditional_bitstream"],
            source=row["image"],
            **{name: row[name] for name in CODEC_FACTS},
            labels=tuple(artifact.label for artifact in artifacts),
            extra={**facts, **license.columns},
        )
        # one by one, for two decisions about one place are united later
        faults: list[str] = []
        for labels in ((), *((label,) for label in record.labels)):
            faults += contradictions(replace(record, labels=labels))
        faults += boxes_outside(record, row["width"], row["height"])
        if faults:
            self._fail(row.get("candidate", record.id), " ".join(dict.fromkeys(faults)))
            return []
        path = _path_of(names, self.originals)
        self._add_image(record, "original", ImageFile(path, row["image_sha256"]))
        for side in SIDES:
            decoded = folder / (row.get(f"{side}_decoded") or "gone")
            file = ImageFile(
                str(decoded.absolute()) if decoded.is_file() else "",
                row[f"{side}_sha256"],
                is_decode=True,
                bitstream=folder / row[f"{side}_bitstream"],
                codec=_codec(settings, side),
                version=row[f"{side}_version"],
            )
            self._add_image(record, side, file)
        return [record]

    def _license(self, row: Mapping[str, Any], names: Sequence[str]) -> License | None:
        key = row["image_sha256"], *names
        if key not in self._licenses:
            self._licenses[key] = None
            try:
                self._licenses[key] = self.licenses.of(row["image_sha256"], names)
            except DataError as error:
                self.failures.append(Failure(row["image"], "", str(error)))
        return self._licenses[key]

    def _fail(self, item: Any, message: str) -> None:
        message = f"{message} It is left out: correct the row, or verify it again."
        self.failures.append(Failure(str(item), "", message))


def _names_of(folder: Path) -> dict[str, list[str]]:
    """Every place where an image was found, by its hash."""
    images = read_mined(folder, IMAGES)
    columns = (images[name].to_pylist() for name in ("image_sha256", "names"))
    return dict(zip(*columns, strict=True))


def _codec(settings: Mapping[str, Any], side: str) -> CodecSpec | None:
    """What decodes the bitstreams of a mined folder, or None where its settings do not say."""
    given = settings.get(side, {}).get("codec")
    return CodecSpec(**given) if isinstance(given, dict) and "name" in given else None


def _with_votes(row: Mapping[str, Any], is_voted: bool) -> dict[str, Any]:
    """A candidate's row; one that nobody was asked about has none for and none against."""
    votes = {name: row.get(name) or 0 for name in ("votes_for", "votes_against")}
    return {**row, **votes} if is_voted else {**row}


def _free_triplets(folder: Path, seed: int) -> Iterator[tuple[Any, str]]:
    """Triplets that all detectors looked at and found nothing in, with what orders them."""
    candidates = read_mined(folder)
    found = set(candidates["triplet"].unique().to_pylist())
    images = set(candidates["image_sha256"].unique().to_pylist())
    coded = read_mined(folder, CODED).select(["triplet", "image_sha256", "scores"]).to_pylist()
    detectors = {name for row in coded for name, _ in row["scores"] or ()}
    free: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in coded:
        if row["triplet"] not in found and {name for name, _ in row["scores"] or ()} == detectors:
            mark = sha256(f"{seed}\0{row['image_sha256']}\0{row['triplet']}")
            free[row["image_sha256"]].append((mark, row["triplet"]))
    for image, triplets in free.items():
        for place, (mark, triplet) in enumerate(sorted(triplets)):
            yield (place, image in images, mark), triplet


def _path_of(names: Sequence[str], originals: str | Path | None) -> str:
    """Where an image lies now, of all places where it was found."""
    for name in names if originals else ():
        parts = PurePosixPath(name).parts
        for place in range(len(parts)):
            moved = as_on_disk(Path(str(originals), "/".join(parts[place:]).lstrip("/")))
            if moved.is_file() or Path(tar_of(str(moved)) or "").is_file():
                return str(moved.absolute())
    on_disk = [name for name in names if not is_url(name) and as_on_disk(name).is_file()]
    first = (on_disk or names)[0]
    return first if is_url(first) else str(Path(first).absolute())
