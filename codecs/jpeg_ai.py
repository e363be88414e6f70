"""The JPEG AI reference software, run in the user's own checkout and interpreter.

The defaults are the command lines of its version 4 and later. Earlier ones differ in the paths of
their configuration files, so both commands are templates.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nacd_bench.coding.codec import OperatingPoints
from nacd_bench.errors import CodecError
from nacd_codecs.process import find_program
from nacd_codecs.templates import DECODE_PLACES, ENCODE_PLACES, Commands, Template, TemplateCodec

HOME = "https://gitlab.com/wg1/jpeg-ai/jpeg-ai-reference-software"
CONFIGS = ("cfg/tools_off.json", "cfg/profiles/high.json")
TARGETS = (0.06, 0.12, 0.25, 0.5, 0.75)
"""Rates in bpp of the common test conditions."""
EXIT_HINTS = {
    56: "a file of a model is missing; fetch the checkpoints (git lfs pull or dvc pull)",
    136: "a model has no list of checkpoints; the checkout is not complete",
    156: "a model is not in the folder models; the configuration belongs to another version",
}
"""Its exit statuses -200, -120 and -100, as the system reports them."""


class JPEGAI(TemplateCodec):
    """JPEG AI by its reference software.

    The software searches for the target rate itself and may miss it by 10 % without an error; the
    rate counted is always that of the file.

    Args:
        root: the software's checkout; else by ``NACD_JPEG_AI_ROOT``.
        python: the interpreter with its packages; else by ``NACD_JPEG_AI_PYTHON`` or ``PATH``.
        configs: configuration files, relative to ``root``.
        targets: rates in bpp to choose from; the software takes whole hundredths.
        encode: arguments after the interpreter, to replace the default ones. Places:
            ``{input}``, ``{bitstream}``, ``{point}`` (100 x bpp), ``{width}``, ``{height}``.
        decode: likewise, with ``{bitstream}`` and ``{output}``.
        gpu: what ``CUDA_VISIBLE_DEVICES`` is set to (default: as it is); the software takes the CPU
            where that is empty. With a GPU, images run one at a time.
        time_limit: seconds for one run.
    """

    name = "jpeg_ai"

    def __init__(
        self,
        root: str | Path | None = None,
        python: str | Path | None = None,
        configs: Sequence[str] = CONFIGS,
        targets: Sequence[float] = TARGETS,
        encode: Sequence[str] | None = None,
        decode: Sequence[str] | None = None,
        gpu: str | int | None = None,
        time_limit: float = 3600.0,
    ) -> None:
        self.root = _root(root)
        self.gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "") if gpu is None else str(gpu)
        self.in_main_process = bool(self.gpu)
        interpreter = find_program(
            "the interpreter of the JPEG AI software",
            "python",
            python,
            "NACD_JPEG_AI_PYTHON",
            ["python", "python3"],
            "It is the one of the environment that the software's README sets up.",
        )
        program = str(interpreter).replace("{", "{{").replace("}", "}}")
        encode = encode or [
            *("-m", "src.reco.coders.encoder", "{input}", "{bitstream}"),
            *("--set_target_bpp", "{point}", "--cfg", *configs),
        ]
        decode = decode or ["-m", "src.reco.coders.decoder", "{bitstream}", "{output}"]
        for target in targets:
            if not 0.01 <= target <= 24 or abs(100 * target - round(100 * target)) > 1e-6:
                raise CodecError(
                    f"jpeg_ai expects target rates in whole hundredths of a bpp, got {target:g}."
                )
        super().__init__(
            Commands(
                encode=Template(
                    [program, *encode],
                    ENCODE_PLACES,
                    ["input", "bitstream", "point"],
                    "encode",
                ),
                decode=Template(
                    [program, *decode], DECODE_PLACES, ["bitstream", "output"], "decode"
                ),
                points=OperatingPoints("target_bpp", tuple(sorted(targets)), slope=0.9),
                bitstream_suffix=".bits",
                time_limit=time_limit,
                environment={"CUDA_VISIBLE_DEVICES": self.gpu},
                working_directory=self.root,
                exit_hints=EXIT_HINTS,
            )
        )

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {**super().parameters, "gpu": bool(self.gpu)}

    def version(self) -> str:
        """Name and version from the checkout's ``cfg/info.json``."""
        file = self.root / "cfg" / "info.json"
        try:
            info = json.loads(file.read_text("utf-8"))
            return f"JPEG AI reference software {info['codec_name']} {info['version']}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CodecError(
                f"expected name and version of the JPEG AI software in {file}, got {error!r}. "
                "Point at the top folder of its checkout."
            ) from error

    def point_value(self, point: float) -> float:
        return round(100 * point)


def _root(given: str | Path | None) -> Path:
    variable = "NACD_JPEG_AI_ROOT"
    pointed = given or os.environ.get(variable)
    if not pointed:
        raise CodecError(
            f"the JPEG AI reference software is not found: neither the option root nor {variable} "
            f"is set. Clone {HOME}, set it up as its README says, and point at the clone."
        )
    root = Path(pointed).expanduser().absolute()
    if not (root / "src").is_dir():
        raise CodecError(
            f"expected a checkout of the JPEG AI reference software, got {root}, which has no "
            f"folder src. Clone {HOME} and point at the clone by root or {variable}."
        )
    return root
