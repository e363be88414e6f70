"""Candidates: places that detectors box in mined images, before people look at them.

A mined folder (``nacd-bench mine``) is read by everything that comes after it through this file::

    settings.json                    what made it: neural and traditional (each with codec, the
                                     keywords of a CodecSpec), detectors, thresholds
    candidates/artifact_type=T/preset=P/part-0.parquet     one row per candidate, see SCHEMA
    coded/preset=P/part-0.parquet    one row per image and operating point, see CODED
    images/part-0.parquet            one row per image, see IMAGES
    bitstreams/ab/<sha256>/          <preset>-neural.bin, <preset>-traditional.bin
    crops/ab/<sha256>/               PNG files, named by the candidates' rows
    encodes/ab/<sha256>/             while it runs: long encodes of what is not done
    decoded/ab/<sha256>/             on request: <preset>-neural.png, <preset>-traditional.png

Paths in the tables are relative to the mined folder, unless they name an image that was mined.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from nacd_bench.errors import DataError
from nacd_bench.triplets.text_files import read_parquet

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP = 50_000
"""Rows of a table's file that are written together."""
CANDIDATES, CODED, IMAGES = "candidates", "coded", "images"
"""Folders of the three tables."""
PARTITIONS = {CANDIDATES: ("artifact_type", "preset"), CODED: ("preset",), IMAGES: ()}
"""Columns that name the subfolders of a table (as Hive does) and are not in its files."""
KEYS = {
    CANDIDATES: ("image_sha256", "preset_index", "detector", "number"),
    CODED: ("image_sha256", "preset_index"),
    IMAGES: ("image_sha256",),
}
"""Columns by which the rows of a table are sorted; no two rows have the same."""


def schema(table: str) -> pa.Schema:
    """Columns of one of the three tables, the partitions included.

    ``candidates``:

    ``candidate``
        id, ``<image>_<preset>_<detector>_<number>``.
    ``image``, ``image_sha256``, ``image_path``, ``width``, ``height``
        id of the image, hash of its file, where it was found first, size in pixels.
    ``triplet``
        ``<image>_<preset>``.
    ``preset``, ``preset_index``
        name of the rate step (``quality-3``), and its place in the order of rising rate, from 0.
    ``neural_codec``, ``neural_version``, ``neural_point``, ``neural_bpp``, ``neural_sha256``
        how the neural result was made; hash of its decoded pixels (:func:`pixels_sha256`).
    ``neural_bitstream``
        path of its bitstream. ``traditional_*`` is likewise.
    ``detector``, ``artifact_type``, ``confidence``, ``number``
        who found it, and its place among the detector's in the triplet, from 0, strongest first.
    ``x0``, ``y0``, ``x1``, ``y1``
        the box in pixels of the original, half-open.
    ``crop_x0`` to ``crop_y1``
        what the crops show: the box and at least 300 x 300 pixels around it, inside the image.
    ``crop_original``, ``crop_neural``, ``crop_traditional``
        paths of the crops, PNG.
    ``duplicate_of``
        the candidate that is the same artifact and is kept, or null for one that is kept itself.

    ``coded`` has the facts of image, preset and codecs, and ``<side>_decoded`` (path, or null
    where decoded images were not kept), ``<side>_bytes``, ``<side>_psnr`` (luma, dB),
    ``<side>_encodes``, ``<side>_out_of_range``, and ``scores``, the image's score by detector.
    ``images`` has ``names`` (every place where the same bytes were found) and ``candidates``
    (how many).
    """
    import pyarrow as pa

    text, number, real = pa.string(), pa.int64(), pa.float64()
    image = [("image", text), ("image_sha256", text), ("image_path", text)]
    image += [("width", number), ("height", number)]
    coded = [*image, ("triplet", text), ("preset", text), ("preset_index", number)]
    for side in ("neural", "traditional"):
        kinds = {"bpp": real}
        names = ("codec", "version", "point", "bpp", "sha256", "bitstream")
        coded += [(f"{side}_{name}", kinds.get(name, text)) for name in names]
    if table == IMAGES:
        return pa.schema([*image, ("names", pa.list_(text)), ("candidates", number)])
    if table == CODED:
        for side in ("neural", "traditional"):
            facts = {"decoded": text, "bytes": real, "psnr": real, "encodes": number}
            facts["out_of_range"] = pa.bool_()
            coded += [(f"{side}_{name}", kind) for name, kind in facts.items()]
        return pa.schema([*coded, ("scores", pa.map_(text, real))])
    boxes = [
        (f"{kind}{edge}", number) for kind in ("", "crop_") for edge in ("x0", "y0", "x1", "y1")
    ]
    found = [("candidate", text), *coded, ("detector", text), ("artifact_type", text)]
    found += [("confidence", real), ("number", number), *boxes]
    found += [(f"crop_{role}", text) for role in ("original", "neural", "traditional")]
    return pa.schema([*found, ("duplicate_of", text)])


def read_mined(folder: str | Path, table: str = CANDIDATES) -> pa.Table:
    """One table of a mined folder, all of its partitions, in the order of :data:`KEYS`.

    Raises:
        DataError: no mined folder, or a file in it that cannot be read.
    """
    import pyarrow as pa

    place = Path(folder) / table
    if not place.is_dir():
        raise DataError(
            f"expected the folder of a nacd-bench mine run, got {folder}, which has no {table}/. "
            "Name the folder that the run printed; one that was stopped first has to go on."
        )
    parts = []
    for path in sorted(place.rglob("*.parquet")):
        part = read_parquet(path)
        for level in path.relative_to(place).parts[:-1]:
            name, _, value = level.partition("=")
            part = part.append_column(name, pa.array([unquote(value)] * len(part), pa.string()))
        try:
            parts.append(part.select(schema(table).names).cast(schema(table)))
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise DataError(
                f"{path}: expected the columns of nacd-bench mine, got others "
                f"({str(error).splitlines()[0]}). Let nacd-bench mine write it again."
            ) from error
    whole = pa.concat_tables(parts) if parts else schema(table).empty_table()
    return whole.sort_by([(name, "ascending") for name in KEYS[table]])


class TablesWriter:
    """Writes the tables of a mined folder in place of what is there, piece by piece.

    Pieces come in the order of :data:`KEYS`. Nothing that is there changes before the end.

    Args:
        folder: the mined folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._waiting: dict[Path, list[pa.Table]] = {}
        self._writers: dict[Path, pq.ParquetWriter] = {}

    def __enter__(self) -> TablesWriter:
        return self

    def add(self, table: str, rows: pa.Table) -> None:
        """Add rows with all columns of the table's schema."""
        import pyarrow.compute as pc

        rows = rows.cast(schema(table)).sort_by([(name, "ascending") for name in KEYS[table]])
        names = list(PARTITIONS[table])
        groups = rows.group_by(names).aggregate([]).to_pylist() if names else [{}]
        for values in groups:
            part = rows
            for name, value in values.items():
                part = part.filter(pc.equal(part[name], value))
            levels = [f"{name}={quote(values[name], safe='')}" for name in names]
            place = Path(self.folder, table, *levels, "part-0.parquet")
            self._waiting.setdefault(place, []).append(part.drop_columns(names))
            if sum(map(len, self._waiting[place])) >= ROW_GROUP:
                self._flush(place)

    def _flush(self, place: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = pa.concat_tables(self._waiting.pop(place))
        if place not in self._writers:
            place.parent.mkdir(parents=True, exist_ok=True)
            self._writers[place] = pq.ParquetWriter(_part(place), rows.schema)
        for start in range(0, len(rows), ROW_GROUP):
            self._writers[place].write_table(rows.slice(start, ROW_GROUP))

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            for place in list(self._waiting):
                self._flush(place)
        for place, writer in self._writers.items():
            writer.close()
            if kind is None:
                _part(place).replace(place)
            else:
                _part(place).unlink(missing_ok=True)
        for table in KEYS if kind is None else ():
            (self.folder / table).mkdir(parents=True, exist_ok=True)
            for old in set((self.folder / table).rglob("*.parquet")) - self._writers.keys():
                old.unlink()


def _part(place: Path) -> Path:
    return place.with_name(f".{place.name}.part")


def kept(candidates: pa.Table) -> pa.Table:
    """The candidates that are no duplicates."""
    import pyarrow.compute as pc

    return candidates.filter(pc.is_null(candidates["duplicate_of"]))


def place_of(kind: str, sha256: str) -> str:
    """The folder of an image's files of a kind, by the hash of its file; 256 folders share them.

    >>> place_of("crops", "c14cddc0aa11ffee")
    'crops/c1/c14cddc0aa11'
    """
    return f"{kind}/{sha256[:2]}/{sha256[:12]}"
