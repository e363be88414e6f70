"""Data sets: built from verified candidates, merged, counted, checked, read by others."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from checks import csv_rows, fails
from mined_folder import make_mined
from PIL import Image
from processes import Starter
from test_readme import blocks

from nacd_bench.cli.main import main
from nacd_bench.coding.originals import read_named
from nacd_bench.errors import DataError, UserError
from nacd_bench.jobs.dataset.build import Built, build
from nacd_bench.jobs.dataset.check import check
from nacd_bench.jobs.dataset.sources import _path_of, read_verified
from nacd_bench.report.data_card import card, dataset_stats, markdown, table_one
from nacd_bench.runs.candidates import TablesWriter, kept, read_mined
from nacd_bench.runs.dataset import (
    ARTIFACTS,
    COCO,
    TRIPLETS,
    Artifact,
    dataset_of,
    read_dataset,
)
from nacd_bench.runs.schema import CANDIDATES, CODED, schema
from nacd_bench.runs.unite import Part, distinct_names, unite
from nacd_bench.triplets.images import pixels_sha256
from nacd_bench.triplets.licenses import License, LicenseTable
from nacd_bench.triplets.manifest import read_manifest
from nacd_bench.triplets.record import TripletRecord, is_clean, presence

QUIET: dict[str, Any] = {"workers": 0, "show_progress": False}
Decide = Callable[[int, dict[str, Any]], bool | None]


def by_thirds(number: int, row: dict[str, Any]) -> bool | None:
    """Two of three are confirmed, one is refused, and one of nine is not decided."""
    return None if number % 9 == 8 else number % 3 != 2


def verify(
    mined: Path, folder: Path, decide: Decide = by_thirds, change: dict[str, Any] | None = None
) -> Path:
    """What ``verify import`` leaves of the candidates of a mined folder."""
    rows = kept(read_mined(mined)).to_pylist()
    for number, row in enumerate(rows):
        confirmed = decide(number, row)
        row |= {"confirmed": confirmed, "run": str(mined.absolute())}
        row |= {"votes_for": 2 if confirmed else 0, "votes_against": 1 if confirmed else 3}
        row |= change or {}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema("verified")), folder / "verified.parquet"
    )
    return folder


@pytest.fixture(scope="module")
def original_mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mined = make_mined(tmp_path_factory.mktemp("mine") / "mined", images=3, seed=4)
    shutil.rmtree(mined / "crops")  # data sets do not need them
    return mined


@pytest.fixture(scope="module")
def other_mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first of the same images with other candidates."""
    return make_mined(tmp_path_factory.mktemp("mine") / "other", images=1, seed=9)


@pytest.fixture(scope="module")
def original_built(original_mined: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    place = tmp_path_factory.mktemp("built")
    verified = verify(original_mined, place / "verified")
    (verified / "summary.json").write_text(json.dumps({"rule": "any", "raters": {"all": 3}}))
    return build(verified, place / "data", license="CC-BY-4.0", source="Kodak", **QUIET)


@pytest.fixture
def mined(original_mined: Path, tmp_path: Path) -> Path:
    """A copy to damage; its photographs are copied too."""
    photos = original_mined.parent / f"{original_mined.name}-photos"
    shutil.copytree(photos, tmp_path / photos.name)
    shutil.copytree(original_mined, tmp_path / "mined")
    for table in (CANDIDATES, CODED, "images"):
        rows = read_mined(tmp_path / "mined", table).to_pylist()
        for row in rows:
            row["image_path"] = row["image_path"].replace(str(original_mined.parent), str(tmp_path))
            if table == "images":
                row["names"] = [row["image_path"]]
        rewrite(tmp_path / "mined", table, rows)
    return tmp_path / "mined"


@pytest.fixture
def built(original_built: Built, tmp_path: Path) -> Path:
    """A copy of a data set, to damage."""
    return Path(shutil.copytree(original_built.folder, tmp_path / "data"))


def rewrite(mined: Path, table: str, rows: list[dict[str, Any]]) -> None:
    """Put other rows in place of a table of a mined folder."""
    with TablesWriter(mined) as tables:
        for each in (CANDIDATES, CODED, "images"):
            whole = read_mined(mined, each)
            tables.add(each, pa.Table.from_pylist(rows, schema(each)) if each == table else whole)


def both(folder: Path, *mined: Path) -> Path:
    """The verified candidates of several mined folders in one table."""
    parts = [pq.read_table(verify(each, folder / f"of {each.name}")) for each in mined]
    (folder / "both").mkdir()
    pq.write_table(pa.concat_tables(parts), folder / "both" / "verified.parquet")
    return folder / "both"


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.lock"
    }


def record(name: str = "a", **facts: Any) -> TripletRecord:
    """A triplet of a data set that is nowhere on the disk."""
    extra = {
        "image_sha256": "0" * 64,
        "width": 400,
        "height": 400,
        "preset": "low",
        "preset_index": 0,
        "neural_sha256": "1" * 64,
        "traditional_sha256": "2" * 64,
        "license": "unknown",
    }
    own = {key: facts.pop(key) for key in list(facts) if key in {*extra, "author", "source_url"}}
    known = {"source": "image", "neural_codec": "vm", "neural_version": "1", "neural_bpp": 0.1}
    paths = (f"{name}-o.png", f"{name}-n.png", f"{name}-t.png")
    return TripletRecord(name, *paths, **{**known, **facts}, extra={**extra, **own})


def artifact(name: str = "x", triplet: str = "a", **facts: Any) -> Artifact:
    known = {"artifact_type": "color", "box": (0, 0, 300, 300), "detector": "large_color"}
    votes = {"votes_for": 2, "votes_against": 1, "confirmed": True}
    return Artifact(id=name, triplet=triplet, **{**known, **votes, **facts})


class TestBuild:
    def test_what_is_confirmed_is_there_with_all_that_is_known(
        self, original_built: Built, original_mined: Path
    ) -> None:
        folder = original_built.folder
        records = read_manifest(folder / TRIPLETS)
        rows = pq.read_table(folder / ARTIFACTS).to_pylist()
        candidates = kept(read_mined(original_mined)).to_pylist()
        decided = {row["candidate"]: by_thirds(i, row) for i, row in enumerate(candidates)}
        wanted = {row["triplet"] for row in candidates if decided[row["candidate"]]}
        assert {each.id for each in records} == wanted
        own = {row["candidate"]: row for row in rows}
        assert set(own) >= {r["candidate"] for r in candidates if r["triplet"] in wanted}
        for row in candidates:
            if row["triplet"] in wanted:
                got = own[row["candidate"]]
                assert got["confirmed"] == decided[row["candidate"]]
                assert [got[e] for e in ("x0", "y0", "x1", "y1")] == [
                    row[e] for e in ("x0", "y0", "x1", "y1")
                ]
                assert got["neural_point"] == row["neural_point"]
        assert not original_built.failures
        for each in records:
            assert each.source == own[next(r for r in own if r.startswith(each.id))]["image"]
            assert each.neural_codec == "webp" and each.traditional_codec == "jpeg"
            assert each.extra["license"] == "CC-BY-4.0"
            assert each.extra["attribution"] == "Kodak, CC-BY-4.0"

    def test_images_are_those_that_were_mined(
        self, original_built: Built, original_mined: Path
    ) -> None:
        coded = {row["triplet"]: row for row in read_mined(original_mined, CODED).to_pylist()}
        for each in read_manifest(original_built.folder / TRIPLETS):
            row = coded[each.id]
            assert Path(each.original).read_bytes() == Path(row["image_path"]).read_bytes()
            for side in ("neural", "traditional"):
                pixels = np.asarray(Image.open(getattr(each, side)))
                assert (
                    pixels_sha256(pixels) == row[f"{side}_sha256"] == each.extra[f"{side}_sha256"]
                )

    def test_it_is_whole_and_sha256sum_agrees(self, original_built: Built) -> None:
        done = check(original_built.folder)
        assert done.faults == [] and done.remarks == []
        assert done.triplets == len(original_built.dataset.records)
        if shutil.which("sha256sum"):
            command = ["sha256sum", "--strict", "-c", "checksums.sha256"]
            subprocess.run(command, cwd=original_built.folder, check=True, capture_output=True)

    def test_a_place_that_nobody_was_asked_about_is_no_clean_image(self, mined: Path) -> None:
        """A duplicate of what is at a higher rate is not labelled by anybody, and still there."""
        rows = read_mined(mined).to_pylist()
        low = next(row for row in rows if row["preset_index"] == 0)
        high = next(r for r in rows if r["image"] == low["image"] and r["preset_index"] == 1)
        same = {name: high[name] for name in ("x0", "y0", "x1", "y1")}
        texture = {"artifact_type": "texture", "detector": "texture", "duplicate_of": None}
        color = {
            **low,
            "artifact_type": "color",
            "candidate": "the color one",
            "duplicate_of": None,
        }
        high |= texture
        low |= {**texture, **same, "duplicate_of": high["candidate"]}
        rewrite(mined, CANDIDATES, [low, high, color])
        done = build(
            verify(mined, mined.parent / "verified", lambda *_: True),
            mined.parent / "data",
            **QUIET,
        )
        (own,) = [r for r in done.dataset.records if r.id == low["triplet"]]
        assert presence(own, "color") is True and presence(own, "texture") is None
        (twin,) = [a for a in done.dataset.artifacts if a.id == low["candidate"]]
        assert twin.duplicate_of == high["candidate"] and not twin.counts
        assert (twin.votes_for, twin.votes_against, twin.confirmed) == (0, 0, None)

    def test_it_goes_on_where_it_was(self, original_mined: Path, tmp_path: Path) -> None:
        verified = verify(original_mined, tmp_path / "verified")
        whole = build(verified, tmp_path / "data", **QUIET).folder
        before = files(whole)
        images = sorted((whole / "images").rglob("*.png"))
        times = {path: path.stat().st_mtime_ns for path in images}
        images[0].unlink()
        images[-1].write_bytes(b"half")
        (whole / "checksums.sha256").unlink()
        (whole / "images" / "neural" / ".a.png.123.part").write_bytes(b"")
        (whole / "images" / "neural" / "left.png").write_bytes(b"of another time")
        build(verified, whole, **QUIET)
        assert files(whole) == before
        changed = [path for path in images if path.stat().st_mtime_ns != times[path]]
        assert changed == [images[0], images[-1]]

    def test_kill_9(self, original_mined: Path, tmp_path: Path, starter: Starter) -> None:
        verified = verify(original_mined, tmp_path / "verified", lambda *_: True)
        settings = (f"folder={tmp_path}/killed", "workers=0", "show_progress=false")
        process = starter.command("dataset", "build", str(verified), *settings)
        images = tmp_path / "killed" / "images" / "neural"
        while process.poll() is None and not (images.is_dir() and any(images.iterdir())):
            time.sleep(0.002)
        process.send(signal.SIGKILL)
        process.wait()
        again = build(verified, tmp_path / "killed", **QUIET)
        undisturbed = build(verified, tmp_path / "undisturbed", **QUIET)
        assert files(again.folder) == files(undisturbed.folder)

    def test_processes_make_the_same(self, original_mined: Path, tmp_path: Path) -> None:
        verified = verify(original_mined, tmp_path / "verified")
        one = build(verified, tmp_path / "one", **QUIET)
        two = build(verified, tmp_path / "two", workers=2, show_progress=False)
        assert files(one.folder) == files(two.folder)

    def test_decoded_images_that_were_kept_are_taken(self, mined: Path, tmp_path: Path) -> None:
        keep_decoded(mined)
        shutil.rmtree(mined / "bitstreams")
        done = build(verify(mined, tmp_path / "verified"), tmp_path / "data", **QUIET)
        assert not done.failures and check(done.folder).faults == []

    def test_references(self, mined: Path, tmp_path: Path) -> None:
        verified = verify(mined, tmp_path / "verified")
        refer = {**QUIET, "images": "references"}
        with pytest.raises(DataError, match=r"decoded image to refer to, got none.*images=copy"):
            build(verified, tmp_path / "none", **refer)
        keep_decoded(mined)
        done = build(verified, tmp_path / "data", **refer)
        assert not done.failures and not (done.folder / "images").exists()
        records = read_manifest(done.folder / TRIPLETS)
        assert all(Path(each.neural).is_relative_to(mined / "decoded") for each in records)
        coco = json.loads((done.folder / COCO).read_text())
        assert Path(coco["images"][0]["file_name"]).is_absolute()
        assert check(done.folder).faults == []
        Image.fromarray(np.zeros((310, 420, 3), np.uint8)).save(records[0].neural)
        assert "Images are not in this folder" in (done.folder / "README.md").read_text()
        (fault, *_) = check(done.folder).faults
        assert "neural: expected the image with SHA-256" in fault

    def test_moved_folders(self, mined: Path, tmp_path: Path) -> None:
        verified = verify(mined, tmp_path / "verified")
        moved = mined.rename(tmp_path / "elsewhere")
        photos = (tmp_path / "mined-photos").rename(tmp_path / "other-photos")
        fails(DataError, "mined=FOLDER", build, verified, tmp_path / "data", **QUIET)
        shutil.rmtree(tmp_path / "data")
        done = build(verified, tmp_path / "data", mined=[moved], originals=photos, **QUIET)
        assert not done.failures

    def test_originals_in_a_tar_file(self, original_mined: Path, tmp_path: Path) -> None:
        photo = next((original_mined.parent / "mined-photos").iterdir())
        with tarfile.open(tmp_path / "s.tar", "w") as tar:
            tar.add(photo, photo.name)
        place = f"{tmp_path}/s.tar/{photo.name}"
        assert _path_of([f"gone/s.tar/{photo.name}"], tmp_path) == place
        assert read_named(f"{tmp_path}/s.tar/{photo.name}") == photo.read_bytes()
        fsspec.filesystem("memory").pipe("/s.tar", (tmp_path / "s.tar").read_bytes())
        assert read_named(f"memory://s.tar/{photo.name}") == photo.read_bytes()
        with pytest.raises(
            UserError, match=r"s\.tar.*expected an image file, got nothing of that name"
        ):
            read_named(f"{tmp_path}/s.tar/other.png")
        fails(UserError, "got nothing of that name", read_named, f"{tmp_path}/t.tar/other.png")

    def test_runs_of_other_detectors_are_refused(
        self, original_mined: Path, other_mined: Path, tmp_path: Path
    ) -> None:
        made = []
        for name, mined, version in (("older", original_mined, "1"), ("newer", other_mined, "99")):
            made.append(shutil.copytree(mined, tmp_path / name))
            settings = json.loads((made[-1] / "settings.json").read_text())
            settings["detectors"] = {"texture": {"version": version}}
            (made[-1] / "settings.json").write_text(json.dumps(settings))
        with pytest.raises(DataError, match=r"texture\.version: .*99 in .*newer"):
            build(made, tmp_path / "data", unverified=True, **QUIET)

    def test_two_mined_folders(
        self, original_mined: Path, other_mined: Path, tmp_path: Path
    ) -> None:
        done = build(both(tmp_path, original_mined, other_mined), tmp_path / "data", **QUIET)
        assert not done.failures and len(done.dataset.settings["runs"]) == 1  # both are alike
        assert check(done.folder).faults == []


def keep_decoded(mined: Path) -> None:
    """Make a mined folder one that kept its decoded images."""
    from nacd_bench.coding.sides import CodecSpec

    settings = json.loads((mined / "settings.json").read_text())
    changed = read_mined(mined, CODED).to_pylist()
    for row in changed:
        for side in ("neural", "traditional"):
            codec = CodecSpec(**settings[side]["codec"]).build()
            pixels = codec.decode((mined / row[f"{side}_bitstream"]).read_bytes())
            row[f"{side}_decoded"] = f"decoded/{row['triplet']}-{side}.png"
            (mined / "decoded").mkdir(exist_ok=True)
            Image.fromarray(pixels).save(mined / row[f"{side}_decoded"])
    rewrite(mined, CODED, changed)


class TestBadInput:
    def test_nothing_confirmed(self, original_mined: Path, tmp_path: Path) -> None:
        verified = verify(original_mined, tmp_path / "verified", lambda *_: False)
        with pytest.raises(DataError, match=r"at least one confirmed artifact, got \d+ rows"):
            build(verified, tmp_path / "data", **QUIET)
        assert not (tmp_path / "data").exists()

    def test_what_is_named_is_no_verified_table(self, tmp_path: Path, mined: Path) -> None:
        fails(DataError, r"which has no verified\.parquet", read_verified, tmp_path)
        (tmp_path / "verified.parquet").write_bytes(b"PAR1 no")
        with pytest.raises(DataError, match="expected a Parquet file, got one that cannot be read"):
            read_verified(tmp_path)
        pq.write_table(pa.table({"candidate": ["a"]}), tmp_path / "verified.parquet")
        fails(DataError, "got none of the name image, image_sha256", read_verified, tmp_path)
        verify(mined, tmp_path)
        table = pq.read_table(tmp_path / "verified.parquet")
        text = pa.array(["much"] * len(table))
        place = table.column_names.index("votes_for")
        pq.write_table(table.set_column(place, "votes_for", text), tmp_path / "verified.parquet")
        with pytest.raises(DataError, match="expected values as nacd-bench writes them"):
            read_verified(tmp_path / "verified.parquet")
        verify(mined, tmp_path)
        (tmp_path / "summary.json").write_text("{")
        fails(
            DataError, "expected the summary of the verification as JSON", read_verified, tmp_path
        )

    def test_a_mined_folder_only_when_asked_for(self, original_mined: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"on which nobody voted.*unverified=true"):
            build(original_mined, tmp_path / "data", **QUIET)
        done = build(original_mined, tmp_path / "data", unverified=True, **QUIET)
        found = [each for each in done.dataset.artifacts if each.counts]
        assert len(found) == len(kept(read_mined(original_mined)))
        assert all(each.confirmed is None for each in found)
        assert "were not verified by anybody" in (done.folder / "README.md").read_text()
        assert dataset_stats(done.dataset)["verified"] == 0

    def test_faults_of_images_cost_their_triplets(self, mined: Path, tmp_path: Path) -> None:
        found = {row["triplet"] for row in kept(read_mined(mined)).to_pylist()}
        by_image: dict[str, list[dict[str, Any]]] = {}
        for row in read_mined(mined, CODED).to_pylist():
            if row["triplet"] in found:
                by_image.setdefault(row["image"], []).append(row)
        gone, changed, damaged = sorted(by_image.values(), key=len)
        Path(gone[0]["image_path"]).unlink()
        Path(changed[0]["image_path"]).write_bytes(Path(damaged[0]["image_path"]).read_bytes())
        (mined / damaged[0]["neural_bitstream"]).unlink()
        other = mined / damaged[0]["traditional_bitstream"]
        shutil.copyfile(other, mined / damaged[1]["traditional_bitstream"])
        verified = verify(mined, tmp_path / "verified", lambda *_: True)
        with pytest.raises(DataError, match=r"at least one triplet.*failures\.csv"):
            build(verified, tmp_path / "data", **QUIET)
        lines = {
            each["item"]: each["step"] + ": " + each["message"]
            for each in csv_rows(tmp_path / "data" / "failures.csv")
        }
        for row in gone:
            assert re.search("original: .*got nothing of that name", lines[row["triplet"]])
        for row in changed:
            assert re.search(
                "original: .*the bytes that were mined.*got others", lines[row["triplet"]]
            )
        assert "neural: " in lines[damaged[0]["triplet"]]
        assert "expected a bitstream of the mined folder, got" in lines[damaged[0]["triplet"]]
        wrong = lines[damaged[1]["triplet"]]
        assert re.search(
            r"traditional: .*to the pixels that were mined.*The codec was '.*Pil", wrong
        )
        assert "decoded=true" in wrong

    def test_the_others_are_built(self, mined: Path, tmp_path: Path) -> None:
        row = read_mined(mined, CODED).to_pylist()[0]
        (mined / row["neural_bitstream"]).write_bytes(b"no WebP")
        verified = verify(mined, tmp_path / "verified", lambda *_: True)
        arguments = ["dataset", "build", str(verified), f"folder={tmp_path}/data", "workers=0"]
        assert main([*arguments, "show_progress=false"]) == 1
        assert [each["item"] for each in csv_rows(tmp_path / "data" / "failures.csv")] == [
            row["triplet"]
        ]
        assert check(tmp_path / "data").faults == []
        ids = {each.id for each in read_dataset(tmp_path / "data").records}
        assert ids and row["triplet"] not in ids

    def test_a_codec_that_is_not_there(self, mined: Path, tmp_path: Path) -> None:
        settings = json.loads((mined / "settings.json").read_text())
        settings["neural"]["codec"]["name"] = "gone"
        (mined / "settings.json").write_text(json.dumps(settings))
        verified = verify(mined, tmp_path / "verified")
        with pytest.raises(DataError, match=r"expected codec gone to decode .*Install it as for"):
            build(verified, tmp_path / "data", **QUIET)
        del settings["neural"]["codec"]
        (mined / "settings.json").write_text(json.dumps(settings))
        fails(
            DataError, "got none: they were not kept", build, verified, tmp_path / "other", **QUIET
        )

    def test_a_codec_that_takes_its_process_down(self) -> None:
        from nacd_bench.jobs.dataset.images import ImageFile, _died

        assert "died (crash or out of memory)" in _died(ImageFile("a", "b", ""))[1]

    def test_rows_that_were_edited(self, mined: Path, tmp_path: Path) -> None:
        verified = verify(mined, tmp_path / "verified", lambda *_: True)
        table = pq.read_table(verified / "verified.parquet")
        rows = table.to_pylist()
        rows[0]["detector"] = None
        triplets = list(dict.fromkeys(row["triplet"] for row in rows))
        outside = next(row for row in rows if row["triplet"] == triplets[-1])
        outside["x1"] = 5000
        pq.write_table(
            pa.Table.from_pylist(rows, schema=table.schema), verified / "verified.parquet"
        )
        done = build(verified, tmp_path / "data", **QUIET)
        lines = {each.item: str(each) for each in done.failures}
        assert "got an empty cell in detector" in lines[rows[0]["candidate"]]
        assert any("expected boxes inside" in line and "5000" in line for line in lines.values())
        assert len(done.failures) == 2
        assert triplets[-1] not in {each.id for each in done.dataset.records}

    def test_a_row_that_is_there_twice(self, mined: Path, tmp_path: Path) -> None:
        """Once confirmed and once refused: nobody knows."""
        verified = verify(mined, tmp_path / "verified", lambda *_: True)
        table = pq.read_table(verified / "verified.parquet")
        rows = table.to_pylist()
        rows.append({**rows[0], "confirmed": False, "votes_for": 0, "votes_against": 2})
        pq.write_table(
            pa.Table.from_pylist(rows, schema=table.schema), verified / "verified.parquet"
        )
        done = build(verified, tmp_path / "data", **QUIET)
        (problem,) = done.failures
        assert "expected one decision" in str(problem) and "2 votes for and 3 against" in str(
            problem
        )
        assert check(done.folder).faults == []

    def test_one_of_two_mined_folders_is_damaged(
        self, mined: Path, other_mined: Path, tmp_path: Path
    ) -> None:
        other = Path(shutil.copytree(other_mined, tmp_path / "other"))
        verified = both(tmp_path, mined, other)
        next((other / CODED).rglob("*.parquet")).write_bytes(b"no table")
        (problem,) = build(verified, tmp_path / "data", **QUIET).failures
        assert problem.item == str(other.absolute())
        assert re.search(r"cannot be read.* \d+ candidates are left out", str(problem))

    def test_a_folder_that_holds_something_else(self, original_mined: Path, built: Path) -> None:
        verified = verify(original_mined, built.parent / "verified")
        full = built.parent / "full"
        full.mkdir()
        (full / "thesis.tex").write_text("a year")
        with pytest.raises(DataError, match=r"expected an empty folder .* with thesis\.tex"):
            build(verified, full, **QUIET)
        with pytest.raises(DataError, match="expected the settings with which the run"):
            build(verified, built, iou=0.4, **QUIET)
        (full / "settings.json").write_text('{"job": "mine"}')
        fails(DataError, r"job: 'mine' before, 'dataset build' now", build, verified, full, **QUIET)
        (full / "settings.json").write_text("[")
        fails(DataError, "expected the settings of the run as JSON", build, verified, full, **QUIET)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"images": "move"}, "unknown images 'move'"),
            ({"iou": 3}, "expected iou as a number of at least 0 and up to 1 or null, got 3"),
            ({"workers": -1}, "expected workers as a whole number of at least 0 or null"),
            ({"negatives": -1}, "expected negatives as a whole number of at least 0, got -1"),
        ],
    )
    def test_options(self, given: dict[str, Any], message: str, tmp_path: Path) -> None:
        fails(UserError, message, build, tmp_path, tmp_path / "data", **given)

    def test_odd_ids(self, mined: Path, tmp_path: Path) -> None:
        """Names with slashes, formulas and line breaks, in files, tables and lists of failures."""
        for table in (CANDIDATES, CODED):
            changed = read_mined(mined, table).to_pylist()
            for row in changed:
                row["image"] = f"=cmd|../../{row['image']}\n|é"
                row["triplet"] = f"{row['image']}_{row['preset']}"
                if table == CANDIDATES:
                    number = f"{row['detector']}_{row['number']}"
                    row |= {"candidate": f"{row['triplet']}_{number}", "duplicate_of": None}
            rewrite(mined, table, changed)
        (mined / read_mined(mined, CODED).to_pylist()[0]["neural_bitstream"]).unlink()
        verified = verify(mined, tmp_path / "verified", lambda *_: True)
        done = build(verified, tmp_path / "data", **QUIET)
        assert check(done.folder).faults == []
        (failed,) = csv_rows(done.folder / "failures.csv")
        assert failed["item"].startswith("'=cmd")
        inside = {path.parent.name for path in (done.folder / "images").rglob("*.png")}
        assert inside == {"original", "neural", "traditional"}


class TestNegatives:
    def test_triplets_without_any_candidate(self, mined: Path, tmp_path: Path) -> None:
        keep = [row for row in read_mined(mined).to_pylist() if row["preset_index"] == 1]
        rewrite(mined, CANDIDATES, keep)
        verified = verify(mined, tmp_path / "verified", lambda *_: True)
        done = build(verified, tmp_path / "data", negatives=2, **QUIET)
        free = [each for each in done.dataset.records if each.artifact_free]
        assert len(free) == 2 and len({each.source for each in free}) == 2
        assert all(each.extra["preset_index"] == 0 and not each.labels for each in free)
        assert "Nobody looked at the 2 triplets" in (done.folder / "README.md").read_text()
        assert check(done.folder).faults == [] and not done.failures
        again = build(verified, tmp_path / "again", negatives=2, **QUIET)
        assert files(again.folder) == files(done.folder)

    def test_what_people_refused_altogether_is_there_and_clean(
        self, mined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rewrite(
            mined, CANDIDATES, [{**r, "duplicate_of": None} for r in read_mined(mined).to_pylist()]
        )
        first = read_mined(mined).to_pylist()[0]
        verified = verify(
            mined, tmp_path / "verified", lambda _, row: row["image"] == first["image"]
        )
        folder = tmp_path / "a data set"
        assert main(["dataset", "build", str(verified), f"folder={folder}", "workers=0"]) == 0
        records = read_dataset(folder).records
        refused = [each for each in records if each.source != first["image"]]
        assert refused and all(map(is_clean, refused))
        assert not any(is_clean(each) for each in records if each.source == first["image"])
        assert not any(each.artifact_free for each in records)
        stats = dataset_stats(read_dataset(folder))
        assert stats["refused_triplets"] == len(refused)
        assert (
            f"{len(refused)} triplets in which people refused" in (folder / "README.md").read_text()
        )
        assert check(folder).faults == []
        printed = " ".join(capsys.readouterr().out.split()).partition("Next: nacd-bench ")[2]
        few = ["detector=[large_color,texture]", "baseline=[psnr]", "bootstrap.resamples=50"]
        command = [*shlex.split(printed), *few, f"folder={tmp_path}/b", "logger=none"]
        assert main([*command, f"cache={tmp_path}/c", "show_progress=false"]) == 0
        text = (tmp_path / "b" / "report" / "index.html").read_text()
        assert "few images (sources with the artifact: 1," in text
        assert "left out of the localisation of large_color" in text and 'class="best"' not in text

    def test_a_benchmark_that_cannot_run_is_not_advised(
        self, mined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        rows = [row for row in read_mined(mined).to_pylist() if row["artifact_type"] == "color"]
        rewrite(mined, CANDIDATES, [{**row, "duplicate_of": None} for row in rows])
        verified = verify(mined, tmp_path / "verified", lambda *_: True)
        assert main(["dataset", "build", str(verified), f"folder={tmp_path}/d", "workers=0"]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "nacd-bench benchmark" not in printed and "No test set can be drawn" in printed
        status = main(["benchmark", f"{tmp_path}/d", f"folder={tmp_path}/b", "logger=none"])
        assert status == 1 and "0 free of 0 originals" in capsys.readouterr().err

    def test_too_few_are_said(self, original_mined: Path, tmp_path: Path) -> None:
        verified = verify(original_mined, tmp_path / "verified")
        (problem,) = build(verified, tmp_path / "data", negatives=1000, **QUIET).failures
        assert "expected 1000 triplets in which nothing was found" in str(problem)

    def test_what_a_detector_did_not_look_at_is_not_free(self, mined: Path, tmp_path: Path) -> None:
        keep = [row for row in read_mined(mined).to_pylist() if row["preset_index"] == 1]
        rewrite(mined, CANDIDATES, keep)
        changed = read_mined(mined, CODED).to_pylist()
        for row in changed:
            row["scores"] = row["scores"][1:] if row["preset_index"] == 0 else row["scores"]
        rewrite(mined, CODED, changed)
        verified = verify(mined, tmp_path / "verified", lambda *_: True)
        done = build(verified, tmp_path / "data", negatives=1, **QUIET)
        assert not any(each.artifact_free for each in done.dataset.records)


class TestLicenses:
    def table(self, folder: Path, *lines: str) -> str:
        path = folder / "licenses.csv"
        path.write_text("\n".join(["image,license,source,author,url", *lines]))
        return str(path)

    def test_names_that_find_an_image(self, tmp_path: Path) -> None:
        digest = "ab" * 32
        table = self.table(
            tmp_path,
            "a/one.png,CC-BY-4.0,Kodak,Ann,https://example.org/1",
            "two.png,CC0-1.0,,,",
            "three,MIT,,,",
            f"{digest.upper()},ODbL,https://example.org/set,,",
            "b\\five.png,X,,,",
        )
        found = LicenseTable(table, License("own", "mine"))
        one = found.of("0", ["/data/a/one.png"])
        assert one == License("CC-BY-4.0", "Kodak", "https://example.org/1", "Ann")
        assert one.columns["attribution"] == "Ann, Kodak, CC-BY-4.0"
        assert found.of("0", ["/data/b/one.png"]).license == "own"
        assert found.of("0", ["x/two.png"]) == License("CC0-1.0", "mine")
        assert found.of("0", ["shard.tar/three.jpg"]).license == "MIT"
        assert found.of("0", ["b/five.png"]).license == "X"
        assert found.of(digest, ["z.png"]).source_url == "https://example.org/set"

    def test_contradictions(self, tmp_path: Path) -> None:
        lines = ("one.png,CC-BY-4.0,,,", "one,MIT,,,", "two.png,MIT,,,", "twin.png,CC0-1.0,,,")
        found = LicenseTable(self.table(tmp_path, *lines))
        with pytest.raises(DataError, match=r"row 1: CC-BY-4\.0, .*row 2: MIT.*Correct the table"):
            found.of("0", ["one.png"])
        fails(
            DataError, r"row 3: MIT, .*row 4: CC0-1\.0", found.of, "0", ["a/two.png", "b/twin.png"]
        )
        assert found.of("0", ["two.png"]).license == "MIT"

    def test_a_table_that_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "licenses.csv"
        path.write_text("file,license\na,MIT\n")
        with pytest.raises(DataError, match=r"expected the columns image and license, .*got file"):
            LicenseTable(str(path))
        path.write_text("image,license\n,MIT\n")
        fails(
            DataError, "row 1: expected the name of an image, got nothing", LicenseTable, str(path)
        )
        path.write_text("image,license\na,MIT,more\n")
        fails(DataError, "expected 2 cells as in the header, got 3", LicenseTable, str(path))

    def test_in_a_data_set(self, original_mined: Path, tmp_path: Path) -> None:
        """Known, unknown and contradictory ones; the image of the last is left out."""
        table = self.table(tmp_path, "photo0,CC-BY-4.0,,,", "photo2,MIT,,,", "photo2.png,GPL,,,")
        done = build(
            verify(original_mined, tmp_path / "verified", lambda *_: True),
            tmp_path / "data",
            licenses=table,
            **QUIET,
        )
        (problem,) = done.failures
        assert problem.item.startswith("photo2-") and "contradict each other" in str(problem)
        licenses = {r.source[:6]: r.extra["license"] for r in done.dataset.records if r.source}
        assert licenses == {"photo0": "CC-BY-4.0", "photo1": "unknown"}
        text = (done.folder / "README.md").read_text()
        assert "**The licence of 1 of 2 images is unknown.**" in text
        assert yaml.safe_load(text.split("---\n")[1])["license"] == ["cc-by-4.0", "unknown"]
        checked = check(done.folder)
        assert checked.faults == [] and checked.remarks == [
            "the licence of 1 of 2 images is unknown."
        ]
        assert check(done.folder, require_licenses=True).faults == checked.remarks
        coco = json.loads((done.folder / COCO).read_text())
        names = {each["id"]: each["name"] for each in coco["licenses"]}
        assert {names[each["license"]] for each in coco["images"]} == set(licenses.values())

    def test_the_same_bytes_under_other_names_in_another_folder(
        self, original_mined: Path, other_mined: Path, tmp_path: Path
    ) -> None:
        """One table of licences speaks of an image of either mined folder, and differently."""
        other = Path(shutil.copytree(other_mined, tmp_path / "other"))
        for table in (CANDIDATES, "images"):
            rows = read_mined(other, table).to_pylist()
            for row in rows:
                named = {"names": ["a/twin.png"]} if table == "images" else {}
                row |= {"image_path": "a/twin.png", **named}
            rewrite(other, table, rows)
        done = build(
            both(tmp_path, original_mined, other),
            tmp_path / "data",
            licenses=self.table(tmp_path, "photo0,MIT,,,", "twin,CC0-1.0,,,"),
            **QUIET,
        )
        (problem,) = done.failures
        assert "expected one licence for an image, got CC0-1.0" in str(problem)
        assert not any("photo0" in str(each.source) for each in done.dataset.records)


class TestCard:
    def test_counts_header_and_verification(self, original_built: Built) -> None:
        text = (original_built.folder / "README.md").read_text()
        header = yaml.safe_load(text.split("---\n")[1])
        assert header["license"] == "cc-by-4.0" and header["size_categories"] == ["n<1K"]
        assert [each["data_files"] for each in header["configs"]] == [ARTIFACTS, TRIPLETS]
        stats = dataset_stats(original_built.dataset)
        total = sum(stats["by_type"].values())
        assert (
            total == stats["artifacts"] == sum(a.counts for a in original_built.dataset.artifacts)
        )
        assert f"| total | {' | '.join(map(str, stats['by_type'].values()))} | {total} |" in text
        assert "| raters, all | 3 |" in text and "| rule | any |" in text
        assert "| neural, codec, name | webp |" in text

    def test_warnings_of_the_verification(
        self, original_mined: Path, tmp_path: Path, capsys
    ) -> None:
        """In the card of the data set, of one that is built of it, and on the console."""
        verified = verify(original_mined, tmp_path / "verified")
        told = {"warnings": ["No more than chance."]}
        (verified / "summary.json").write_text(json.dumps(told))
        for source, folder in ((verified, tmp_path / "a"), (tmp_path / "a", tmp_path / "b")):
            options = [f"folder={folder}", "workers=0", "show_progress=false"]
            assert main(["dataset", "build", str(source), *options]) == 0
            assert "Warning: No more than chance." in capsys.readouterr().out
            text = (folder / "README.md").read_text()
            assert "**Warning.** No more than chance." in text
            assert "detectors and raters say that a neural codec" in text

    def test_hostile_texts(self) -> None:
        from markdown_it import MarkdownIt

        bad = "<script>alert(1)</script> | ![x](y) [a](javascript:b) `c` **d**\n\n# e\n---\n| f |"
        own = record("a`|<img src=x onerror=1>\n# b", license=bad, author=bad, source_url=bad)
        own = dataclasses.replace(own, source=bad, neural_version=bad, neural_codec=bad)
        settings = {"runs": [{"neural": {"codec": {"name": bad}}}], "verification": [{bad: bad}]}
        settings["verification"].append({"x": "```\n<script>"})
        text = card(dataset_of([own], [artifact(triplet=own.id)], settings), bad)
        assert yaml.safe_load(text.split("---\n")[1])["license"] == "other"
        html = (
            MarkdownIt("commonmark", {"html": True})
            .enable("table")
            .render(text.split("---\n", 2)[2])
        )
        for part in ("<script", "<img", 'javascript:b"', "<strong>d", "<code>c<"):
            assert part not in html, part
        known = "h[12]|p|table|thead|tbody|tr|th|td|strong|a|code|pre|ul|li"
        assert all(re.fullmatch(known, tag) for tag in re.findall(r"<(\w+)", html))

    def test_addresses_are_links(self) -> None:
        assert markdown("https://example.org/a_b") == "<https://example.org/a_b>"
        assert markdown("javascript:alert(1)") == "javascript:alert(1)"


class TestUnite:
    def test_equal_triplets_once_with_all_labels(self) -> None:
        first = [record("a")], [artifact("x"), artifact("y", box=(300, 0, 400, 90))]
        second = [record("b")], [artifact("z", triplet="b", artifact_type="text", detector="text")]
        second[1].append(artifact("x", triplet="b", votes_for=3, votes_against=0))
        for parts in ([first, second], [second, first]):
            united = unite(parts)
            assert [each.id for each in united.records] == ["a"]
            assert sorted(each.id for each in united.artifacts) == ["x", "y", "z"]
            (own,) = [each for each in united.artifacts if each.id == "x"]
            assert (own.votes_for, own.votes_against) == (5, 1) and not united.failures
            assert united.counts["equal_triplets"] == united.counts["equal_artifacts"] == 1

    def test_names_of_different_content(self) -> None:
        """Two versions of a codec on the same image; which one is named first does not matter."""
        first = [record("a")], [artifact("x")]
        second = [record("a", neural_version="2", neural_sha256="9" * 64)], [artifact("x")]
        there = unite([first, second], iou=None)
        back = unite([second, first], iou=None)
        assert there.records == back.records and there.artifacts == back.artifacts
        ids = [each.id for each in there.records]
        assert len(set(ids)) == 2 and all(re.fullmatch("a-[0-9a-f]{8}", each) for each in ids)
        assert {each.triplet for each in there.artifacts} == set(ids)
        assert there.counts["renamed"] == 2

    def test_a_new_name_that_was_another_ones(self) -> None:
        taken = distinct_names({"k1": "a", "k2": "a"})["k1"]
        assert len(set(distinct_names({"k1": "a", "k2": "a", "k3": taken}).values())) == 3

    def test_the_higher_preset_stays(self) -> None:
        high = record("high", preset="high", preset_index=1, neural_sha256="9" * 64)
        first = [record("low")], [artifact("x", triplet="low", confidence=0.9)]
        second = [high], [artifact("y", triplet="high", box=(0, 0, 300, 290), confidence=0.1)]
        united = unite([first, second])
        assert [each.id for each in united.records] == ["high"]
        assert united.counts["duplicates"] == united.counts["emptied"] == 1
        assert len(unite([first, second], iou=None).records) == 2
        # with another artifact the triplet stays, and says that this one is there too
        more = [record("low")], [*first[1], artifact("t", triplet="low", artifact_type="text")]
        united = unite([more, second])
        twin = next(each for each in united.artifacts if each.id == "x")
        assert len(united.records) == 2 and twin.confirmed and twin.duplicate_of == "y"

    def test_presets_that_sources_number_differently(self) -> None:
        first = [record("a", preset="025", preset_index=0, neural_bpp=0.25)], [artifact("x")]
        second = (
            [
                record("b", preset="006", preset_index=0, neural_bpp=0.06, neural_sha256="8" * 64),
                record("c", preset="025", preset_index=1, neural_bpp=0.25, neural_sha256="9" * 64),
            ],
            [artifact("y", triplet="b"), artifact("z", triplet="c", box=(0, 0, 40, 40))],
        )
        for parts in ([first, second], [second, first]):
            united = unite(parts)
            places = {each.extra["preset"]: each.extra["preset_index"] for each in united.records}
            assert places == {"025": 1}  # the one at 006 is a duplicate of that at 025

    def test_decisions_that_contradict_each_other(self) -> None:
        first = [record("a")], [artifact("x"), artifact("t", artifact_type="text")]
        second = [record("a")], [artifact("x", confirmed=False, votes_for=0, votes_against=3)]
        third = [record("a")], [artifact("x", confirmed=None, votes_for=0, votes_against=0)]
        for parts in ([first, second, third], [third, second, first]):
            united = unite(parts)
            (problem,) = united.failures
            assert "one that confirms it and one that refuses it" in str(problem)
            (own,) = [each for each in united.artifacts if each.id == "x"]
            assert (own.confirmed, own.votes_for, own.votes_against) == (None, 2, 4)
        assert not unite([first, third]).failures
        both = {each.id: each.confirmed for each in unite([third, first]).artifacts}
        assert both == {"x": True, "t": True}

    def test_votes_of_all_sources_are_added(self) -> None:
        """3:0, 3:0 and 0:3 are nine people, in whatever order or steps they are put together."""

        def source(votes_for: int, votes_against: int) -> Part:
            votes = {"votes_for": votes_for, "votes_against": votes_against}
            own = artifact("x", confirmed=votes_for > votes_against, **votes)
            return [record("a")], [own, artifact("t", artifact_type="text")]

        def votes(parts: list[Part]) -> tuple[bool | None, int | None, int | None]:
            (own,) = [each for each in unite(parts).artifacts if each.artifact_type == "color"]
            return own.confirmed, own.votes_for, own.votes_against

        a, b, c = source(3, 0), source(3, 0), source(0, 3)
        assert votes([a, b]) == (True, 6, 0)
        assert votes([a, b, c]) == votes([c, a, b]) == (None, 6, 3)
        some = unite([b, c])
        assert votes([(some.records, some.artifacts), a, c]) == (None, 6, 6)

    def test_two_detectors_decided_differently(self) -> None:
        """Of the same box and type a manifest takes one decision."""
        united = unite([([record()], [artifact(), artifact("y", detector="o", confirmed=False)])])
        assert len(united.failures) == 1 and united.records == []

    def test_licenses(self) -> None:
        known = record("a", license="MIT")
        other = record("b", license="CC0-1.0", neural_sha256="9" * 64)
        silent = record("c", neural_sha256="8" * 64)
        boxes = [(0, 0, 90, 90), (100, 0, 190, 90), (200, 0, 290, 90)]
        parts = [
            ([each], [artifact(f"x{each.id}", triplet=each.id, box=box)])
            for each, box in zip((known, other, silent), boxes, strict=True)
        ]
        united = unite([parts[0], parts[2]])
        assert [each.extra["license"] for each in united.records] == ["MIT", "MIT"]
        united = unite(parts)
        (problem,) = united.failures
        assert "got CC0-1.0 and MIT. Its 3 triplets are left out" in str(problem)
        assert united.records == []

    def test_a_triplet_that_is_free_in_one_only(self) -> None:
        free = [dataclasses.replace(record("a"), artifact_free=True)], []
        assert unite([free, free]).records[0].artifact_free
        united = unite([free, ([record("b")], [artifact(triplet="b")])])
        assert united.records[0].artifact_free is None and len(united.artifacts) == 1


class TestMerge:
    def shards(self, mined: Path, place: Path) -> list[Path]:
        """Three data sets that share triplets, artifacts and images."""
        made = []
        for number in range(3):
            verified = verify(
                mined,
                place / f"verified{number}",
                lambda i, row, number=number: None if i % 3 == number else by_thirds(i, row),
            )
            made.append(build(verified, place / f"data{number}", **QUIET).folder)
        return made

    def test_whatever_the_order(self, original_mined: Path, tmp_path: Path) -> None:
        a, b, c = self.shards(original_mined, tmp_path)
        one = build([a, b, c], tmp_path / "one", **QUIET)
        two = build([c, a, b, a], tmp_path / "two", **QUIET)
        assert files(one.folder) == files(two.folder)
        assert not one.failures and check(one.folder).faults == []
        verified = verify(original_mined, tmp_path / "verified", lambda i, row: i % 3 != 2 or False)
        whole = build(verified, tmp_path / "whole", **QUIET)
        decided = {each.id for each in whole.dataset.artifacts if each.counts}
        assert {each.id for each in one.dataset.artifacts if each.counts} <= decided
        build([b, a, c], tmp_path / "one", **QUIET)  # there already

    def test_links(self, original_mined: Path, tmp_path: Path) -> None:
        a, b, _ = self.shards(original_mined, tmp_path)
        done = build([a, b], tmp_path / "data", images="link", **QUIET)
        assert next((done.folder / "images" / "neural").iterdir()).stat().st_nlink > 1
        assert check(done.folder).faults == []

    def test_a_changed_image(self, original_mined: Path, tmp_path: Path) -> None:
        a, b, _ = self.shards(original_mined, tmp_path)
        for each in (a, b):
            for path in (each / "images" / "neural").iterdir():
                Image.fromarray(np.zeros((310, 420, 3), np.uint8)).save(path)
        with pytest.raises(DataError, match=r"neural: .*the pixels that were mined"):
            build([a, b], tmp_path / "data", **QUIET)

    def test_bad_input(self, built: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="expected inputs and another folder for the data set"):
            build([], tmp_path / "merged")
        fails(DataError, "another folder for the data set, got", build, [built, tmp_path], built)
        with pytest.raises(DataError, match=r"nothing, which has no verified\.parquet"):
            build([built, tmp_path / "nothing"], tmp_path / "merged")
        (tmp_path / "half").mkdir()
        shutil.copyfile(built / TRIPLETS, tmp_path / "half" / TRIPLETS)
        with pytest.raises(DataError, match=r"has no artifacts\.parquet, settings\.json"):
            build([built, tmp_path / "half"], tmp_path / "merged")
        other = shutil.copytree(built, tmp_path / "other")
        table = pq.read_table(other / TRIPLETS)
        pq.write_table(table.drop_columns(["neural_sha256"]), other / TRIPLETS)
        with pytest.raises(DataError, match="expected the columns of a data set, got none in"):
            build([built, other], tmp_path / "merged")
        (other / "settings.json").write_text("[1]")
        shutil.copyfile(built / TRIPLETS, other / TRIPLETS)
        fails(DataError, "expected a JSON object, got another value", read_dataset, other)
        (other / "settings.json").write_text("[")
        fails(DataError, "expected the settings of the run as JSON", read_dataset, other)
        rows = pq.read_table(other / ARTIFACTS)
        place = rows.column_names.index("x0")
        empty = pa.nulls(len(rows), pa.int64())
        pq.write_table(rows.set_column(place, "x0", empty), other / ARTIFACTS)
        fails(DataError, "got empty cells in x0", read_dataset, other)


class TestStats:
    def test_counts(self) -> None:
        low = record("a", license="MIT")
        other = record("b", neural_version="2", preset="high", preset_index=1, traditional_bpp=0.4)
        found = [
            artifact("x", confidence=1.0),
            artifact("y", triplet="b", artifact_type="text", box=(0, 0, 100, 200), detector="text"),
            artifact("z", triplet="b", duplicate_of="x"),
            artifact("r", confirmed=False),
            artifact("u", confirmed=None, votes_for=0, votes_against=0),
        ]
        stats = dataset_stats(dataset_of([low, other], found, {}))
        assert stats["by_preset"] == {
            "low": {"texture": 0, "color": 1, "text": 0},
            "high": {"texture": 0, "color": 0, "text": 1},
        }
        assert stats["by_version_and_preset"] == {
            "vm 1": {"low": 1, "high": 0},
            "vm 2": {"low": 0, "high": 1},
        }
        assert stats["box_sizes"]["width in pixels"]["smallest"] == 100
        assert stats["box_sizes"]["share of the image"]["largest"] == 0.5625
        assert stats["bits_per_pixel"]["high"] == {"neural": 0.1, "traditional": 0.4}

    def test_more_than_eight_types_and_missing_rates(self) -> None:
        """Every artifact is in each table, whatever package its detector is of."""
        kinds = [f"type {i}" for i in range(9)]
        rows = [record("a"), record("b", neural_bpp=None), record("c", neural_bpp=0.00003)]
        found = [
            artifact(f"x{i}", artifact_type=kind, triplet="abc"[i % 3])
            for i, kind in enumerate([*kinds, "color"])
        ]
        stats = dataset_stats(dataset_of(rows, found, {}))
        assert stats["by_detector"] == {"large_color": 10}
        assert stats["by_type"] == {"texture": 0, "color": 1, "text": 0} | dict.fromkeys(kinds, 1)
        tables = table_one(stats)
        assert [row[1] for row in tables[0].rows] == ["0", "1", "0", *["1"] * 9]
        assert [sum(own.values()) for own in stats["by_preset"].values()] == [10]
        assert [table.rows[-1][-1] for table in tables[1:]] == ["10"] * 4
        known = [each.neural_bpp for each in rows if each.neural_bpp is not None]
        assert stats["bits_per_pixel"]["low"]["neural"] == pytest.approx(sum(known) / 2)

    def test_of_none(self) -> None:
        free = dataclasses.replace(record("a"), artifact_free=True)
        stats = dataset_stats(dataset_of([free], [], {}))
        assert stats["artifact_free_triplets"] == 1 and stats["box_sizes"] == {}

    def test_command(self, built: Path, capsys: pytest.CaptureFixture[str]) -> None:
        outputs = f"output=[{built}/s.json,{built}/s.md]"
        assert main(["dataset", "stats", str(built), outputs]) == 0
        printed = capsys.readouterr().out
        stats = json.loads((built / "s.json").read_text())
        assert "Artifacts by codec version and quality preset" in printed
        assert f"| artifacts | {stats['artifacts']} |" in (built / "s.md").read_text()
        assert main(["dataset", "stats", str(built), "output=stats.txt"]) == 1
        assert "expected output as a file with .json or .md" in capsys.readouterr().err


class TestCheck:
    def test_every_fault_is_a_line(self, built: Path, capsys: pytest.CaptureFixture[str]) -> None:
        images = {
            role: sorted((built / "images" / role).iterdir()) for role in ("neural", "original")
        }
        images["neural"][0].unlink()
        images["original"][0].write_bytes(b"damaged")
        (built / "images" / "neural" / "more.png").write_bytes(b"")
        lines = (built / "checksums.sha256").read_text()
        (built / "checksums.sha256").write_text(f"{lines}{'0' * 64}  ../../etc/passwd\nnonsense\n")
        coco = json.loads((built / COCO).read_text())
        coco["annotations"][0]["bbox"][0] += 1
        coco["annotations"][1]["id"] = coco["annotations"][0]["id"]
        coco["images"][1]["width"] = 9
        coco["images"][1]["license"] = 77
        coco["categories"][0]["id"] = 5
        (built / COCO).write_text(json.dumps(coco))
        rows = pq.read_table(built / ARTIFACTS)
        changed = rows.to_pylist()
        changed[0]["confirmed"] = not changed[0]["confirmed"]
        changed[-1] |= {"triplet": "gone", "duplicate_of": "nothing"}
        changed.append(changed[1])
        pq.write_table(pa.Table.from_pylist(changed, schema=rows.schema), built / ARTIFACTS)
        faults = check(built).faults
        text = "\n".join(faults)
        assert "\n" not in "".join(faults)
        for part in (
            "expected the file that checksums.sha256 lists, got No such file",
            "the file was changed",
            "more.png: expected its checksum",
            "got '0000",
            "got 'nonsense'",
            "original: ",
            "expected categories as triplets.parquet and artifacts.parquet say, got others",
            "expected images as triplets.parquet and artifacts.parquet say, got others",
            "expected annotations as triplets.parquet and artifacts.parquet say, got others",
            "expected the labels that artifacts.parquet has",
            "expected triplets of the manifest, got gone",
            "expected duplicate_of to name an artifact, got nothing",
            "expected ids that differ, got photo",
        ):
            assert part in text, part
        assert main(["dataset", "check", str(built), "show_progress=false"]) == 1
        assert f"{len(faults)} faults" in capsys.readouterr().out

    def test_tables_that_cannot_be_read(self, built: Path) -> None:
        (built / COCO).write_text("{}")
        (built / "checksums.sha256").unlink()
        text = "\n".join(check(built).faults)
        assert "expected a list of checksums, got" in text
        assert "expected images as triplets.parquet and artifacts.parquet say, got others" in text
        (built / ARTIFACTS).write_bytes(b"PAR1")
        assert "artifacts.parquet: expected a Parquet file" in "\n".join(check(built).faults)
        (built / TRIPLETS).unlink()
        fails(DataError, r"which has no triplets\.parquet", check, built)

    def test_rights_and_facts_in_the_manifest(self, built: Path) -> None:
        rows = pq.read_table(built / TRIPLETS).to_pylist()
        rows[0] |= {"license": None, "preset": None}
        rows[1] |= {"license": "MIT"}
        rows[1]["image_sha256"] = rows[2]["image_sha256"]
        pq.write_table(pa.Table.from_pylist(rows), built / TRIPLETS)
        text = "\n".join(check(built).faults)
        assert "expected a value in preset, license, got none" in text
        assert "expected one licence, got" in text and "MIT" in text

    def test_whole(self, built: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["dataset", "check", str(built)]) == 0
        assert " 0 faults." in capsys.readouterr().out


class TestReaders:
    def test_benchmark_and_detect_read_it(self, built: Path, tmp_path: Path) -> None:
        plain = ["detector=[large_color]", "report=false", "show_progress=false"]
        sets = ["sets.n=1", "sets.types=[color,texture,text]"]
        arguments = [
            "baseline=[psnr]",
            "logger=none",
            f"folder={tmp_path}/b",
            f"cache={tmp_path}/c",
        ]
        few = "bootstrap.resamples=50"
        assert main(["benchmark", str(built), *plain, *sets, *arguments, few]) in (0, 1)
        assert json.loads((tmp_path / "b" / "metrics.json").read_text())["sets"]
        arguments = [f"folder={tmp_path}/d", "overlays=false"]
        assert main(["detect", str(built), *plain, *arguments]) == 0
        scores = pq.read_table(tmp_path / "d" / "scores.parquet")
        assert len(scores) == len(read_dataset(built).records)
        assert main(["validate", str(built), "show_progress=false"]) == 0

    def test_pycocotools(self, built: Path) -> None:
        coco = pytest.importorskip("pycocotools.coco").COCO(str(built / COCO))
        found = [each for each in read_dataset(built).artifacts if each.is_found]
        assert len(coco.getAnnIds()) == len(found)
        for name in ("texture", "color", "text"):
            (category,) = coco.getCatIds(catNms=[name])
            own = [each for each in found if each.artifact_type == name]
            assert len(coco.getAnnIds(catIds=[category])) == len(own)
        assert coco.getImgIds()
        for image in coco.loadImgs(coco.getImgIds()):
            with Image.open(built / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])

    @pytest.mark.parametrize("library", ["datasets", "pycocotools", "nacd_bench"])
    def test_what_the_docs_show(
        self,
        library: str,
        built: Path,
        original_mined: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        starter: Starter,
    ) -> None:
        """In a process of its own, which has no network and no cache of the user's."""
        pytest.importorskip(library)
        (code,) = [
            each for each in blocks("docs/dataset.md", "python") if f"from {library}" in each
        ]
        code += {
            "datasets": "print(artifacts.num_rows, triplets.num_rows)",
            "pycocotools": "print(len(coco.getAnnIds()), len(text))",
            "nacd_bench": f"print(*published({str(built.parent / 'verified')!r}, 'own'))",
        }[library]
        if library == "nacd_bench":
            verify(original_mined, built.parent / "verified")
        monkeypatch.chdir(built.parent)
        done = starter.code(code, HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="1")
        assert done.wait() == 0, done.output
        dataset = read_dataset(built)
        found = [each for each in dataset.artifacts if each.is_found]
        text = [each for each in found if each.artifact_type == "text"]
        printed = {
            "datasets": f"{len(dataset.artifacts)} {len(dataset.records)}",
            "pycocotools": f"{len(found)} {len(text)}",
            "nacd_bench": f"{len(dataset.artifacts)} []",
        }[library]
        assert done.output.splitlines()[-1] == printed

    def test_checksums_are_of_what_is_there(self, original_built: Built) -> None:
        lines = (original_built.folder / "checksums.sha256").read_text().splitlines()
        images = [path for path in original_built.folder.rglob("*") if path.suffix == ".png"]
        assert len(lines) > len(images) > 0
        for line in lines:
            digest, name = line.split("  ", 1)
            content = (original_built.folder / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest
