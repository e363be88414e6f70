"""Any codec with a command line, as a row of data: a YAML file, no Python needed.

::

    encode: [mycodec, enc, --quality, "{point}", "{input}", "{bitstream}"]
    decode: mycodec dec {bitstream} {output}
    points: {name: quality, values: [10, 30, 50, 70, 90]}   # in order of rising rate

These three keys are needed; :class:`Row` has the others. The rows of HM, VTM, ffmpeg and the JPEG
AI software are in ``conf/codec/``.

A command is a list of arguments, or a string that is split into them like a shell would. It is
split before anything is filled in, and no shell reads it: a file name with spaces, quotes, ``;`` or
a leading ``-`` stays one argument. Its places are ``{input}`` (encode), ``{output}`` (decode),
``{bitstream}``, ``{point}``, ``{width}`` and ``{height}``; with raw planes ``{chroma}`` (420),
``{bit_depth}`` and ``{pixel_format}`` (``yuv420p10le``); the names in ``find``; and any key of the
row that :class:`Row` has not. A number may have a format (``{point:.2f}``). An argument that is
nothing but the place of a list becomes the arguments in the list.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import string
import struct
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from nacd_bench.coding.codec import Codec, FineControl, Image, OperatingPoints
from nacd_bench.errors import CodecError, UserError
from nacd_bench.registry import unknown
from nacd_bench.settings import Number, Positive, options, types_of
from nacd_bench.triplets.files import sha256
from nacd_bench.triplets.text_files import read_yaml
from nacd_codecs.image_files import KINDS, ImageFormat
from nacd_codecs.process import Finished, require_file, run, work_folder
from nacd_codecs.stream_size import PARAMETER_SETS, coded_picture, mark_padding, split_padding

ROWS = Path(str(files("nacd_conf"))) / "codec"
FOR_COMPRESS = ("label", "rate_factor")
"""Keys of the rows there that are not the codec's."""
NUMBERS = {"point", "width", "height", "fine"}
PLACES = {*NUMBERS, "input", "output", "bitstream", "reconstruction"}
BANNER_LIMIT = 60
"""Seconds after which a program that is asked for its version is taken to hang."""
GPUS = "CUDA_VISIBLE_DEVICES"
SIDE_DATA = struct.Struct("<4sIId")
"""Width, height and point, in front of the file of a codec whose decoder has to be told them."""
MAGIC = b"NACD"


def _with_different_values(points: OperatingPoints) -> OperatingPoints:
    if not points.values or len(set(points.values)) < len(points.values):
        raise ValueError
    return points


Words = str | Sequence[str | int | float]
Side = Literal["input", "output"]
_IMAGE_FORMATS = f"{', '.join(KINDS)} or {{input: ..., output: ...}}"
Pattern = Annotated[re.Pattern[str], Field(description="a regular expression of Python's")]


@options
class Installed:
    """Something of the user's that a row's commands need.

    Found by the row's key of the same name, else by an environment variable, else by ``names``.

    Args:
        variable: the environment variable.
        names: of a program, what to look for on ``PATH``; of a file, what to look for in the folder
            that is given and in those above the programs.
        kind: ``folder``: it has to be given, and has all ``names`` in it.
    """

    variable: str
    names: Sequence[str]
    kind: Literal["program", "file", "folder"] = "program"


@options
class Check:
    """A command whose output has to have a pattern, in which ``{version}`` is the codec's."""

    command: Words
    pattern: Pattern


@options
class Row:
    """A codec as data.

    Args:
        encode: from ``{input}`` to ``{bitstream}``, at ``{point}``; ``{width}`` and ``{height}``
            are those of the image in the file. With ``{reconstruction}`` the encoder writes the
            planes as a decoder will see them, which have to be complete.
        decode: from ``{bitstream}`` to ``{output}``.
        points: the operating points, in order of rising rate.
        point_scale: ``{point}`` is the point times this; ``{point:d}`` takes whole numbers only.
        name: what results call it.
        image_format: kind of file for ``{input}`` and ``{output}``, see
            :class:`~nacd_codecs.image_files.ImageFormat`.
        bit_depth: bits per sample.
        matrix: of raw planes, ``"bt601"`` or ``"bt709"``.
        range: of raw planes, ``"full"`` or ``"limited"``.
        takes: the kinds of ``{input}`` that the encoder takes, with their bit depths.
        multiple: sides are padded to a multiple of this by repeating the border (default: 2 for
            yuv420p, else 1).
        standard: what ``{bitstream}`` is. Then padding is marked in it, and the size of the picture
            in a stream of HEVC or VVC has to be right.
        bitstream_suffix: ending of ``{bitstream}``; some programs choose by it.
        fine: a setting between two operating points: ``{fine}`` inside ``fine_arguments``, a list
            that is left out where the value is 1.
        version: what results call the version.
        version_command: prints the version; without it, changes of the program go unnoticed.
        version_pattern: a regular expression for the version in its output: its group, or all.
        checks: more commands and what they have to print.
        time_limit: seconds for one run.
        environment: variables added to the environment.
        gpu: what ``CUDA_VISIBLE_DEVICES`` is set to, ``auto`` for what it is. Images run one at a
            time unless it is empty.
        working_directory: where the commands run, relative to the YAML file.
        exit_statuses: those that mean success.
        exit_hints: what others mean.
        min_size: smallest height and width.
        neural: whether it is learned.
        parameters: of its networks, how many.
        find: programs, files and folders of the user's, see :class:`Installed`.
        get: how to get them.
    """

    encode: Words
    decode: Words
    points: Annotated[
        OperatingPoints,
        AfterValidator(_with_different_values),
        Field(description="{name: ..., values: [...]}, in order of rising rate and all different"),
    ]
    point_scale: Positive = 1.0
    name: Annotated[str, Field(pattern=r"\S", description="a name")] = "command"
    image_format: Annotated[
        str | Mapping[Side, str],
        Field(description=_IMAGE_FORMATS),
    ] = "png"
    bit_depth: Annotated[
        int | Mapping[Side, int],
        Field(description="a whole number or {input: ..., output: ...}"),
    ] = 8
    matrix: Literal["bt601", "bt709"] = "bt601"
    range: Literal["full", "limited"] = "full"
    takes: Mapping[str, Sequence[int]] | None = None
    multiple: Number | None = None
    standard: Literal["hevc", "vvc", "av1"] | None = None
    bitstream_suffix: Annotated[
        str, Field(pattern=r"^\.[^/]+$", description="an ending like .bin")
    ] = ".bin"
    fine: FineControl | None = None
    version: str = "{version}"
    version_command: Words | None = None
    version_pattern: Pattern = re.compile(".+")
    checks: Sequence[Check] = ()
    time_limit: Positive = 600.0
    environment: Mapping[str, str | int | float] | None = None
    gpu: str | int | None = None
    working_directory: str = "."
    exit_statuses: Sequence[int] = (0,)
    exit_hints: Mapping[str, str] | None = None
    min_size: Annotated[
        Sequence[Number],
        Field(min_length=2, max_length=2, description="two whole numbers, height and width"),
    ] = (1, 1)
    neural: bool | None = None
    parameters: Number | None = None
    find: Mapping[str, Installed] | None = None
    get: str = "Install it."


KEYS = list(types_of(Row))


class CommandLine(Codec):
    """A codec that a row describes.

    Its bytes are the file that the encoder wrote. Where nothing in it says the image's size (raw
    planes) or the decoder has to be told the operating point, 20 bytes with them come before it,
    which are not counted as rate.

    Args:
        file: the YAML file. Its ``variants`` are groups of keys by name, of which the one that is
            called ``variant`` is laid over the row.
        settings: keys in place of the file's, or all of them without one; with None it keeps its.
    """

    name = "command"

    def __init__(self, file: str | Path | None = None, **settings: Any) -> None:
        path = self.file = Path("row" if file is None else file).expanduser().absolute()
        content = {} if file is None else read_yaml(path, "a description of a codec", CodecError)
        try:
            if not isinstance(content, dict):
                raise CodecError(f"expected keys and values (encode, ...), got {content!r}.")
            ignored = FOR_COMPRESS if path.parent == ROWS else ()
            self._set_up(_merged(content, settings, ignored), path.parent)
        except UserError as error:
            where = path.stem if path.parent == ROWS else file or self.name
            raise CodecError(f"{where}: {error}") from error

    def _set_up(self, content: Mapping[str, Any], folder: Path) -> None:
        self.settings = {key: value for key, value in content.items() if key not in KEYS}
        self.row = row = Row(**{key: content[key] for key in KEYS if key in content})
        self.name, self.points, self.fine = row.name, row.points, row.fine
        self.min_size = (row.min_size[0], row.min_size[1])
        self.is_neural = row.neural
        self.input, self.output = (
            ImageFormat(
                _of_side(side, row.image_format, "png"),
                _of_side(side, row.bit_depth, 8),
                row.matrix,
                row.range,
            )
            for side in ("input", "output")
        )
        if row.takes and self.input.depth not in row.takes.get(self.input.kind, ()):
            taken = "; ".join(f"{kind} with {list(depths)}" for kind, depths in row.takes.items())
            raise CodecError(
                f"expected an image_format and bit_depth that the encoder takes ({taken}), got "
                f"{self.input.kind} with {self.input.depth}."
            )
        self.multiple = row.multiple or (2 if self.input.kind == "yuv420p" else 1)
        self.places: dict[str, Any] = {**self.settings, **self.input.places}
        # files last: they may lie beside the programs, whatever the order of the keys
        wanted_places = (row.find or {}).items()
        for place, wanted in sorted(wanted_places, key=lambda entry: entry[1].kind == "file"):
            self.places[place] = self._installed(place, wanted, self.settings.pop(place, None))
        for key, value in self.settings.items():
            if isinstance(value, Sequence) and not isinstance(value, str):
                self.places[key] = words_of(key, value)
        self.environment = {name: str(value) for name, value in (row.environment or {}).items()}
        if row.gpu is not None:
            gpu = os.environ.get(GPUS, "") if row.gpu == "auto" else str(row.gpu)
            self.environment[GPUS] = gpu
            self.in_main_process = bool(gpu)
        directory = self._text("working_directory", row.working_directory)
        self.folder = folder / Path(directory).expanduser()
        self._text("version", row.version, version="")
        self._parse_commands()
        for point in self.points.values:  # a wrong format comes out now
            self.command_line(point)

    def _parse_commands(self) -> None:
        """Split the commands and hold them to their places."""
        row = self.row
        commands = {
            "encode": row.encode,
            "decode": row.decode,
            "version_command": row.version_command,
            **{f"checks {number}": check.command for number, check in enumerate(row.checks, 1)},
        }
        self.commands = {
            what: words_of(what, words) for what, words in commands.items() if words is not None
        }
        of_all = {"bitstream", "point", "width", "height"}
        point = {"point"} if len(self.points.values) > 1 else set()
        of_encode = {"input", "reconstruction", "fine", "fine_arguments"}
        encode = self._used("encode", of_all | of_encode, {"input", "bitstream", *point})
        decode = self._used("decode", of_all | {"output"}, {"bitstream", "output"})
        for what in list(self.commands)[2:]:
            self._used(what)
        self.keeps_reconstruction = "reconstruction" in encode
        is_told = bool(decode & {"width", "height", "point"})
        has_planes = self.input.has_planes or self.output.has_planes
        self.needs_side_data = row.standard is None and (has_planes or self.multiple > 1 or is_told)
        for what, words in self.commands.items():
            program = self._filled(words)[0]
            in_folder = os.sep in program
            path = str(self.folder / program) if in_folder else program
            if not shutil.which(path, path=self.environment.get("PATH")):
                raise CodecError(
                    f"the program of the command {what}, {program}, is not an executable file "
                    f"{f'in {self.folder}' if in_folder else 'on PATH'}. Install it or write its "
                    "full path."
                )

    @property
    def parameter_count(self) -> int | None:
        return self.row.parameters

    @property
    def parameters(self) -> Mapping[str, Any]:
        row = self.row
        hashes = {
            name: f"{self.places[name].name} {sha256(self.places[name].read_bytes())[:16]}"
            for name, wanted in (row.find or {}).items()
            if wanted.kind == "file"
        }
        return {
            **{what: self.commands[what] for what in ("encode", "decode")},
            "input": asdict(self.input),
            "output": asdict(self.output),
            "bitstream_suffix": row.bitstream_suffix,
            "environment": dict(row.environment or {}),
            "working_directory": str(self.folder),
            "gpu": self.in_main_process,
            "fine": self.fine and self.fine.neutral,
            **self.settings,
            **hashes,
        }

    def version(self) -> str:
        """What the version command prints.

        Raises:
            CodecError: it, or one of the checks, prints something else than it has to.
        """
        row, version = self.row, ""
        if row.version_command is None:
            return f"{Path(self.commands['encode'][0]).name} without a version command"
        patterns = [row.version_pattern.pattern, *(check.pattern.pattern for check in row.checks)]
        for what, pattern in zip(list(self.commands)[2:], patterns, strict=True):
            pattern = pattern.replace("{version}", re.escape(version))
            limit = min(BANNER_LIMIT, row.time_limit)
            words = self._filled(self.commands[what])
            finished = run(words, limit, self.folder, self.environment)
            match = re.search(pattern, finished.output.strip())
            if not match:
                raise finished.failure(f"printed no version like {pattern!r}. {row.get}")
            version = version or match[match.lastindex or 0]
        return self._text("version", row.version, version=version)

    def encode(self, image: Image, point: float) -> bytes:
        return self.encode_fine(image, point, self.fine.neutral if self.fine else 1)

    def encode_fine(self, image: Image, point: float, value: float) -> bytes:
        with work_folder() as folder:
            return self.encode_in(folder, image, point, value)[0]

    def encode_in(
        self, folder: Path, image: Image, point: float, fine: float = 1
    ) -> tuple[bytes, Finished]:
        """The bitstream of an image, and the run that made it; all files stay in ``folder``."""
        self.require(image, point)
        if self.fine and not self.fine.low <= fine <= self.fine.high:
            raise CodecError(
                f"{self.name} expects {self.fine.name} from {self.fine.low} to {self.fine.high}, "
                f"got {fine:g}. Use another {self.points.name} for a larger change of rate."
            )
        columns, rows = (-side % self.multiple for side in image.shape[1::-1])
        padded = np.pad(image, ((0, rows), (0, columns), (0, 0)), "edge")
        height, width = padded.shape[:2]
        # In folders of their own: the JPEG AI software puts logs beside the bitstream's folder.
        source = _new(folder, f"image/input{self.input.suffix}")
        stream = _new(folder, f"stream/data{self.row.bitstream_suffix}")
        decoded = _new(folder, "decoded/reconstruction.yuv")
        source.write_bytes(self.input.written(padded))
        paths = {"input": source, "bitstream": stream, "reconstruction": decoded}
        finished = self._run("encode", point, fine, width=width, height=height, **paths)
        data = require_file(finished, stream, None, self.row.exit_statuses)
        standard = self.row.standard
        if standard is None:
            side_data = SIDE_DATA.pack(MAGIC, image.shape[1], image.shape[0], point)
            return (side_data if self.needs_side_data else b"") + data, finished
        if standard in PARAMETER_SETS:
            picture = coded_picture(data, standard)
            wanted = (width, height, self.input.places["chroma"])
            if (picture.width, picture.height, picture.chroma) != wanted:
                raise finished.failure(
                    f"wrote a picture of {picture.width} x {picture.height} in {picture.chroma} "
                    f"where {width} x {height} in {wanted[2]} was expected"
                )
            if self.keeps_reconstruction:
                size = self.input.planes.frame_bytes(width, height, picture.depth)
                require_file(finished, decoded, size, self.row.exit_statuses)
        return mark_padding(data, standard, columns, rows), finished

    def decode(self, data: bytes) -> Image:
        point, depth = self.points.values[0], None
        width = height = columns = rows = 0
        if self.row.standard:
            data, columns, rows = split_padding(data, self.row.standard)
            if self.output.has_planes:
                picture = coded_picture(data, self.row.standard)
                width, height, depth = picture.width, picture.height, picture.depth
        elif self.needs_side_data:
            if not data.startswith(MAGIC) or len(data) < SIDE_DATA.size:
                raise CodecError(
                    f"expected bytes that this codec's encode returned, got {len(data)} bytes that "
                    f"begin with {data[:4]!r}. Decode with the codec and settings that encoded."
                )
            _, width, height, point = SIDE_DATA.unpack_from(data)
            data = data[SIDE_DATA.size :]
            columns, rows = (-side % self.multiple for side in (width, height))
            width, height = width + columns, height + rows
        with work_folder() as folder:
            stream = _new(folder, f"stream/data{self.row.bitstream_suffix}")
            result = _new(folder, f"image/output{self.output.suffix}")
            stream.write_bytes(data)
            paths: dict[str, Any] = {"bitstream": stream, "output": result}
            finished = self._run("decode", point, width=width, height=height, **paths)
            size = None
            if self.output.has_planes:
                size = self.output.planes.frame_bytes(width, height, depth)
            content = require_file(finished, result, size, self.row.exit_statuses)
        try:
            image = self.output.read(content, width, height, depth)
        except CodecError as error:
            raise finished.failure(f"wrote a file that cannot be used: {error}") from error
        if not self.needs_side_data:
            height, width = image.shape[:2]
        elif image.shape[:2] not in ((height, width), (height - rows, width - columns)):
            raise finished.failure(
                f"wrote an image of {image.shape[1]} x {image.shape[0]} where {width} x {height} "
                "was expected"
            )
        return image[: height - rows, : width - columns]

    def rate_bytes(self, data: bytes) -> float:
        return len(data) - (SIDE_DATA.size if self.needs_side_data else 0)

    def command_line(self, point: float, fine: float | None = None) -> str:
        if fine is None:
            fine = self.fine.neutral if self.fine else 1
        names = {key: value.name for key, value in self.places.items() if isinstance(value, Path)}
        return shlex.join(self._filled(self.commands["encode"], point=point, fine=fine, **names))

    def _installed(self, place: str, wanted: Installed, given: str | None) -> Path:
        """A program, file or folder of the user's."""
        pointed = given or os.environ.get(wanted.variable)
        names = [self._text("find", name) for name in wanted.names]
        programs = [path for path in self.places.values() if isinstance(path, Path)]
        folders = [folder for path in programs for folder in path.resolve().parents]
        if pointed:
            folders = [Path(pointed).expanduser().absolute()]
        matches = _matches(wanted, pointed, names, folders)
        if matches:
            return matches[0]
        listed = " or ".join(names)
        tried = f"neither {place} nor {wanted.variable} is set, and there is no {listed}"
        if pointed:
            kind = "executable file" if wanted.kind == "program" else f"{wanted.kind} with {listed}"
            tried = f"{place if given else wanted.variable}={pointed} is no {kind}"
        raise CodecError(
            f"the {place} of {self.name} is not found: {tried}. {self.row.get} Then point at it by "
            f"the option {place} or the environment variable {wanted.variable}"
            f"{', or put it on PATH' if wanted.kind == 'program' else ''}."
        )

    def _used(
        self, what: str, places: Set[str] = frozenset(), needed: Set[str] = frozenset()
    ) -> set[str]:
        """The places in a command, and in the lists that are arguments of it."""
        words = self.commands[what]
        lists = [self.places.get(word[1:-1]) for word in words if word[:1] == "{"]
        nested = [word for value in lists if isinstance(value, list) for word in value]
        used = places_in([*words, *nested])
        known = {*places, *self.places}
        for name, spec in used.items():
            if name not in known:
                others = [f"{{{place}}}" for place in sorted(known)]
                raise CodecError(unknown(f"placeholder in {what}", f"{{{name}}}", others))
            if spec and (name not in NUMBERS or "!" in spec):
                raise CodecError(
                    f"{{{name}}} in {what} takes no conversion or format; only numbers do."
                )
        missing = [f"{{{name}}}" for name in sorted(needed - used.keys())]
        if not words or missing:
            raise CodecError(
                f"the command {what} lacks {', '.join(missing) or 'a program'}: "
                f"{shlex.join(words)!r}."
            )
        return set(used)

    def _filled(self, words: Sequence[str], **values: Any) -> list[str]:
        """The arguments with their places filled in, as far as there are values for them."""
        places = {**self.places, **values}
        if places.get("fine", 1) == 1:
            places["fine_arguments"] = []
        if "point" in places:
            point = round(places["point"] * self.row.point_scale, 9)
            places["point"] = int(point) if point == int(point) else point
        arguments: list[str] = []
        for word in words:
            value = places.get(word[1:-1]) if word[:1] == "{" else None
            if isinstance(value, list):
                arguments += self._filled(value, **values)
            elif places_in([word]).keys() <= places.keys():
                try:
                    arguments.append(word.format_map(places))
                except (LookupError, ValueError) as error:
                    text = f"the number's format in {word} is wrong for {places['point']}"
                    raise CodecError(f"{text}: {error}.") from error
            else:
                arguments.append(word)
        return arguments

    def _text(self, what: str, text: str, **values: str) -> str:
        """A text with its places filled in."""
        try:
            return text.format_map({**self.places, **values})
        except (LookupError, ValueError, AttributeError) as error:
            raise CodecError(
                f"expected {what} with places that have a value, got {text!r} ({error!r}). Name "
                "keys of the row."
            ) from error

    def _run(self, what: str, point: float, fine: float = 1, **values: Any) -> Finished:
        words = self._filled(self.commands[what], point=point, fine=fine, **values)
        finished = run(words, self.row.time_limit, self.folder, self.environment)
        self.peak_memory = max(self.peak_memory or 0, finished.memory) or None
        hint = (self.row.exit_hints or {}).get(str(finished.code))
        if hint:
            raise finished.failure(f"failed: {hint}")
        return finished


def _matches(
    wanted: Installed, pointed: str | None, names: Sequence[str], folders: Sequence[Path]
) -> list[Path]:
    """What is where the user points, or else on ``PATH`` or in folders."""
    if wanted.kind == "program":
        commands = [str(Path(name).expanduser()) for name in ([pointed] if pointed else names)]
        return [Path(path).absolute() for path in map(shutil.which, commands) if path]
    if wanted.kind == "folder":
        whole = [base for base in folders if all((base / name).exists() for name in names)]
        return whole if pointed else []
    paths = [path for base in folders for path in (base, *(base / name for name in names))]
    return [path for path in paths if path.is_file()]


def _of_side(side: str, value: Any, default: Any) -> Any:
    return value.get(side, default) if isinstance(value, Mapping) else value


hm, vtm, ffmpeg, jpeg_ai = (
    partial(CommandLine, ROWS / f"{name}.yaml") for name in ("hm", "vtm", "ffmpeg", "jpeg_ai")
)


def _merged(
    content: Mapping[str, Any], settings: Mapping[str, Any], ignored: Sequence[str]
) -> dict[str, Any]:
    """A file's keys under those of its variant and these under the settings, without None."""
    variants = settings.get("variants") or content.get("variants") or {}
    variant = str(settings.get("variant") or content.get("variant"))
    groups = variants.values() if isinstance(variants, Mapping) else [None]
    if not all(isinstance(group, Mapping) for group in groups):
        raise CodecError(f"expected variants as groups of keys by name, got {variants!r}.")
    if variants and variant not in variants:
        raise CodecError(unknown("variant", variant, list(map(str, variants))))
    given = {key: value for key, value in settings.items() if value is not None}
    row = {**content, **variants.get(variant, {}), **given}
    for key in ("variants", "variant", *ignored):
        row.pop(key, None)
    installed = row["find"] if isinstance(row.get("find"), Mapping) else {}
    for key in row.keys() - {*KEYS} - installed.keys():
        is_place = re.search(rf"{{{re.escape(str(key))}\b", f"{content} {settings}")
        if key in PLACES or not is_place:
            others = [str(name) for name in row if name not in {*KEYS, key}]
            raise CodecError(unknown("key", str(key), [*KEYS, *others]))
    return {key: value for key, value in row.items() if value is not None}


def words_of(what: str, words: Words) -> list[str]:
    """The arguments of a command.

    >>> words_of("encode", "enc -q {point} 'a b'")
    ['enc', '-q', '{point}', 'a b']
    """
    try:
        split = [str(word) for word in (shlex.split(words) if isinstance(words, str) else words)]
        places_in(split)
    except ValueError as error:
        raise CodecError(
            f"the command {what} does not parse: {error}. Close every quote and brace, and write "
            "{{ or }} for a brace that is meant."
        ) from error
    return split


def places_in(words: Sequence[str]) -> dict[str, str]:
    """The names in braces, with their formats.

    >>> places_in(["-q{point:.2f}", "{input}"])
    {'point': '.2f', 'input': ''}
    """
    parsed = [part for word in words for part in string.Formatter().parse(word)]
    return {
        name: f"{spec}{'!' if conversion else ''}"
        for _, name, spec, conversion in parsed
        if name is not None
    }


def _new(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir()
    return path
