"""Command lines with places to fill in, and a codec made of two of them.

A template is split into arguments before anything is filled in, and no shell reads it: a file name
with spaces, quotes, ``;`` or a leading ``-`` stays one argument.
"""

from __future__ import annotations

import os
import shlex
import shutil
import string
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nacd_bench.coding.codec import Codec, Image, OperatingPoints
from nacd_bench.errors import CodecError
from nacd_bench.registry import unknown
from nacd_codecs.image_files import ImageFormat
from nacd_codecs.process import Finished, require_file, run, work_folder

ENCODE_PLACES = ("input", "bitstream", "point", "width", "height")
DECODE_PLACES = ("bitstream", "output", "point", "width", "height")
NUMBERS = {"point", "width", "height"}
SIDE_DATA = struct.Struct("<4sIId")
"""Width, height and point, in front of the file of a codec whose decoder has to be told them."""
MAGIC = b"NACD"


class Template:
    """A command line with ``{places}``.

    Args:
        words: the arguments, or one string that is split like a shell would split it.
        places: names that may be filled in.
        needed: names that must occur.
        what: what the command is, for messages.

    >>> template = Template("enc -q {point:.2f} {input}", ["input", "point"], ["input"], "encode")
    >>> template.filled(point=0.25, input="a b;c.png")
    ['enc', '-q', '0.25', 'a b;c.png']
    """

    def __init__(
        self, words: str | Sequence[object], places: Sequence[str], needed: Sequence[str], what: str
    ) -> None:
        self.what = what
        try:
            split = shlex.split(words) if isinstance(words, str) else words
            self.words = [str(word) for word in split]
            parsed = [part for word in self.words for part in string.Formatter().parse(word)]
        except ValueError as error:
            raise CodecError(
                f"the command {what} does not parse: {error}. Close every quote and brace, and "
                "write {{ or }} for a brace that is meant."
            ) from error
        self.used = {name for _, name, _, _ in parsed if name is not None}
        for _, name, spec, conversion in parsed:
            if name is None:
                continue
            if name not in places:
                known = ["{" + place + "}" for place in places]
                raise CodecError(unknown(f"placeholder in {what}", "{" + name + "}", known))
            if conversion or (spec and name not in NUMBERS):
                raise CodecError(
                    f"{{{name}}} in {what} takes no conversion or format; only numbers do."
                )
        missing = [f"{{{name}}}" for name in needed if name not in self.used]
        if not self.words or missing:
            raise CodecError(
                f"the command {what} lacks {', '.join(missing) or 'a program'}: "
                f"{shlex.join(self.words)!r}."
            )

    def filled(self, **values: object) -> list[str]:
        """The arguments with every place filled in."""
        try:
            return [word.format_map(values) for word in self.words]
        except ValueError as error:
            raise CodecError(f"a number's format in {self.what} is wrong: {error}.") from error


@dataclass(frozen=True)
class Commands:
    """A codec as two command lines.

    Args:
        encode: from ``{input}`` to ``{bitstream}``, at ``{point}``; ``{width}`` and ``{height}``
            are those of the image in the file (even for ``yuv420p``).
        decode: from ``{bitstream}`` to ``{output}``.
        points: the operating points.
        input: kind of file for ``{input}``.
        output: kind of file for ``{output}``.
        bitstream_suffix: ending of ``{bitstream}``; some programs choose by it.
        version_command: prints the version in its first line; without it, changes of the
            program go unnoticed.
        time_limit: seconds for one run.
        environment: variables added to the environment.
        working_directory: where the commands run.
        exit_statuses: those that mean success.
        exit_hints: what some others mean.
        min_size: smallest height and width.
        name: what results call the codec, in place of the adapter's name.
    """

    encode: Template
    decode: Template
    points: OperatingPoints
    input: ImageFormat = field(default_factory=ImageFormat)
    output: ImageFormat = field(default_factory=ImageFormat)
    bitstream_suffix: str = ".bin"
    version_command: Template | None = None
    time_limit: float = 600.0
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: Path | None = None
    exit_statuses: tuple[int, ...] = (0,)
    exit_hints: Mapping[int, str] = field(default_factory=dict)
    min_size: tuple[int, int] = (1, 1)
    name: str | None = None

    @property
    def needs_side_data(self) -> bool:
        """True where the decoder has to be told the size or the operating point."""
        return (
            self.input.has_planes
            or self.output.has_planes
            or bool(self.decode.used & {"width", "height", "point"})
        )


class TemplateCodec(Codec):
    """A codec run by two command lines.

    Its bytes are the file that the encoder wrote. Where the decoder has to be told the image's size
    (raw planes) or the operating point, 20 bytes with them come before it, which are not counted as
    rate.
    """

    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        self.name = commands.name or self.name
        self.points = commands.points
        self.min_size = commands.min_size
        for template in (commands.encode, commands.decode, commands.version_command):
            if template is not None:
                self._require_program(template)
                self._filled(template, self.points.values[0], 1, 1)  # a wrong format comes out now

    @property
    def parameters(self) -> Mapping[str, Any]:
        commands = self.commands
        return {
            "encode": commands.encode.words,
            "decode": commands.decode.words,
            "input": asdict(commands.input),
            "output": asdict(commands.output),
            "bitstream_suffix": commands.bitstream_suffix,
            "environment": dict(commands.environment),
            "working_directory": str(commands.working_directory or ""),
        }

    def version(self) -> str:
        """The first line that the version command prints."""
        command = self.commands.version_command
        if command is None:
            return f"{Path(self.commands.encode.words[0]).name} without a version command"
        finished = self._run(command.filled())
        if not finished.banner:
            raise finished.failure("printed no version")
        return finished.banner

    def encode(self, image: Image, point: float) -> bytes:
        self.require(image, point)
        height, width = image.shape[:2]
        commands = self.commands
        with work_folder() as folder:
            source, stream = self._paths(folder, f"input{commands.input.suffix}")
            source.write_bytes(commands.input.written(image))
            size = commands.input.file_size(width, height)
            finished = self._run(
                self._filled(commands.encode, point, *size, input=source, bitstream=stream)
            )
            data = self._file(finished, stream)
        head = SIDE_DATA.pack(MAGIC, width, height, point) if commands.needs_side_data else b""
        return head + data

    def decode(self, data: bytes) -> Image:
        commands = self.commands
        width, height, point, stream_data = self._split(data)
        with work_folder() as folder:
            result, stream = self._paths(folder, f"output{commands.output.suffix}")
            stream.write_bytes(stream_data)
            size = commands.output.file_size(width, height)
            finished = self._run(
                self._filled(commands.decode, point, *size, output=result, bitstream=stream)
            )
            content = self._file(finished, result)
        try:
            image = commands.output.read(content, width, height)
        except CodecError as error:
            raise finished.failure(f"wrote a file that cannot be used: {error}") from error
        if not commands.needs_side_data:
            return image
        expected = commands.input.file_size(width, height)
        if image.shape[1::-1] not in ((width, height), expected):
            raise finished.failure(
                f"wrote an image of {image.shape[1]} x {image.shape[0]} where {width} x {height} "
                "was expected"
            )
        return image[:height, :width]

    def rate_bytes(self, data: bytes) -> float:
        return len(data) - (SIDE_DATA.size if self.commands.needs_side_data else 0)

    def command_line(self, point: float, fine: float | None = None) -> str:
        value = str(self.point_value(point))
        return shlex.join(word.replace("{point}", value) for word in self.commands.encode.words)

    def point_value(self, point: float) -> float:
        """What ``{point}`` becomes."""
        return int(point) if point == int(point) else point

    def _split(self, data: bytes) -> tuple[int, int, float, bytes]:
        if not self.commands.needs_side_data:
            return 0, 0, self.points.values[0], data
        if not data.startswith(MAGIC) or len(data) < SIDE_DATA.size:
            raise CodecError(
                f"expected bytes that this codec's encode returned, got {len(data)} bytes that "
                f"begin with {data[:4]!r}. Decode with the codec and settings that encoded."
            )
        _, width, height, point = SIDE_DATA.unpack_from(data)
        return width, height, point, data[SIDE_DATA.size :]

    def _paths(self, folder: Path, image: str) -> tuple[Path, Path]:
        # In folders of their own: the JPEG AI software puts logs beside the bitstream's folder.
        stream = f"data{self.commands.bitstream_suffix}"
        paths = folder / "image" / image, folder / "stream" / stream
        for path in paths:
            path.parent.mkdir()
        return paths

    def _filled(
        self, template: Template, point: float, width: int, height: int, **paths: Path
    ) -> list[str]:
        values = {**dict.fromkeys(template.used, ""), **paths, "width": width, "height": height}
        return template.filled(**{**values, "point": self.point_value(point)})

    def _run(self, arguments: Sequence[str]) -> Finished:
        commands = self.commands
        return run(arguments, commands.time_limit, commands.working_directory, commands.environment)

    def _file(self, finished: Finished, path: Path) -> bytes:
        hint = self.commands.exit_hints.get(finished.code)
        if hint:
            raise finished.failure(f"failed: {hint}")
        return require_file(finished, path, accepted=self.commands.exit_statuses)

    def _require_program(self, template: Template) -> None:
        program = template.words[0]
        folder = self.commands.working_directory or Path.cwd()
        path = self.commands.environment.get("PATH", os.environ.get("PATH"))
        if shutil.which(str(folder / program) if os.sep in program else program, path=path) is None:
            raise CodecError(
                f"the program of the command {template.what}, {program}, is not an executable file "
                f"{f'in {folder}' if os.sep in program else 'on PATH'}. Install it or write its "
                "full path."
            )
