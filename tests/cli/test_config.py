"""Every configuration group composes and makes what it says, with the defaults of the code."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

import nacd_conf
from nacd_bench.detectors import Detector
from nacd_bench.detectors.text_finders import Cached, TextFinder
from nacd_bench.jobs.mine.run import make_mining_plan
from nacd_bench.pipeline.methods import made
from nacd_bench.registry import BASELINES, DETECTORS, TEXT_FINDERS
from nacd_bench.triplets.record import ARTIFACT_TYPES

CONF = Path(nacd_conf.__file__).parent
DETECTOR_NAMES = [name for name in DETECTORS if DETECTORS.entries[name].origin == "nacd-bench"]


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    with initialize_config_module("nacd_conf", version_base="1.3"):
        yield


def composed(command: str, *overrides: str) -> dict[str, Any]:
    plain = OmegaConf.to_container(compose(command, [*overrides]), resolve=True)
    assert isinstance(plain, dict)
    return plain


def defaults(target: Any) -> dict[str, Any]:
    parameters = inspect.signature(target).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def test_groups_hold_what_is_registered() -> None:
    assert set(choices("detector")) == set(DETECTOR_NAMES)
    assert set(choices("text_finder")) == {"rapidocr", "mmocr", "file"} <= set(TEXT_FINDERS)
    assert choices("preset") == ["paper", "recommended", "released"]
    assert choices("data") == ["embedded", "graded", "labelled", "planted", "sample", "triplets"]
    names = [name for name in BASELINES if BASELINES.entries[name].origin == "nacd-bench"]
    assert choices("baseline") == sorted([*names, "all", "none", "paper"])
    assert choices("logger") == ["csv", "mlflow", "none", "tensorboard", "wandb"]


@pytest.mark.parametrize("name", DETECTOR_NAMES)
def test_detectors(name: str) -> None:
    node = composed("detect", f"detector={name}")["detector"]
    assert list(node) == [name]
    detector = instantiate(node[name])
    assert isinstance(detector, DETECTORS.get(name)) and isinstance(detector, Detector)
    given = {key: value for key, value in node[name].items() if key not in ("_target_", "finder")}
    assert given == {k: v for k, v in defaults(DETECTORS.get(name)).items() if k != "finder"}


@pytest.mark.parametrize("preset", ["paper", "recommended", "released"])
@pytest.mark.parametrize("name", DETECTOR_NAMES)
def test_presets_are_those_of_the_code(name: str, preset: str) -> None:
    node = composed("detect", f"detector={name}", f"preset={preset}")["detector"][name]
    cls = DETECTORS.get(name)
    expected = {**defaults(cls), **cls.presets.get(preset, {})}
    assert {k: v for k, v in node.items() if k not in ("_target_", "finder")} == {
        k: v for k, v in expected.items() if k != "finder"
    }
    if preset == "paper" or preset in cls.presets:
        assert instantiate(node).settings == cls.preset(preset).settings


def test_the_paper_s_presets_are_for_its_five_detectors() -> None:
    classes = {name: DETECTORS.get(name) for name in DETECTOR_NAMES}
    recommended = {name for name, cls in classes.items() if "recommended" in cls.presets}
    assert recommended == {"texture", "boundary", "large_color", "small_color", "text"}
    for command in ("detect", "benchmark", "agree"):  # the paper's stay the default
        assert composed(command)["detector"]["large_color"]["outliers"] == "zero"


def test_what_is_mined_is_clear_to_a_rater(tmp_path: Path) -> None:
    config = composed("mine")
    detectors = [instantiate(node) for node in config["detector"].values()]
    assert all(detector.is_severity for detector in detectors)
    assert {detector.artifact_type for detector in detectors} == set(ARTIFACT_TYPES)
    thresholds = config["thresholds"]
    _, settings = make_mining_plan("webp", "jpeg", tmp_path, detectors, thresholds=thresholds)
    assert set(settings["thresholds"].values()) == {1.5}


@pytest.mark.parametrize("command", ["benchmark", "agree"])
def test_tables_have_both_ways_of_outliers(command: str) -> None:
    chosen = composed(command)["detector"]
    other = {"_target_": "nacd_bench.detectors.ClippedLargeColor", "outliers": "clip"}
    assert chosen["large_color_clip"] == chosen["large_color"] | other


def test_a_setting_wins_over_the_preset() -> None:
    node = composed("detect", "preset=released", "detector.texture.window=48")["detector"]
    assert node["texture"]["window"] == 48 and node["texture"]["structure"] == "uniform_ssim"


def test_rapidocr() -> None:
    node = composed("detect", "text_finder=rapidocr")["text_finder"]
    given = {key: value for key, value in node.items() if key != "_target_"}
    assert given == defaults(TEXT_FINDERS.get("rapidocr"))
    assert isinstance(instantiate(node), TextFinder)


def test_polygon_file(tmp_path: Path) -> None:
    file = tmp_path / "polygons.json"
    file.write_text('{"images": {}}')
    config = composed("detect", "text_finder=file", f"text_finder.path={file}")
    finder = instantiate(config["detector"]["text"]).finder
    assert isinstance(finder, Cached) and finder.name == "file"


def test_mmocr(tmp_path: Path) -> None:
    places = [
        f"text_finder.{name}={tmp_path / name}" for name in ("python", "config", "checkpoint")
    ]
    for place in ("python", "config", "checkpoint"):
        (tmp_path / place).write_text("")
    node = composed("detect", "text_finder=mmocr", *places)["text_finder"]
    given = {k: v for k, v in node.items() if k in defaults(TEXT_FINDERS.get("mmocr"))}
    assert given == defaults(TEXT_FINDERS.get("mmocr"))
    assert isinstance(instantiate(node), TextFinder)


def test_embedded_data(tmp_path: Path) -> None:
    few = ["data=embedded", f"folder={tmp_path}", "data.photos=[text]", "show_progress=false"]
    records, problems = made("data", composed("detect", *few)["data"])
    assert problems == [] and len(records) == 1
    assert (records[0].neural_codec, records[0].traditional_codec) == ("hyperprior", "x265")


def test_triplets(tmp_path: Path) -> None:
    from triplet_folder import make_triplets

    source = make_triplets(tmp_path, ("rocket",))
    node = composed("detect", "data=triplets", f"data.source={source}")["data"]
    assert instantiate(node).grades == []
    grade = {"triplet": "rocket", "rater": "P", "type": "color", "side": "neural", "severity": 0}
    (source / "grades.jsonl").write_text(json.dumps(grade))
    data = instantiate(node)
    assert len(data.records) == len(data.grades) == 1 and data.failures == []


@pytest.mark.parametrize(
    "command",
    [
        *("detect", "benchmark", "compare", "compress", "import", "validate", "list", "agree"),
        *("dataset build", "dataset stats", "dataset check"),
        *("verify export", "verify import"),
    ],
)
def test_commands_compose_and_hydra_stays_out_of_the_way(command: str) -> None:
    config = compose(command.replace(" ", "_"), return_hydra_config=True)
    assert config.hydra.job.chdir in (False, None)
    assert f"nacd-bench {command}" == config.hydra.help.app_name
