"""The intra encoders that an ``ffmpeg`` executable brings: x265, VVenC, Kvazaar and SVT-AV1."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nacd_bench.coding.codec import Codec, Image, OperatingPoints
from nacd_bench.errors import CodecError
from nacd_bench.registry import unknown
from nacd_codecs.process import Encoding, Finished, find_program, require_file, run, work_folder
from nacd_codecs.stream_size import mark_padding, split_padding
from nacd_codecs.yuv import YuvFormat, planes_from_bytes, planes_to_bytes, to_image, to_planes


@dataclass(frozen=True)
class Encoder:
    """One of ffmpeg's encoders.

    Args:
        standard: ``"hevc"``, ``"vvc"`` or ``"av1"``.
        container: ffmpeg's name of the raw stream format.
        arguments: the encoder's options, with ``{qp}`` and ``{preset}``. One thread, so that the
            bytes do not depend on the machine, and no text of the encoder's in the stream.
        preset: slowest preset that is still of use.
        qps: operating points in order of rising rate.
        depths: bits per sample that it takes; the first is the default.
        chromas: chroma formats that it takes.
        multiple: width and height are padded to a multiple of this.
        min_side: shortest side that it takes.
    """

    standard: str
    container: str
    arguments: tuple[str, ...]
    preset: str
    qps: range
    depths: tuple[int, ...]
    chromas: tuple[int, ...] = (420,)
    multiple: int = 2
    min_side: int = 1


ENCODERS = {
    "libx265": Encoder(
        "hevc",
        "hevc",
        (
            *("-preset", "{preset}", "-tune", "psnr", "-x265-params"),
            "qp={qp}:keyint=1:pools=none:frame-threads=1:info=0:log-level=warning",
        ),
        "placebo",
        range(51, -1, -1),
        (8, 10, 12),
        (420, 444),
        min_side=32,
    ),
    "libvvenc": Encoder(
        "vvc",
        "vvc",
        ("-preset", "{preset}", "-qp", "{qp}", "-qpa", "0", "-threads", "1"),
        "slower",
        range(63, -1, -1),
        (10,),
        min_side=16,
    ),
    "libkvazaar": Encoder(
        "hevc",
        "hevc",
        ("-kvazaar-params", "qp={qp},preset={preset},period=1,threads=0,owf=0,info=0"),
        "placebo",
        range(51, -1, -1),
        (8,),
        multiple=8,
    ),
    "libsvtav1": Encoder(
        "av1",
        "obu",
        ("-preset", "{preset}", "-qp", "{qp}", "-svtav1-params", "lp=1"),
        "4",  # 2 gains 2 % of rate, but SVT-AV1 1.4 then destroys pictures of 64 x 64
        range(63, 0, -1),
        (8, 10),
        min_side=64,
    ),
}
GET = (
    "It comes with every Linux distribution (apt install ffmpeg) and in the wheel imageio-ffmpeg, "
    "whose build has all four encoders."
)


class FFmpeg(Codec):
    """An encoder of an ``ffmpeg`` executable, with constant QP and a single intra picture.

    Args:
        encoder: ``"libx265"``, ``"libvvenc"``, ``"libkvazaar"`` or ``"libsvtav1"``.
        preset: the encoder's speed preset (default: a slow one, see :data:`ENCODERS`).
        program: the executable; else by ``NACD_FFMPEG`` or ``PATH``.
        chroma: 420, or 444 with libx265.
        depth: bits per sample (default: 8, with libvvenc 10).
        matrix: ``"bt601"`` or ``"bt709"``.
        range: ``"full"`` or ``"limited"``.
        extra: more arguments for ffmpeg, before the output.
        time_limit: seconds for one run.
    """

    name = "ffmpeg"

    def __init__(
        self,
        encoder: str = "libx265",
        preset: str | None = None,
        program: str | Path | None = None,
        chroma: int = 420,
        depth: int | None = None,
        matrix: str = "bt601",
        range: str = "full",
        extra: Sequence[str] = (),
        time_limit: float = 600.0,
    ) -> None:
        if encoder not in ENCODERS:
            raise CodecError(unknown("encoder of ffmpeg", encoder, list(ENCODERS)))
        self.encoder = encoder
        self.facts = facts = ENCODERS[encoder]
        self.preset = preset or facts.preset
        self.format = YuvFormat(chroma, depth or facts.depths[0], matrix, range)
        if chroma not in facts.chromas or self.format.depth not in facts.depths:
            raise CodecError(
                f"{encoder} takes chroma {_listed(facts.chromas)} and depth "
                f"{_listed(facts.depths)}, got {chroma} and {self.format.depth}."
            )
        self.extra = tuple(str(word) for word in extra)
        self.time_limit = time_limit
        self.points = OperatingPoints("qp", tuple(facts.qps), slope=0.12)
        self.min_size = (facts.min_side, facts.min_side)
        self.program = find_program("ffmpeg", "program", program, "NACD_FFMPEG", ["ffmpeg"], GET)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {
            "encoder": self.encoder,
            "preset": self.preset,
            "extra": list(self.extra),
            **asdict(self.format),
        }

    def version(self) -> str:
        """ffmpeg's version and the encoder, such as ``ffmpeg 7.1, libx265``.

        Raises:
            CodecError: the program is not ffmpeg, or was built without the encoder.
        """
        said = run([self.program, "-version"], 60).banner
        found = re.match(r"ffmpeg version (\S+)", said)
        if not found:
            raise CodecError(
                f"expected {self.program} to be ffmpeg, got a program that says {said[:100]!r}. "
                f"{GET}"
            )
        listed = run([self.program, "-hide_banner", "-encoders"], 60).output
        if not re.search(rf"^ V\S+ {self.encoder} ", listed, re.MULTILINE):
            has = [name for name in ENCODERS if f" {name} " in listed]
            raise CodecError(
                f"{self.program} has no {self.encoder}; of the encoders known here it has "
                f"{_listed(has) or 'none'}. {GET}"
            )
        return f"ffmpeg {found[1]}, {self.encoder}"

    def encode(self, image: Image, point: float) -> bytes:
        with work_folder() as folder:
            return self.encode_in(folder, image, point).stream

    def encode_in(self, folder: Path, image: Image, point: float) -> Encoding:
        """Encode with all files in ``folder``; they stay there."""
        self.require(image, point)
        height, width = image.shape[:2]
        columns, rows = (-side % self._multiple for side in (width, height))
        padded = np.pad(image, ((0, rows), (0, columns), (0, 0)), "edge")
        source, stream = folder / "in.yuv", folder / "out.bin"
        source.write_bytes(planes_to_bytes(to_planes(padded, self.format)))
        arguments = self._encode(point, f"{width + columns}x{height + rows}", source, stream)
        finished = self._run(arguments)
        data = require_file(finished, stream)
        return Encoding(mark_padding(data, self.facts.standard, columns, rows), finished)

    def decode(self, data: bytes) -> Image:
        stream, columns, rows = split_padding(data, self.facts.standard)
        with work_folder() as folder:
            source, decoded = folder / "in.bin", folder / "out.y4m"
            source.write_bytes(stream)
            arguments = ["-f", self.facts.container, "-i", f"file:{source}", "-frames:v", "1"]
            arguments += ["-f", "yuv4mpegpipe", "-strict", "-1", f"file:{decoded}"]
            video = require_file(self._run(arguments), decoded)
        return self._image(video, columns, rows)

    def command_line(self, point: float, fine: float | None = None) -> str:
        words = self._encode(point, "WxH", Path("in.yuv"), Path("out.bin"))
        return shlex.join([self.program.name, *words])

    def _encode(self, point: float, size: str, source: Path, stream: Path) -> list[str]:
        deep = f"{self.format.depth}le" if self.format.depth > 8 else ""
        arguments = ["-f", "rawvideo", "-pix_fmt", f"yuv{self.format.chroma}p{deep}"]
        arguments += ["-s", size, "-i", f"file:{source}", "-frames:v", "1", "-c:v", self.encoder]
        words = {"qp": int(point), "preset": self.preset}
        arguments += [word.format(**words) for word in self.facts.arguments]
        return [*arguments, *self.extra, "-f", self.facts.container, f"file:{stream}"]

    @property
    def _multiple(self) -> int:
        return 1 if self.format.chroma == 444 else self.facts.multiple

    def _run(self, arguments: Sequence[str]) -> Finished:
        return run(
            [self.program, "-hide_banner", "-nostdin", "-y", "-loglevel", "warning", *arguments],
            self.time_limit,
        )

    def _image(self, video: bytes, columns: int, rows: int) -> Image:
        """The first picture of a YUV4MPEG2 file, without its last columns and rows."""
        header, _, rest = video.partition(b"\n")
        found = re.match(rb"YUV4MPEG2 W(\d+) H(\d+)", header)
        coded = re.search(rb" C(\d{3})(?:\w*p(\d+))?", header)
        if not found or not coded or int(coded[1]) != self.format.chroma:
            raise CodecError(
                f"expected a picture in {self.format.chroma} from ffmpeg, got {header!r}. Decode "
                "with the settings that encoded."
            )
        width, height = int(found[1]), int(found[2])
        samples = rest.partition(b"\n")[2]  # after the line FRAME
        planes = planes_from_bytes(samples, self.format, width, height, int(coded[2] or 8))
        return to_image(planes, self.format, width - columns, height - rows)


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)
