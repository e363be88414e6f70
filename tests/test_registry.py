"""The registry: names, lazy targets, other packages, near misses."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from checks import fails

from nacd_bench.errors import PluginError
from nacd_bench.registry import BUILT_IN, CODECS, DETECTORS, Registry, unknown

GROUP = "nacd_bench.test_things"


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package of one module whose ``value`` is registered under names."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return partial(_install, tmp_path)


def _install(site: Path, package: str, module: str, code: str, *names: str) -> None:
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    points = "\n".join(f"{name} = {module}:value" for name in names)
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
    (site / f"{module}.py").write_text(code)
    importlib.invalidate_caches()


@pytest.fixture
def installed(install: Install) -> None:
    """Two packages: one that works and takes a built-in name too, one that raises on import."""
    install("good-package", "good_module", "value = 41\n", "good", "own")
    install("bad-package", "bad_module", "raise RuntimeError('no luck')\n", "bad")


def registry() -> Registry:
    return Registry("thing", GROUP, {"own": "math:pi", "gone": "no.such.module:x"})


def test_lazy_targets_load_when_asked_for() -> None:
    things = registry()
    assert things.get("own") == pytest.approx(3.14159, abs=1e-5)
    assert "own" in things and list(things) == ["own", "gone"]
    fails(PluginError, r"'gone' of package nacd-bench .* ModuleNotFoundError", things.get, "gone")


def test_decorator() -> None:
    things = registry()

    @things.register("mine")
    class Mine:
        pass

    assert things.get("mine") is Mine
    assert things.entries["mine"].origin == "this process"
    assert things.register("mine")(Mine) is Mine  # a module may be run twice
    fails(PluginError, "'mine' is already registered by this process", things.register("mine"), int)
    fails(PluginError, "'own' is already registered by nacd-bench", things.register("own"), int)


def test_unknown_names_the_near_misses() -> None:
    fails(
        PluginError, r"unknown thing 'onw'; did you mean 'own' or 'gone'\?", registry().get, "onw"
    )
    assert unknown("thing", "zzz", ["own"]) == "unknown thing 'zzz'. Known: own"
    assert unknown("thing", "zzz", []).endswith("Known: none")


@pytest.mark.usefixtures("installed")
def test_other_packages_with_their_names() -> None:
    things = registry()
    assert things.get("good") == 41
    assert things.entries["good"].origin == "good-package"
    assert things.entries["own"].origin == BUILT_IN
    assert list(things) == ["own", "gone", "bad", "good"]


@pytest.mark.usefixtures("installed")
def test_a_broken_package_is_named_and_costs_only_itself() -> None:
    things = registry()
    fails(
        PluginError, r"package bad-package .* RuntimeError: no luck.*uninstall", things.get, "bad"
    )
    assert things.get("good") == 41


def test_two_packages_with_one_name(install: Install) -> None:
    """The first in the alphabet has it, whichever is found first."""
    for name in ("zebra", "apple"):
        install(f"{name}-package", f"{name}_module", f"value = '{name}'\n", "same")
    things = registry()
    assert things.get("same") == "apple"
    assert things.clashes == [
        "thing 'same' of package zebra-package is ignored: the name belongs to apple-package"
    ]


def test_a_package_that_exits_on_import(install: Install) -> None:
    install("quitter", "quitter_module", "raise SystemExit(3)\n", "quitter")
    fails(PluginError, r"package quitter .* SystemExit: 3", registry().get, "quitter")


def test_targets_inside_a_class() -> None:
    things = Registry("thing", GROUP, {"inner": "nacd_bench.registry:Registry.get"})
    assert things.get("inner") is Registry.get


@pytest.mark.usefixtures("installed")
def test_a_taken_name_is_reported() -> None:
    things = registry()
    assert things.get("own") != 41
    assert things.clashes == [
        "thing 'own' of package good-package is ignored: the name belongs to nacd-bench"
    ]


def test_the_real_ones() -> None:
    assert {"texture", "boundary", "large_color", "small_color", "text"} <= set(DETECTORS)
    assert {"x265", "avif", "hm", "vtm", "command"} <= set(CODECS)
    assert DETECTORS.clashes == []
    for name in ("texture", "boundary", "large_color", "small_color", "text"):
        assert DETECTORS.get(name).name == name
