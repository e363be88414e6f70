"""What a search takes for a photograph, passes over, and leaves out by name."""

import importlib
import io
import json
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from nacd_bench.cli.main import main
from nacd_bench.coding.originals import list_images
from nacd_bench.errors import DataError
from nacd_bench.triplets.source import find_triplets

PHOTOS = ("a.png", "trip/b.JPG", "trip/deep/c.tif")
PASSED_OVER = (
    ".hidden.png",
    "._a.png",
    "trip/._b.JPG",
    "Thumbs.db",
    "desktop.ini",
    ".DS_Store",
    ".thumbnails/large/a.png",
    "trip/@eaDir/b.JPG/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX/trip/b.png",
    ".ipynb_checkpoints/a-checkpoint.png",
    ".git/annex/old.png",
    ".Trash-1000/files/a.png",
    "$RECYCLE.BIN/a.png",
    "lost+found/a.png",
    ".venv/a.png",
    ".dtrash/a.png",
    "#recycle/a.png",
    ".picasaoriginals/a.png",
)
LEFT_OUT = {
    "d.jxl": "jxl",
    "e.DNG": "dng",
    "trip/f.cr2": "cr2",
    "g.NEF": "nef",
    "h.psd": "psd",
    "i.exr": "exr",
}


def picture(seed: int = 0, image_format: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()


def contents() -> dict[str, bytes]:
    files = {
        name: picture(seed, {".png": "PNG", ".JPG": "JPEG", ".tif": "TIFF"}[Path(name).suffix])
        for seed, name in enumerate(PHOTOS)
    }
    files |= dict.fromkeys(PASSED_OVER, picture(9))
    files |= dict.fromkeys(LEFT_OUT, b"some picture")
    files |= {"no_suffix": picture(7), "j.jpg_large": picture(8, "JPEG")}
    return files | {"notes.md": b"no picture\n", "README": b"none", "list.csv": b"a,b\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in contents().items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "photos"


KINDS = {
    **dict.fromkeys(LEFT_OUT.values(), 1),
    "PNG without suffix": 1,
    "JPEG named .jpg_large": 1,
}


def below(root: Path, paths: list[Path]) -> list[str]:
    return [str(path.relative_to(root)) for path in paths]


def test_folder(folder: Path) -> None:
    found = list_images(folder, files_only=True)
    assert below(folder, found.paths) == list(PHOTOS)
    assert found.left_out == KINDS
    listing = list_images(folder)
    assert below(folder, [Path(item.path) for item in listing.items]) == list(PHOTOS)
    assert listing.left_out == KINDS


def test_patterns(folder: Path) -> None:
    for pattern in ("**/*.*", "**/*"):
        found = list_images(str(folder / pattern), files_only=True)
        assert sorted(below(folder, found.paths)) == list(PHOTOS)
    assert found.left_out == KINDS
    assert below(folder, list_images(str(folder / "trip" / "*"), files_only=True).paths) == [
        "trip/b.JPG"
    ]
    named = list_images(str(folder / "trip" / "@eaDir" / "*" / "*.jpg"), files_only=True).paths
    assert below(folder, named) == [PASSED_OVER[7]]


def test_what_is_named_is_taken(folder: Path) -> None:
    for name in (".hidden.png", ".thumbnails/large/a.png", "d.jxl"):
        assert list_images(folder / name, files_only=True).paths == [folder / name]
    assert below(folder, list_images(folder / ".thumbnails", files_only=True).paths) == [
        ".thumbnails/large/a.png"
    ]
    assert below(folder, list_images(folder / "trip" / "@eaDir", files_only=True).paths) == [
        PASSED_OVER[7]
    ]
    (folder.parent / "list.txt").write_text("photos/.hidden.png\nphotos/a.png\n")
    assert len(list_images(folder.parent / "list.txt", files_only=True).paths) == 2


@pytest.mark.parametrize("prefix", ["", "./", "photos/"])
def test_tar(folder: Path, tmp_path: Path, prefix: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in contents().items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    listing = list_images(tmp_path / "a.tar")
    tail = [item.name.removeprefix(f"{tmp_path}/a.tar/{prefix}") for item in listing.items]
    assert tail == list(PHOTOS)
    assert listing.left_out == KINDS


def test_url() -> None:
    system = fsspec.filesystem("memory")
    for name, data in contents().items():
        system.pipe(f"/searched/.cache/{name}", data)
    listing = list_images("memory://searched/.cache")
    names = [item.path.removeprefix("memory:///searched/.cache/") for item in listing.items]
    assert names == list(PHOTOS)
    assert set(listing.left_out) == set(LEFT_OUT.values())  # by their names: nothing is opened
    assert len(list_images("memory://searched/.cache/.hidden.png").items) == 1
    assert len(list_images("memory://searched/.cache/*.*").items) == 1


def test_nothing_but_what_is_not_read(tmp_path: Path) -> None:
    for name in ("a.jxl", "b.jxl", "c.ARW"):
        (tmp_path / name).write_bytes(b"some picture")
    for files_only in (True, False):
        with pytest.raises(DataError, match=r"got only kinds that are not read: 2 jxl, 1 arw\."):
            list_images(tmp_path, files_only=files_only)


def test_a_folder_of_triplets(tmp_path: Path) -> None:
    for role in ("orig", "ai", "classic"):
        for name in ("a.png", "@eaDir/a.png/x.jpg", ".thumbnails/a.png", "Thumbs.db", "._a.png"):
            path = tmp_path / role / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture())
    records, problems = find_triplets(tmp_path)
    assert [record.id for record in records] == ["a"]
    assert problems == []


def test_compress_and_mine_say_it_once_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    (photos / "phone").mkdir(parents=True)
    (photos / "a.png").write_bytes(picture(1))
    (photos / "misnamed.png").write_bytes(picture(2, "BMP"))
    (photos / "phone" / "c.gif").write_bytes(picture(3, "GIF"))
    for name in ("d.jxl", "phone/e.CR3", "phone/f.cr3"):
        (photos / name).write_bytes(b"some picture")
    common = [
        str(photos),
        "codec@neural=jpeg",
        "codec@traditional=jpeg",
        "points=[50]",
        "workers=0",
        "show_progress=false",
    ]
    for command, folder, record in (
        (["compress"], tmp_path / "run", "summary.json"),
        (["mine"], tmp_path / "mined", "summary.json"),
    ):
        own = ["detector=[large_color]"] if command == ["mine"] else []
        for _ in range(2):
            assert main([*command, *common, *own, f"folder={folder}"]) == 0
            out = capsys.readouterr().out
            line = "3 files of kinds that are not read were left out: 2 cr3, 1 jxl"
            assert out.count(line) == out.count("left out") == 1
            assert "3 triplets" in out
            assert out.count("misnamed.png: it is a BMP") == 1
            kept = json.loads((folder / record).read_text())
            assert kept["left_out"] == {"cr3": 2, "jxl": 1}
            assert list(kept["notes"]) == [str(photos / "misnamed.png")]


def test_training_takes_the_same_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photographs = importlib.import_module("nacd_codecs.hyperprior.train").photographs
    (folder / "broken.png").write_bytes(picture()[:60])
    assert [image.shape for image in photographs(folder, 8)] == [(3, 16, 16)] * len(PHOTOS)
    said = capsys.readouterr().err
    assert said.count("kinds that are not read") == said.count("broken.png: ") == 1
