"""What a data set is built from: verified candidates of mined folders, and other data sets.

A triplet with at least one artifact that counts is taken with everything that is known about it:
what people confirmed, what they refused, and what nobody decided, so that no reader takes silence
for a clean image. So is one of which people refused everything: they looked, and it is clean.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nacd_bench.coding.originals import tar_of
from nacd_bench.coding.sides import CodecSpec
from nacd_bench.errors import DataError, Failure
from nacd_bench.runs.candidates import kept, read_mined
from nacd_bench.runs.dataset import (
    ARTIFACT_FACTS,
    ARTIFACTS,
    HASHES,
    IMAGE_FACTS,
    REFUSED,
    Artifact,
    artifact_of,
    read_dataset,
    read_settings,
)
from nacd_bench.runs.schema import (
    CANDIDATES,
    CODECS,
    CODED,
    IMAGES,
    SIDES,
    SUMMARY,
    TRIPLETS,
    VERIFIED,
    schema,
)
from nacd_bench.runs.unite import Part
from nacd_bench.triplets.files import as_on_disk, is_url, sha256
from nacd_bench.triplets.licenses import LicenseTable
from nacd_bench.triplets.record import TripletRecord, boxes_outside, contradictions
from nacd_bench.triplets.text_files import read_columns, read_json

TABLE = f"{VERIFIED}.parquet"


def read_verified(source: str | Path, unverified: bool = False) -> tuple[pa.Table, Any]:
    """Verified candidates of a folder or file, or of a mined folder, and the summary of the votes.

    Args:
        source: what ``nacd-bench verify import`` left, or a mined folder.
        unverified: take all candidates of a mined folder that are no duplicates; their votes are
            empty, those of verified ones never are.

    Raises:
        DataError: neither, a damaged table, or a mined folder without ``unverified``.
    """
    path = Path(source)
    table = path / TABLE if path.is_dir() else path
    if table.is_file():
        rows = read_columns(table, schema(VERIFIED), schema(VERIFIED).names)
        for name in ("votes_for", "votes_against"):
            place = rows.column_names.index(name)
            rows = rows.set_column(place, name, pc.fill_null(rows[name], 0))
        summary = table.parent / SUMMARY
        is_there = summary.is_file()
        return rows, read_json(summary, "the summary of the verification") if is_there else {}
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
    run = {"run": str(path.absolute())}
    rows = [{**row, **run} for row in kept(read_mined(path)).to_pylist()]
    return pa.Table.from_pylist(rows, schema=schema(VERIFIED)), {}


@dataclass
class Sources:
    """Triplets and artifacts of all inputs; the paths of their images are those of the inputs.

    Args:
        licenses: of mined images.
        originals: folder in which mined images lie now, if they were moved.
        mined: where mined folders lie now, if they were moved.
        parts: triplets and artifacts by source.
        codecs: what decodes a bitstream that stands in place of an image, by its path; None where
            nobody knows.
        failures: what was left out.
        runs: settings of every run behind the inputs, by its folder or its place in a data set.
        verification: summaries of votes.
    """

    licenses: LicenseTable
    originals: str | Path | None = None
    mined: Sequence[Path] = ()
    parts: list[Part] = field(default_factory=list)
    codecs: dict[str, CodecSpec | None] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    runs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    verification: list[Any] = field(default_factory=list)

    def add(self, place: Path, unverified: bool) -> None:
        """Add a data set, verified candidates, or a mined folder.

        Raises:
            DataError: none of these, nothing confirmed, or a damaged table.
        """
        if any((place / name).is_file() for name in (TRIPLETS, ARTIFACTS)):
            dataset = read_dataset(place)
            self.parts.append((dataset.records, dataset.artifacts))
            self.verification += dataset.settings.get("verification") or []
            for number, settings in enumerate(dataset.settings.get("runs") or (), 1):
                self.runs[f"{place} (run {number})"] = settings
            return
        rows, summary = read_verified(place, unverified)
        is_artifact = pc.fill_null(rows["confirmed"], False)
        is_artifact = pc.or_(is_artifact, pc.is_null(rows["votes_for"]))
        if not pc.any(is_artifact).as_py():
            raise DataError(
                f"{place}: expected at least one confirmed artifact, got {len(rows)} rows "
                "without. Collect more votes, or import them with another rule."
            )
        self.verification += [summary] if summary else []
        names = rows["run"].unique().to_pylist()
        for name in sorted(name or "" for name in names):
            is_of_run = pc.equal(pc.fill_null(rows["run"], ""), name)
            is_refused = pc.equal(pc.fill_null(rows["confirmed"], True), False)
            is_decided = pc.or_(is_artifact, is_refused)
            wanted = rows.filter(pc.and_(is_of_run, is_decided))["triplet"]
            try:
                folder = self._find(name, place, len(names) == 1)
                settings = read_settings(folder)
                self._add_run(folder, settings, rows.filter(is_of_run), wanted)
                self.runs[str(folder)] = settings
            except DataError as error:
                message = f"{error} {len(wanted)} candidates are left out."
                self.failures.append(Failure(name, "", message))

    def _find(self, name: str, place: Path, is_only: bool) -> Path:
        """The mined folder that a verified row names by the path that it had.

        Relative paths may start in the table's folder; moved folders are known by their name, the
        only one of the only run in any case.
        """
        is_only = is_only and len(self.mined) == 1
        moved = [path for path in self.mined if is_only or path.resolve().name == Path(name).name]
        for folder in (*moved, Path(name), place / name, place.parent / name):
            if (folder / CANDIDATES).is_dir():
                return folder.absolute()
        raise DataError(
            f"expected the mined folder {name} of the verified candidates, got nothing there. Name "
            "the place where it lies now with mined=FOLDER."
        )

    def _add_run(
        self, folder: Path, settings: Mapping[str, Any], rows: pa.Table, wanted: pa.ChunkedArray
    ) -> None:
        """Add every triplet of a mined folder that has an artifact, or had what was refused."""
        verified, others = (
            table.filter(pc.is_in(table["triplet"], pc.unique(wanted)))
            for table in (rows, read_mined(folder))
        )
        others = others.filter(pc.invert(pc.is_in(others["candidate"], verified["candidate"])))
        triplets = dict(
            zip(verified["candidate"].to_pylist(), verified["triplet"].to_pylist(), strict=True)
        )
        unasked = [
            {**row, "votes_for": 0, "votes_against": 0}
            for row in others.to_pylist()
            # what another detector boxed at the same place is decided with it
            if triplets.get(row["duplicate_of"]) != row["triplet"]
        ]
        artifacts: dict[str, list[Artifact]] = defaultdict(list)
        for row in (*verified.to_pylist(), *unasked):
            lacking = [name for name in ARTIFACT_FACTS if row[name] is None]
            if lacking:
                fault = f"expected a value, got an empty cell in {', '.join(lacking)}."
                self._fail(row["candidate"], fault)
            else:
                artifacts[row["triplet"]].append(artifact_of(row))
        named = {
            triplet: of_triplet
            for triplet, of_triplet in artifacts.items()
            if any(artifact.is_found for artifact in of_triplet)
            or all(artifact.status == REFUSED for artifact in of_triplet)
        }
        records = self._records(folder, settings, named)
        self.parts.append((records, [a for record in records for a in artifacts[record.id]]))

    def add_negatives(self, number: int, seed: int) -> None:
        """Add triplets in which no detector found anything: of each image one, then second ones."""
        free: list[tuple[str, str, str, str]] = []
        folders = [name for name in self.runs if (Path(name) / CODED).is_dir()]
        for folder in folders:
            coded = read_mined(folder, CODED)
            rows = coded.select(["triplet", "image_sha256", "scores"]).to_pylist()
            looked = {row["triplet"]: {name for name, _ in row["scores"] or ()} for row in rows}
            detectors = set().union(*looked.values())
            boxed = set(read_mined(folder)["triplet"].to_pylist())
            free += (
                (sha256(f"{seed}\0{row['triplet']}"), folder, row["triplet"], row["image_sha256"])
                for row in rows
                if row["triplet"] not in boxed and looked[row["triplet"]] == detectors
            )
        if len(free) < number:
            message = (
                f"expected {number} triplets in which nothing was found, got {len(free)}. "
                "All of them are taken: ask for fewer, mine more images, or mine with thresholds: "
                "detectors of severity have 1.5, for others benchmark writes a file."
            )
            self.failures.append(Failure("negatives", "", message))
        times: Counter[str] = Counter()
        ranked = []
        for mark, folder, triplet, image in sorted(free):
            ranked.append((times[image], mark, folder, triplet))
            times[image] += 1
        for folder in folders:
            triplets = {name: () for *_, other, name in sorted(ranked)[:number] if other == folder}
            records = self._records(Path(folder), self.runs[folder], triplets)
            self.parts.append(([replace(record, artifact_free=True) for record in records], ()))

    def _records(
        self, folder: Path, settings: Mapping[str, Any], artifacts: Mapping[str, Sequence[Artifact]]
    ) -> list[TripletRecord]:
        """The triplets of a mined folder that are named; what is wrong with others is noted."""
        images = read_mined(folder, IMAGES)
        names = dict(
            zip(images["image_sha256"].to_pylist(), images["names"].to_pylist(), strict=True)
        )
        coded = read_mined(folder, CODED)
        coded = coded.filter(pc.is_in(coded["triplet"], pa.array(artifacts, pa.string())))
        rows = {row["triplet"]: row for row in coded.to_pylist()}
        for triplet in sorted(artifacts.keys() - rows.keys()):
            self._fail(triplet, f"expected the triplet in {folder / CODED}, got none of that name.")
        licenses: dict[str, Mapping[str, Any]] = {}
        for image, row in {row["image_sha256"]: row for row in rows.values()}.items():
            names[image] = names.get(image) or [row["image_path"]]
            try:
                licenses[image] = self.licenses.of(image, names[image]).columns
            except DataError as error:
                self.failures.append(Failure(row["image"], "", str(error)))
        records = []
        for triplet, row in rows.items():
            image = row["image_sha256"]
            if image not in licenses:
                continue
            # two decisions about one place are united later
            labels = {(a.artifact_type, a.box): a.label for a in artifacts[triplet]}
            facts = {name: row[name] for name in (*IMAGE_FACTS, *HASHES.values())}
            record = TripletRecord(
                triplet,
                _path_of(names[image], self.originals),
                _decode_of(folder, row, "neural"),
                _decode_of(folder, row, "traditional"),
                source=row["image"],
                **{name: row[name] for name in CODECS},
                labels=tuple(labels.values()),
                extra={**facts, **licenses[image]},
            )
            faults = [*contradictions(record), *boxes_outside(record, row["width"], row["height"])]
            if faults:
                self._fail(triplet, " ".join(faults))
            else:
                records.append(record)
        for side in SIDES:
            given = settings.get(side, {}).get("codec")
            codec = CodecSpec(**given) if isinstance(given, dict) and "name" in given else None
            self.codecs |= {getattr(record, side): codec for record in records}
        return records

    def _fail(self, item: str, message: str) -> None:
        message = f"{message} It is left out: correct the row, or verify it again."
        self.failures.append(Failure(str(item), "", message))


def _decode_of(folder: Path, row: Mapping[str, Any], side: str) -> str:
    """The file of a decode that was kept, else its bitstream."""
    decoded = folder / (row[f"{side}_decoded"] or "gone")
    return str(decoded if decoded.is_file() else folder / row[f"{side}_bitstream"])


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
