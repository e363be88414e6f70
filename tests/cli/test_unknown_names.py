"""Settings that take names refuse those that there are not, and say which there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mined_folder import make_mined
from PIL import Image
from triplet_folder import make_triplets

from nacd_bench.cli.main import main
from nacd_bench.triplets.grades import GRADES

GRADED = (
    '{{"triplet": "{0}", "rater": "P", "type": "color", "side": "neural", "severity": 1, '
    '"box": [8, 8, 24, 24]}}\n'
)
QUIET = ["show_progress=false"]
DETECT = ["detect", "{graded}", "detector=[color_severity]"]
AGREE = ["agree", "{graded}", "detector=[color_severity]", "baseline=[psnr]"]
MINE = ["mine", "{photo}", "neural=jpeg", "detector=[color_severity]"]
RANK = ["rank", "{photo}", "detector=[color_severity]"]
COMPRESS = ["compress", "{photo}", "neural=jpeg"]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Graded triplets with a column of sets, a mined folder and a photograph."""
    root = tmp_path_factory.mktemp("names")
    graded = make_triplets(root / "graded", ("astronaut", "coffee"))
    rows = ["name,set", "astronaut,high", "coffee,low"]
    (graded / "index.csv").write_text("\n".join(rows))
    (graded / GRADES[0]).write_text("".join(map(GRADED.format, ("astronaut", "coffee"))))
    Image.new("RGB", (64, 64), "gray").save(root / "photo.png")
    return {
        "graded": str(graded),
        "mined": str(make_mined(root / "mined", images=1)),
        "severe": str(make_mined(root / "severe", 1, detectors={"color_severity": "color"})),
        "photo": str(root / "photo.png"),
        "root": str(root),
    }


@pytest.mark.parametrize(
    ("words", "wrong", "known"),
    [
        ([*DETECT, "thresholds.colour_severity=1"], "colour_severity", "color_severity"),
        (["detect", "{graded}", "detector=[textrue]"], "textrue", "texture"),
        (["detect", "{graded}", "preset=[releasd]"], "releasd", "released"),
        (["detect", "{graded}", "text_finder=rapid"], "rapid", "rapidocr"),
        (["detect", "data=sample", "data.photos=[chna]"], "chna", "china"),
        (["detect", "data=sample", "data.rates=[lo]"], "lo", "low"),
        (["benchmark", "{graded}", "baseline=[psnr,sim]"], "sim", "ssim"),
        (["benchmark", "{graded}", "logger=csvs"], "csvs", "csv"),
        (["benchmark", "data=planted", "data.neural=jpg"], "jpg", "jpeg"),
        ([*AGREE, "group=sets"], "sets", "set"),
        ([*AGREE, "group=neural_codec"], "neural_codec", "set"),
        ([*AGREE, "pools.all=[high,lo]"], "lo", "low"),
        ([*AGREE, "tests.color=[color_severity,pnsr]"], "pnsr", "psnr"),
        ([*AGREE, "tests.colour=[color_severity,psnr]"], "colour", "color"),
        ([*AGREE, "data.raters=[P,O]"], "O", "P"),
        (["validate", "{graded}", "raters=[O]"], "O", "P"),
        ([*MINE, "thresholds.colour_severity=1"], "colour_severity", "color_severity"),
        ([*MINE, "traditional=x266"], "x266", "x265"),
        ([*COMPRESS, "then=[x266]"], "x266", "x265"),
        ([*COMPRESS, "then=[{name: avif, follows: vtm}]"], "vtm", "x265"),
        ([*RANK, "codecs=[jpeg,jpex]"], "jpex", "jpeg"),
        ([*RANK, "codecs=[jpeg]", "anchor=x266"], "x266", "x265"),
        ([*RANK, "codecs=[jpeg]", "thresholds.text=1"], "text", "color_severity"),
        (["verify", "export", "{mined}", "formats=[pag]"], "pag", "page"),
        (["verify", "export", "{mined}", "types=[colour]"], "colour", "color"),
        (["verify", "export", "{mined}", "detectors=[bondary]"], "bondary", "boundary"),
        (["verify", "export", "{mined}", "presets=[none]"], "none", "quality-20"),
        (["verify", "export", "{mined}", "min_confidence.txt=1"], "txt", "text"),
        (["compare", "{severe}", "{severe}", "fail_on_new.colour=1"], "colour", "color"),
        (["list", "kind=codec"], "codec", "codecs"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_a_name_that_there_is_not(
    words: list[str],
    wrong: str,
    known: str,
    places: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = [] if words[0] in ("validate", "list") else [f"folder={tmp_path / 'run'}", *QUIET]
    given = [word.format(**places) if word[0] == "{" else word for word in words]
    assert main([*given, *folder]) == 1
    printed = "".join(capsys.readouterr())
    told = rf"'\[?{wrong}\]?'.*\b{known}\b|\b{known}\b.*(got|follows) '?\[?{wrong}\b"
    assert re.search(told, printed), printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["benchmark", "{graded}", "sets.types=[]"], "expected sets.types as a list"),
        ([*AGREE, "pools.none=[]"], "expected pools.none as a list"),
        (["rank", "runs=[{mined}]", "thresholds.text=1"], "with finished runs, which keep theirs"),
        (["dataset", "build", "{mined}", "unverified=true", "mined=[{root}]"], "places in mined"),
    ],
)
def test_a_list_of_nothing_and_names_of_no_use(
    words: list[str], message: str, places: Any, tmp_path: Path, capsys: Any
) -> None:
    given = [word.format(**places) for word in words]
    assert main([*given, f"folder={tmp_path / 'run'}", *QUIET]) == 1
    assert message in capsys.readouterr().err
