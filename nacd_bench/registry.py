"""Named, lazily loaded plug-ins: detectors, baselines, codecs and text finders.

One :class:`Registry` per kind. A name comes from a decorator, from a lazy ``"module:object"``
target, or from an entry point of any installed package, so that a third-party package needs no
change here::

    [project.entry-points."nacd_bench.detectors"]
    ringing = "my_package.ringing:Ringing"
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from importlib.metadata import entry_points
from operator import attrgetter
from typing import Any

from nacd_bench.errors import PluginError

BUILT_IN = "nacd-bench"


@dataclass(frozen=True)
class Plugin:
    """A registered name, its target (an object or ``"module:object"``) and its package."""

    name: str
    target: Any
    origin: str

    def load(self) -> Any:
        """The registered object; :class:`PluginError` when its import fails."""
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            return attrgetter(attribute)(importlib.import_module(module))
        except (Exception, SystemExit) as error:  # a plug-in may raise anything on import
            raise PluginError(
                f"'{self.name}' of package {self.origin} ({self.target}) does not load: "
                f"{type(error).__name__}: {error}. Repair or uninstall {self.origin}."
            ) from error


class Registry:
    """Names to objects of one kind.

    Args:
        kind: what the objects are, for messages (``"detector"``).
        group: entry-point group in which other packages register theirs.
        targets: the built-in names and their lazy ``"module:object"`` targets.
    """

    def __init__(self, kind: str, group: str, targets: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self.group = group
        self._own = {
            name: Plugin(name, target, BUILT_IN) for name, target in (targets or {}).items()
        }

    def register(self, name: str, origin: str = "this process") -> Callable[[Any], Any]:
        """A decorator that registers its object under ``name``; a taken name is refused."""

        def decorate(target: Any) -> Any:
            if name in self.entries and self.entries[name].target is not target:
                raise PluginError(
                    f"{self.kind} '{name}' is already registered by {self.entries[name].origin}. "
                    "Choose another name."
                )
            self._own[name] = Plugin(name, target, origin)
            self.__dict__.pop("entries", None)
            return target

        return decorate

    @cached_property
    def entries(self) -> dict[str, Plugin]:
        """All names in order: built in first, then those of other packages by name.

        Of two packages with the same name for a thing, the first in the alphabet has it.
        """
        plugins = dict(self._own)
        for plugin in self._installed:
            plugins.setdefault(plugin.name, plugin)
        return plugins

    @cached_property
    def clashes(self) -> list[str]:
        """One line per installed name that is not used because it was already taken."""
        return [
            f"{self.kind} '{plugin.name}' of package {plugin.origin} is ignored: the name belongs "
            f"to {self.entries[plugin.name].origin}"
            for plugin in self._installed
            if self.entries[plugin.name] != plugin
        ]

    @cached_property
    def _installed(self) -> list[Plugin]:
        plugins = [
            Plugin(
                point.name, point.value, (point.dist and point.dist.name) or "an unnamed package"
            )
            for point in entry_points(group=self.group)
        ]
        return sorted(plugins, key=lambda plugin: (plugin.name, plugin.origin))

    def get(self, name: str) -> Any:
        """The object registered under ``name``.

        Raises:
            PluginError: the name is unknown (near misses named) or its import fails.
        """
        if name not in self.entries:
            raise PluginError(unknown(self.kind, name, list(self.entries)))
        return self.entries[name].load()

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)


def unknown(kind: str, name: str, known: list[str]) -> str:
    """The message for a ``name`` that is not one of ``known``, with the near misses.

    >>> unknown("detector", "textrue", ["texture", "text", "boundary"])
    "unknown detector 'textrue'; did you mean 'texture' or 'text'? Known: texture, text, boundary"
    """
    near = " or ".join(f"'{match}'" for match in get_close_matches(name, known, cutoff=0.5))
    hint = f"; did you mean {near}?" if near else "."
    return f"unknown {kind} '{name}'{hint} Known: {', '.join(known) or 'none'}"


DETECTORS = Registry(
    "detector",
    "nacd_bench.detectors",
    {
        "texture": "nacd_bench.detectors.texture:Texture",
        "boundary": "nacd_bench.detectors.boundary:Boundary",
        "large_color": "nacd_bench.detectors.large_color:LargeColor",
        "large_color_clip": "nacd_bench.detectors.large_color:ClippedLargeColor",
        "small_color": "nacd_bench.detectors.small_color:SmallColor",
        "text": "nacd_bench.detectors.text:Text",
        "texture_severity": "nacd_bench.detectors.texture_severity:TextureSeverity",
        "color_severity": "nacd_bench.detectors.color_severity:ColorSeverity",
        "text_severity": "nacd_bench.detectors.text_severity:TextSeverity",
    },
)
TEXT_FINDERS = Registry(
    "text finder",
    "nacd_bench.text_finders",
    {
        "rapidocr": "nacd_bench.detectors.text_finders.rapidocr:RapidOCR",
        "mmocr": "nacd_bench.detectors.text_finders.mmocr:MMOCR",
        "file": "nacd_bench.detectors.text_finders.file:PolygonFile",
    },
)
BASELINES = Registry(
    "baseline",
    "nacd_bench.baselines",
    {
        "psnr": "nacd_bench.baselines.metrics:PSNR",
        "ssim": "nacd_bench.baselines.metrics:SSIM",
        "ms_ssim": "nacd_bench.baselines.metrics:MSSSIM",
        "iw_ssim": "nacd_bench.baselines.metrics:IWSSIM",
        "vifp": "nacd_bench.baselines.metrics:VIFp",
        "fsim": "nacd_bench.baselines.metrics:FSIM",
        "nlpd": "nacd_bench.baselines.metrics:NLPD",
        "gmsd": "nacd_bench.baselines.metrics:GMSD",
        "vsi": "nacd_bench.baselines.metrics:VSI",
        "haarpsi": "nacd_bench.baselines.metrics:HaarPSI",
        "mdsi": "nacd_bench.baselines.metrics:MDSI",
        "dss": "nacd_bench.baselines.metrics:DSS",
        "psnr_rgb": "nacd_bench.baselines.metrics:PSNRRGB",
        "psnr_hvsm": "nacd_bench.baselines.metrics:PSNRHVSM",
        "ciede2000": "nacd_bench.baselines.metrics:CIEDE2000",
        "vmaf": "nacd_bench.baselines.vmaf:VMAF",
        "ssimulacra2": "nacd_bench.baselines.metrics:SSIMULACRA2",
        "lpips": "nacd_bench.baselines.learned:LPIPS",
        "dists": "nacd_bench.baselines.learned:DISTS",
    },
)
CODECS = Registry("codec", "nacd_bench.codecs")
