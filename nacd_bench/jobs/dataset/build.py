"""``nacd-bench dataset build``: verified artifacts to a data set.

A triplet with at least one artifact that counts is taken with everything that is known about it:
what people confirmed, what they refused, and what nobody decided, so that no reader takes silence
for a clean image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nacd_bench import __version__
from nacd_bench.errors import DataError, UserError
from nacd_bench.jobs.dataset.assemble import Assembled, Options, assemble, begin
from nacd_bench.jobs.dataset.content import (
    CODEC_FACTS,
    EDGES,
    HASHES,
    IMAGE_FACTS,
    SIDES,
    Artifact,
)
from nacd_bench.jobs.dataset.images import Bitstream, ImageFile, tar_of
from nacd_bench.jobs.dataset.licenses import License, LicenseTable, given_license
from nacd_bench.jobs.dataset.unite import Part, content_key
from nacd_bench.jobs.dataset.verified import MinedRun, Verified, find_run, read_verified
from nacd_bench.runs.folder import new_run_id, run_lock
from nacd_bench.triplets.files import as_on_disk, is_url, read_bytes, sha256
from nacd_bench.triplets.record import Problem, TripletRecord, boxes_outside, contradictions

if TYPE_CHECKING:
    import pyarrow as pa

NEEDED = (
    *("candidate", "image", *IMAGE_FACTS, "image_path", "triplet"),
    *(f"{side}_{fact}" for side in SIDES for fact in ("codec", "version", "point", "bpp")),
    *(f"{side}_{fact}" for side in SIDES for fact in ("sha256", "bitstream")),
    *("detector", "artifact_type", "confidence", *EDGES),
)
"""Columns without which a row of verified candidates cannot be used."""


@dataclass(frozen=True)
class Rights:
    """Where licences and sources of images come from.

    Args:
        license, source: of all images that the table does not name.
        table: see :class:`~nacd_bench.jobs.dataset.licenses.LicenseTable`.
    """

    license: str | None = None
    source: str | None = None
    table: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What of it decides the result."""
        read = self.table and sha256(read_bytes(self.table, "a table of licences", DataError))
        return {"license": self.license, "source": self.source, "table_sha256": read}


NO_RIGHTS = Rights()
PLAIN = Options()


def build(
    verified: str | Path,
    folder: str | Path,
    *,
    unverified: bool = False,
    rights: Rights = NO_RIGHTS,
    negatives: int = 0,
    seed: int = 0,
    mined: Sequence[str | Path] = (),
    originals: str | Path | None = None,
    options: Options = PLAIN,
) -> Assembled:
    """Build a data set; one that was stopped, at whatever moment, goes on.

    Args:
        verified: what ``nacd-bench verify import`` left, or a mined folder.
        folder: where the data set goes.
        unverified: take a mined folder as it is.
        rights: licences and sources.
        negatives: so many triplets in which no detector found a candidate, as artifact-free ones,
            of as many images as there are.
        seed: decides which.
        mined: where the mined folders lie now, if they were moved.
        originals: folder in which the mined images lie now, if they were moved.
        options: how it is put together.

    Raises:
        DataError: nothing confirmed, no usable triplet, a damaged table, another data set in the
            folder.
    """
    if not (isinstance(negatives, int) and negatives >= 0):
        raise UserError(f"expected negatives as a number of triplets, got {negatives!r}.")
    folder = Path(folder)
    table = read_verified(verified, unverified)
    licenses = LicenseTable(rights.table, given_license(rights.license, rights.source))
    if not len(table.found):
        raise DataError(
            f"{verified}: expected at least one confirmed artifact, got {len(table.rows)} rows "
            "without. Collect more votes, or import them with another rule."
        )
    parts = _Parts(table, licenses, Path(originals) if originals else None)
    runs = _runs(table, mined, parts.problems)
    for name, run in runs.items():
        _guarded(parts, name, run)
    if negatives:
        parts.add_negatives(runs, negatives, seed)
    settings = {
        "nacd_bench": __version__,
        "job": "dataset build",
        **options.settings,
        "verified_sha256": table.sha256,
        "rights": rights.settings,
        "negatives": {"number": negatives, "seed": seed},
        "runs": [run.settings for run in runs.values()],
        "verification": [table.summary] if table.summary else [],
    }
    with run_lock(folder, new_run_id()):
        begin(folder, settings)
        return assemble(folder, parts.parts, parts.sources, parts.problems, settings, options)


def _runs(
    table: Verified, mined: Sequence[str | Path], problems: list[Problem]
) -> dict[str, MinedRun]:
    """The mined folders by the name that the table gives them."""
    found = {}
    for name in sorted({each or "" for each in table.rows["run"].to_pylist()}):
        try:
            found[name] = find_run(name, table, mined)
        except DataError as error:
            problems.append(_lost(table, name, error))
    return found


def _guarded(parts: _Parts, name: str, run: MinedRun) -> None:
    """Add a mined folder; one with a damaged table costs only itself."""
    try:
        parts.add_run(name, run)
    except DataError as error:
        parts.problems.append(_lost(parts.table, name, error))


def _lost(table: Verified, name: str, error: DataError) -> Problem:
    import pyarrow.compute as pc

    lost = len(table.found.filter(pc.equal(table.found["run"], name)))
    return Problem(name, f"{error} {lost} artifacts are left out.")


@dataclass
class _Parts:
    """Triplets and artifacts of mined folders, and where their images come from."""

    table: Verified
    licenses: LicenseTable
    originals: Path | None
    parts: list[Part] = field(default_factory=list)
    sources: dict[str, dict[str, ImageFile]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    known: dict[tuple[str, ...], License | None] = field(default_factory=dict)

    def add_run(self, name: str, run: MinedRun) -> None:
        """Add every triplet of a mined folder that has an artifact."""
        import pyarrow.compute as pc

        wanted = pc.unique(
            self.table.found.filter(pc.equal(self.table.found["run"], name))["triplet"]
        )
        verified = self.table.rows.filter(pc.equal(self.table.rows["run"], name))
        verified = verified.filter(pc.is_in(verified["triplet"], wanted))
        others = run.candidates.filter(pc.is_in(run.candidates["triplet"], wanted))
        others = others.filter(
            pc.invert(pc.is_in(others["candidate"], verified["candidate"].combine_chunks()))
        )
        coded = run.coded.filter(pc.is_in(run.coded["triplet"], wanted))
        decoded = {row["triplet"]: row for row in _columns(coded, "triplet", *_DECODED)}
        artifacts: dict[str, list[Artifact]] = defaultdict(list)
        rows: dict[str, dict[str, Any]] = {}
        for row in verified.to_pylist():
            lacking = [each for each in NEEDED if row[each] is None]
            if lacking:
                self._problem(row, f"expected a value, got an empty cell in {', '.join(lacking)}.")
                continue
            rows.setdefault(row["triplet"], row)
            artifacts[row["triplet"]].append(_artifact(row, self.table.is_voted))
        for row in _columns(others, *_OF_ARTIFACTS):
            # what another detector boxed at the same place is decided with it
            if row["duplicate_of"] not in {each.id for each in artifacts[row["triplet"]]}:
                artifacts[row["triplet"]].append(_artifact(row, True))
        records = []
        for triplet, row in sorted(rows.items()):
            found = artifacts[triplet]
            if any(each.is_found for each in found):
                records += self._record(run, {**row, **decoded.get(triplet, {})}, found)
        self._add(records, artifacts)

    def add_negatives(self, runs: Mapping[str, MinedRun], number: int, seed: int) -> None:
        """Add triplets in which nothing was found: of each image one, then second ones."""
        free: list[tuple[Any, str, str]] = []
        for name, run in runs.items():
            try:
                free += [(rank, name, triplet) for rank, triplet in _free_triplets(run, seed)]
            except DataError:  # said by add_run
                continue
        chosen: dict[str, set[str]] = defaultdict(set)
        for _, name, triplet in sorted(free)[:number]:
            chosen[name].add(triplet)
        if len(free) < number:
            self.problems.append(
                Problem(
                    "negatives",
                    f"expected {number} triplets in which nothing was found, got {len(free)}. "
                    "All of them are taken: ask for fewer, or mine more images.",
                )
            )
        for name, triplets in chosen.items():
            records: list[TripletRecord] = []
            for row in _rows_of(runs[name].coded, triplets):
                records += self._record(runs[name], row, ())
            self._add([replace(each, artifact_free=True) for each in records], {})

    def _add(
        self, records: Sequence[TripletRecord], artifacts: Mapping[str, Sequence[Artifact]]
    ) -> None:
        own = [each for record in records for each in artifacts.get(record.id, ())]
        if records:
            self.parts.append((records, own))

    def _record(
        self, run: MinedRun, row: Mapping[str, Any], artifacts: Sequence[Artifact]
    ) -> list[TripletRecord]:
        """The record of a row with its sources noted; empty where something is wrong with it."""
        names = run.names.get(row["image_sha256"]) or [row["image_path"]]
        license = self._license(row, names)
        if license is None:
            return []
        record = TripletRecord(
            id=row["triplet"],
            original=row["image_path"],
            neural=row["neural_bitstream"],
            traditional=row["traditional_bitstream"],
            source=row["image"],
            **{name: row[name] for name in CODEC_FACTS},
            labels=tuple(each.label for each in artifacts),
            extra={
                **{name: row[name] for name in (*IMAGE_FACTS, *HASHES.values())},
                **license.columns,
            },
        )
        decided = replace(record, labels=())  # two decisions about one place are united later
        wrong = [phrase for each in record.labels for phrase in _faults(decided, each)]
        wrong += [*contradictions(decided), *boxes_outside(record, row["width"], row["height"])]
        if wrong:
            self._problem(row, " ".join(wrong))
            return []
        self.sources.setdefault(content_key(record), self._sources(run, row, names))
        return [record]

    def _license(self, row: Mapping[str, Any], names: Sequence[str]) -> License | None:
        image = row["image_sha256"], *names
        if image not in self.known:
            self.known[image] = None
            try:
                self.known[image] = self.licenses.of(row["image_sha256"], names)
            except DataError as error:
                self.problems.append(Problem(row["image"], f"{row['image']}: {error}"))
        return self.known[image]

    def _sources(
        self, run: MinedRun, row: Mapping[str, Any], names: Sequence[str]
    ) -> dict[str, ImageFile]:
        path = _path_of(names, self.originals)
        files = {"original": ImageFile("", None, path, row["image_sha256"])}
        for side in SIDES:
            decoded = row.get(f"{side}_decoded")
            there = run.folder / decoded if decoded else None
            codec = run.codec(side)
            stream = run.folder / row[f"{side}_bitstream"]
            files[side] = ImageFile(
                "",
                None,
                str(there.absolute()) if there is not None and there.is_file() else "",
                row[f"{side}_sha256"],
                is_decode=True,
                bitstream=Bitstream(stream, codec, row[f"{side}_version"]) if codec else None,
            )
        return files

    def _problem(self, row: Mapping[str, Any], message: str) -> None:
        subject = row["candidate"] if "candidate" in row else row["triplet"]
        self.problems.append(
            Problem(str(subject), f"{message} It is left out: correct the row, or verify it again.")
        )


_DECODED = tuple(f"{side}_decoded" for side in SIDES)
_OF_ARTIFACTS = (
    *("candidate", "triplet", "detector", "artifact_type", "confidence"),
    *(*EDGES, "duplicate_of"),
)


def _faults(record: TripletRecord, label: Any) -> Iterator[str]:
    yield from contradictions(replace(record, labels=(label,)))


def _artifact(row: Mapping[str, Any], is_voted: bool) -> Artifact:
    """A candidate with its votes; one that nobody was asked about has none for and none against."""
    votes = {name: row.get(name) for name in ("votes_for", "votes_against")}
    if is_voted:
        votes = {name: value or 0 for name, value in votes.items()}
    x0, y0, x1, y1 = (row[edge] for edge in EDGES)
    return Artifact(
        id=row["candidate"],
        triplet=row["triplet"],
        artifact_type=row["artifact_type"],
        box=(x0, y0, x1, y1),
        detector=row["detector"],
        confidence=row["confidence"],
        **votes,
        confirmed=row.get("confirmed"),
        duplicate_of=row["duplicate_of"],
    )


def _free_triplets(run: MinedRun, seed: int) -> Iterator[tuple[Any, str]]:
    """Triplets that all detectors looked at and found nothing in, with what orders them."""
    import pyarrow.compute as pc

    found = set(pc.unique(run.candidates["triplet"]).to_pylist())
    images = set(pc.unique(run.candidates["image_sha256"]).to_pylist())
    rows = list(_columns(run.coded, "triplet", "image_sha256", "scores"))
    detectors = {name for row in rows for name, _ in row["scores"] or ()}
    free: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        if row["triplet"] not in found and {name for name, _ in row["scores"] or ()} == detectors:
            mark = sha256(f"{seed}\0{row['image_sha256']}\0{row['triplet']}".encode())
            free[row["image_sha256"]].append((mark, row["triplet"]))
    for image, own in free.items():
        for place, (mark, triplet) in enumerate(sorted(own)):
            yield (place, image in images, mark), triplet


def _rows_of(coded: pa.Table, triplets: Iterable[str]) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = coded.filter(pc.is_in(coded["triplet"], pa.array(sorted(triplets), pa.string())))
    return list(rows.to_pylist())


def _columns(table: pa.Table, *names: str) -> list[dict[str, Any]]:
    return list(table.select(list(names)).to_pylist())


def _path_of(names: Sequence[str], originals: Path | None) -> str:
    """Where an image lies now, of all places where it was found."""
    if originals is not None:
        for name in names:
            parts = PurePosixPath(name).parts
            for place in range(len(parts)):
                moved = as_on_disk(originals / "/".join(parts[place:]).lstrip("/"))
                if moved.is_file() or Path(tar_of(str(moved)) or "").is_file():
                    return str(moved.absolute())
    there = [name for name in names if not is_url(name) and as_on_disk(name).is_file()]
    first = (there or names)[0]
    return first if is_url(first) else str(Path(first).absolute())


def build_from_config(config: Mapping[str, Any]) -> Assembled:
    """:func:`build` with the settings of ``conf/dataset_build.yaml``, as plain dictionaries."""
    mined = config["mined"] or ()
    return build(
        config["verified"],
        config["folder"],
        unverified=config["unverified"],
        rights=Rights(config["license"], config["source"], config["licenses"]),
        negatives=config["negatives"],
        seed=config["seed"],
        mined=[mined] if isinstance(mined, str) else list(mined),
        originals=config["originals"],
        options=options_from_config(config),
    )


def options_from_config(config: Mapping[str, Any]) -> Options:
    """The options that a configuration has."""
    names = ("title", "images", "iou", "workers", "show_progress")
    return Options(**{name: config[name] for name in names})
