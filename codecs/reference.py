"""What the adapters of HM and VTM share: the joint video teams' reference software, intra coded.

Both take planar YCbCr files and write an Annex B stream and their reconstruction. Their exit
statuses mean little (HM returns 0 for a missing input and leaves an empty stream; VTM aborts), so
an encoding counts when the stream holds a picture of the right size and the reconstruction is
complete. The bytes of a codec here are the encoder's file (see :mod:`nacd_codecs.stream_size`).
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

from nacd_bench.coding.codec import Codec, FineControl, Image
from nacd_bench.errors import CodecError
from nacd_bench.triplets.files import sha256
from nacd_codecs.process import Encoding, find_program, require_file, run, work_folder
from nacd_codecs.stream_size import coded_picture, mark_padding, split_padding
from nacd_codecs.yuv import YuvFormat, planes_from_bytes, planes_to_bytes, to_image, to_planes

LAMBDA_RANGE = (0.7, 1.4)
"""Factors on lambda between which the picture stays that of its QP; half a QP's rate each way."""


class ReferenceSoftware(Codec):
    """A reference encoder and decoder found on this machine.

    The fine control between two QPs is a factor on lambda (``-LMI``): from 0.7 to 1.4 the rate
    falls by one to two steps of QP.

    Args:
        encoder: the encoder; else by environment variable or ``PATH``.
        decoder: the decoder, likewise.
        config: the configuration file, or the folder with the software's own ones; else by
            environment variable or the folder ``cfg`` of the checkout the encoder lies in.
        chroma: 420 or 444.
        input_depth: bits per sample of the planes given to the encoder, 8 or 10.
        matrix: ``"bt601"`` or ``"bt709"``.
        range: ``"full"`` or ``"limited"``.
        lambda_modifier: factor on lambda, 0.7 to 1.4, where no other is asked for; 1 leaves
            ``-LMI`` out.
        extra: more arguments for the encoder.
        time_limit: seconds for one run of either program (default: :attr:`patience`).
    """

    label: ClassVar[str]
    """What the software is called in its banner and in errors."""
    standard: ClassVar[str]
    encoder_names: ClassVar[Sequence[str]]
    decoder_names: ClassVar[Sequence[str]]
    home: ClassVar[str]
    """Where to get it."""
    patience: ClassVar[float]
    """Seconds after which a run is taken to hang: several times what 12 megapixels need."""
    config_name: str
    """The software's configuration file for these settings."""
    depth_arguments: tuple[str, ...] = ()

    def __init__(
        self,
        encoder: str | Path | None = None,
        decoder: str | Path | None = None,
        config: str | Path | None = None,
        chroma: int = 420,
        input_depth: int = 8,
        matrix: str = "bt601",
        range: str = "full",
        lambda_modifier: float = 1.0,
        extra: Sequence[str] = (),
        time_limit: float | None = None,
    ) -> None:
        self.format = YuvFormat(chroma, input_depth, matrix, range)
        self.lambda_modifier = self._checked_modifier(lambda_modifier)
        self.fine = FineControl("lmi", *LAMBDA_RANGE, neutral=lambda_modifier)
        self.extra = tuple(str(word) for word in extra)
        self.time_limit = time_limit or self.patience
        self.encoder = self._find("encoder", encoder, self.encoder_names)
        self.decoder = self._find("decoder", decoder, self.decoder_names)
        self.config = self._find_config(config)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            **asdict(self.format),
            "config": self.config.name,
            "config_sha256": sha256(self.config.read_bytes())[:16],
            "lambda_modifier": self.lambda_modifier,
            "extra": list(self.extra),
        }

    def version(self) -> str:
        """Name and version from the encoder's banner, such as ``HM 18.0``.

        Raises:
            CodecError: a banner is another software's, or the two programs are of two versions.
        """
        encoder = self._banner(self.encoder, "Encoder")
        decoder = self._banner(self.decoder, "Decoder")
        if encoder != decoder:
            raise CodecError(
                f"expected encoder and decoder of one version, got {self.label} {encoder} "
                f"({self.encoder}) and {decoder} ({self.decoder}). Point both at one build."
            )
        return f"{self.label} {encoder}"

    def encode(self, image: Image, point: float) -> bytes:
        return self.encode_fine(image, point, self.lambda_modifier)

    def encode_fine(self, image: Image, point: float, value: float) -> bytes:
        with work_folder() as folder:
            return self.encode_in(folder, image, point, value).stream

    def encode_in(
        self, folder: Path, image: Image, point: float, lambda_modifier: float = 1.0
    ) -> Encoding:
        """Encode with all files in ``folder``; they stay there."""
        self.require(image, point)
        modifier = self._checked_modifier(lambda_modifier)
        height, width = image.shape[:2]
        columns, rows = self.format.coded_size(width, height)
        source, stream, decoded = (folder / name for name in ("in.yuv", "out.bin", "rec.yuv"))
        source.write_bytes(planes_to_bytes(to_planes(image, self.format)))
        finished = run(
            [
                *(self.encoder, "-c", self.config),
                *("-i", source, "-wdt", columns, "-hgt", rows),
                *self._settings(point, modifier),
                *("-b", stream, "-o", decoded),
            ],
            self.time_limit,
        )
        data = require_file(finished, stream)
        picture = coded_picture(data, self.standard)
        if (picture.width, picture.height, picture.chroma) != (columns, rows, self.format.chroma):
            raise finished.failure(
                f"wrote a picture of {picture.width} x {picture.height} in {picture.chroma} where "
                f"{columns} x {rows} in {self.format.chroma} was expected"
            )
        size = self.format.frame_bytes(width, height, picture.depth)
        reconstruction = require_file(finished, decoded, size)
        data = mark_padding(data, self.standard, columns - width, rows - height)
        return Encoding(data, finished, reconstruction)

    def decode(self, data: bytes) -> Image:
        stream, columns, rows = split_padding(data, self.standard)
        picture = coded_picture(stream, self.standard)
        format = replace(self.format, chroma=picture.chroma)
        with work_folder() as folder:
            source, decoded = folder / "in.bin", folder / "out.yuv"
            source.write_bytes(stream)
            finished = run([self.decoder, "-b", source, "-o", decoded, "-d", 0], self.time_limit)
            size = format.frame_bytes(picture.width, picture.height, picture.depth)
            samples = require_file(finished, decoded, size)
        planes = planes_from_bytes(samples, format, picture.width, picture.height, picture.depth)
        return to_image(planes, format, picture.width - columns, picture.height - rows)

    def command_line(self, point: float, fine: float | None = None) -> str:
        settings = self._settings(point, self.lambda_modifier if fine is None else fine)
        words = [self.encoder.name, "-c", self.config.name]
        words += ["-i", "in.yuv", "-wdt", "W", "-hgt", "H"]
        return shlex.join([*words, *settings, "-b", "out.bin", "-o", "rec.yuv"])

    def _settings(self, point: float, modifier: float) -> list[str]:
        """The encoder's arguments that do not name the image."""
        settings = ["-fr", "1", "-f", "1", "-q", f"{point:g}"]
        settings += [f"--InputBitDepth={self.format.depth}"]
        settings += [f"--InputChromaFormat={self.format.chroma}", "--ConformanceWindowMode=1"]
        settings += ["--SEIDecodedPictureHash=0", "--Level=6.2"]
        settings += ["-LMI", f"{modifier:.6g}"] if modifier != 1 else []
        return [*settings, *self.depth_arguments, *self.extra]

    def _checked_modifier(self, value: float) -> float:
        low, high = LAMBDA_RANGE
        if not low <= value <= high:
            raise CodecError(
                f"{self.name} expects a lambda modifier from {low} to {high}, got {value:g}. "
                "Use another QP for a larger change of rate."
            )
        return value

    def _banner(self, program: Path, role: str) -> str:
        finished = run([program], 60)
        found = re.search(rf"{self.label}.*{role} Version \[?([\w.]+)", finished.output)
        if not found:
            raise CodecError(
                f"expected {program} to be the {self.label} {role.lower()}, got a program that "
                f"says {finished.banner[:100]!r}. Point at the one that was built from {self.home}."
            )
        return found[1]

    def _find(self, role: str, given: str | Path | None, names: Sequence[str]) -> Path:
        variable = f"NACD_{self.label}_{role.upper()}"
        get = f"{self.label} is built from {self.home}."
        return find_program(f"the {self.label} {role}", role, given, variable, names, get)

    def _find_config(self, given: str | Path | None) -> Path:
        variable = f"NACD_{self.label}_CONFIG"
        pointed = given or os.environ.get(variable)
        if pointed:
            path = Path(pointed).expanduser().absolute()
            path = path / self.config_name if path.is_dir() else path
            if path.is_file():
                return path
            tried = f"{path} is not a file"
        else:
            for folder in self.encoder.resolve().parents:
                if (folder / "cfg" / self.config_name).is_file():
                    return folder / "cfg" / self.config_name
            tried = f"no folder above {self.encoder} has cfg/{self.config_name}"
        raise CodecError(
            f"the {self.label} configuration {self.config_name} is not found: {tried}. It is in "
            f"the folder cfg of {self.home}; point at the file or that folder by the option config "
            f"or the environment variable {variable}."
        )
