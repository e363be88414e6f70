"""The examples in docs/codecs.md and docs/compress.md: composed, and run where they can be."""

import csv
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from skimage import data

from nacd_bench.cli import composing
from nacd_bench.coding.sides import codec_of
from nacd_bench.jobs.compress.run import compress
from nacd_bench.registry import CODECS
from nacd_codecs.command import KEYS, CommandLine

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("codecs.md", "compress.md", "learned_codec.md")


def blocks(language):
    """Every block of a language, with its page."""
    for page in PAGES:
        text = (DOCS / page).read_text("utf-8")
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", text, re.S)):
            yield pytest.param(block, id=f"{page}-{number}")


def command_lines():
    for page in PAGES:
        for line in (DOCS / page).read_text("utf-8").splitlines():
            if "nacd-bench compress photos/" in line:
                yield pytest.param(line, id=line.partition("folder=run ")[2] or "default")


def composed(line, **more):
    """The configuration of a documented command line."""
    words = shlex.split(line)
    overrides = words[words.index("photos/") + 1 :]
    overrides += [f"{name}={value}" for name, value in more.items()]
    config = composing.composed("compress", ["images=photos/", *overrides])
    del config["plan"]  # of the command, not of the job
    return config


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of its own to run in, with two photographs."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    Pillow.fromarray(data.astronaut()[40:136, 160:288]).save(folder / "a.png")
    Pillow.fromarray(data.chelsea()[90:186, 120:251]).save(folder / "b.png")
    return folder


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_composes(line):
    import inspect

    config = composed(line)
    for side in ("neural", "traditional"):
        spec = codec_of(config[side])
        known = inspect.signature(CODECS.get(spec.name)).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
        assert takes_any or set(spec.parameters) <= set(known)
    for entry in config["then"]:
        assert codec_of(entry).name in CODECS


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_codec_description_is_right(block, tmp_path, monkeypatch):
    monkeypatch.setattr("nacd_codecs.command.shutil.which", lambda *_, **__: "/bin/true")
    file = tmp_path / "mycodec.yaml"
    file.write_text(block)
    assert CommandLine(file).points.values


def test_every_key_of_a_row_is_explained():
    text = (DOCS / "codecs.md").read_text("utf-8").partition("## HM and VTM")[0]
    assert not [key for key in KEYS if not re.search(rf"^{key}:|`{key}", text, re.M)]


@pytest.mark.parametrize("block", [b for b in blocks("yaml") if "cjxl" in b.values[0]])
def test_descriptions_of_installed_programs_run(block, photos):
    if not all(map(shutil.which, ("cjxl", "djxl"))):
        pytest.skip("need cjpeg and cjxl (apt install libjpeg-turbo-progs libjxl-tools)")
    Path("mycodec.yaml").write_text(block)
    codec = CommandLine("mycodec.yaml")
    image = np.asarray(Pillow.open(photos / "b.png"))
    assert codec.decode(codec.encode(image, 4)).shape == image.shape
    assert codec.name in ("my-jxl", "mycodec")


def test_the_module_runs_as_documented(photos, monkeypatch):
    (source,) = (b.values[0] for b in blocks("python") if "class BlockMeans" in b.values[0])
    (line,) = (p.values[0] for p in command_lines() if "blockcodec:" in p.values[0])
    Path("blockcodec.py").write_text(source)
    monkeypatch.syspath_prepend(Path.cwd())
    done = compress(**composed(line, workers=0, show_progress=False))
    assert [row["preset"] for row in done.rows[:3]] == ["block-32", "block-16", "block-8"]
    assert {row["neural_codec"] for row in done.rows} == {"blocks"}
    assert not any(row["neural_rate_is_estimated"] for row in done.rows)
    sys.modules.pop("blockcodec", None)


def test_the_table_of_results_runs_as_documented(photos):
    (line,) = (p.values[0] for p in command_lines() if "results.csv" in p.values[0])
    (table,) = (b.values[0] for b in blocks("csv"))
    (photos / "b.png").unlink()
    Path("results.csv").write_text(table)
    Path("decoded").mkdir()
    for row in csv.DictReader(table.splitlines()):
        shutil.copy(photos / "a.png", row["decoded"])
    done = compress(**composed(line, show_progress=False, workers=0))
    assert [row["neural_bytes"] for row in done.rows] == [5210, 11833]
    assert done.rows[0]["neural_bpp"] == 8 * 5210 / (128 * 96)
    assert done.rows[0]["neural_codec"] == "jpeg-ai"
    assert done.rows[0]["neural_version"] == "JPEG AI VM 5.1"


def test_the_python_example_runs(photos, capsys):
    (source,) = (b.values[0] for b in blocks("python") if "CodecSpec" in b.values[0])
    Path("example.py").write_text(source.replace("points=[30, 60]", "points=[30, 60], workers=0"))
    runpy.run_path("example.py", run_name="__main__")
    assert capsys.readouterr().out.split()[0] == "avif"


def test_every_codec_is_in_the_table():
    table = (DOCS / "codecs.md").read_text("utf-8").partition("## Any codec")[0]
    for name, entry in CODECS.entries.items():
        if entry.origin == "nacd-bench":
            assert f"`{name}`" in table


def test_every_setting_of_compress_is_explained():
    config = composing.composed("compress", ["images=a", "folder=b"])
    text = "".join((DOCS / page).read_text("utf-8") for page in PAGES)
    named = {name for name in config if re.search(rf"`{name}[`=:]|\b{name}=", text)}
    assert {*config} - named == {"show_progress"}  # which all commands have
