"""Any codec with a command line, described by one YAML file; no Python needed.

::

    encode: [mycodec, enc, --quality, "{point}", "{input}", "{bitstream}"]
    decode: mycodec dec {bitstream} {output}
    points: {name: quality, values: [10, 30, 50, 70, 90]}   # in order of rising rate

These three are needed. The rest, with its defaults:

::

    name: mycodec              # what results call it; "command" without
    image_format: png          # png, ppm, yuv420p, yuv444p, or {input: ppm, output: png}
    bit_depth: 8               # or {input: 8, output: 10}
    matrix: bt601              # of yuv files: bt601 or bt709
    range: full                # full or limited
    bitstream_suffix: .bin
    version_command: mycodec --version      # its first line is the version
    time_limit: 600            # seconds for one run
    environment: {}            # variables added to the environment
    working_directory: .       # relative to the YAML file
    exit_statuses: [0]         # those that mean success
    min_size: [1, 1]           # smallest height and width

A command is a list of arguments, or a string that is split into them; there is no shell. Its places
are ``{input}`` (encode), ``{output}`` (decode), ``{bitstream}``, ``{point}``, ``{width}`` and
``{height}``; a number may have a format (``{point:.2f}``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nacd_bench.coding.codec import OperatingPoints
from nacd_bench.errors import CodecError
from nacd_bench.registry import unknown
from nacd_bench.triplets.text_files import read_yaml
from nacd_codecs.image_files import ImageFormat
from nacd_codecs.templates import DECODE_PLACES, ENCODE_PLACES, Commands, Template, TemplateCodec

NEEDED = ("encode", "decode", "points")
OPTIONAL = (
    "name",
    "image_format",
    "bit_depth",
    "matrix",
    "range",
    "bitstream_suffix",
    "version_command",
    "time_limit",
    "environment",
    "working_directory",
    "exit_statuses",
    "min_size",
)


class CommandLine(TemplateCodec):
    """A codec described by a YAML file (its keys: see :mod:`nacd_codecs.command`).

    Args:
        file: the YAML file.
    """

    name = "command"

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file).expanduser().absolute()
        commands = read_commands(self.file)
        try:
            super().__init__(commands)
        except CodecError as error:
            raise CodecError(f"{self.file}: {error}") from error

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"file": self.file.name, **super().parameters}


def read_commands(file: Path) -> Commands:
    """The commands of a YAML file.

    Raises:
        CodecError: the file cannot be read, or a key or value in it is wrong; named.
    """
    content = read_yaml(file, "a description of a codec", CodecError)
    try:
        return _commands(content, file.parent)
    except CodecError as error:
        raise CodecError(f"{file}: {error}") from error


def _commands(content: object, folder: Path) -> Commands:
    if not isinstance(content, dict):
        raise CodecError(f"expected keys and values ({', '.join(NEEDED)}, ...), got {content!r}.")
    for key in content:
        if key not in (*NEEDED, *OPTIONAL):
            raise CodecError(unknown("key", str(key), [*NEEDED, *OPTIONAL]))
    for key in NEEDED:
        if key not in content:
            raise CodecError(f"the key {key} is missing.")
    points = _points(content["points"])
    needed = ["input", "bitstream", *(["point"] if len(points.values) > 1 else [])]
    version = content.get("version_command")
    given = _Given(content)
    return Commands(
        name=given.value("name", None, _name, "a name"),
        encode=Template(_command(content, "encode"), ENCODE_PLACES, needed, "encode"),
        decode=Template(
            _command(content, "decode"), DECODE_PLACES, ["bitstream", "output"], "decode"
        ),
        points=points,
        input=_format(content, "input"),
        output=_format(content, "output"),
        bitstream_suffix=given.value("bitstream_suffix", ".bin", _suffix, "like .bin"),
        version_command=None
        if version is None
        else Template(_command(content, "version_command"), [], [], "version_command"),
        time_limit=given.value("time_limit", 600.0, _positive, "a number of seconds above 0"),
        environment=given.value("environment", {}, _variables, "names and values"),
        working_directory=folder / Path(str(content.get("working_directory", "."))).expanduser(),
        exit_statuses=given.value("exit_statuses", (0,), _integers, "a list of integers"),
        min_size=given.value("min_size", (1, 1), _size, "two integers, height and width"),
    )


def _points(value: object) -> OperatingPoints:
    expected = "expected points: {name: ..., values: [...]} with the values in order of rising rate"
    if not isinstance(value, dict) or "values" not in value:
        raise CodecError(f"{expected}, got {value!r}.")
    for key in value:
        if key not in ("name", "values", "slope"):
            raise CodecError(unknown("key of points", str(key), ["name", "values", "slope"]))
    values = value["values"]
    numbers = isinstance(values, list) and all(_is_number(one) for one in values)
    if not numbers or not values or len(set(values)) < len(values):
        raise CodecError(f"{expected}, at least one and all different, got {values!r}.")
    slope = value.get("slope", 0.1)
    if not _is_number(slope) or slope <= 0:
        raise CodecError(
            f"expected a slope above 0 (change of log2 bpp from point to point), got {slope!r}."
        )
    return OperatingPoints(str(value.get("name", "point")), tuple(values), float(slope))


def _command(content: Mapping[str, Any], key: str) -> str | list[object]:
    command = content[key]
    if isinstance(command, str) or (
        isinstance(command, list) and all(isinstance(word, (str, int, float)) for word in command)
    ):
        return command
    raise CodecError(
        f"expected a string or a list of arguments for {key}, got {command!r}. Quote arguments "
        'that begin with a brace: "{input}".'
    )


def _format(content: Mapping[str, Any], side: str) -> ImageFormat:
    def of_side(key: str, default: Any) -> Any:
        value = content.get(key, default)
        if not isinstance(value, dict):
            return value
        for name in value:
            if name not in ("input", "output"):
                raise CodecError(unknown(f"key of {key}", str(name), ["input", "output"]))
        return value.get(side, default)

    return ImageFormat(
        str(of_side("image_format", "png")),
        of_side("bit_depth", 8),
        str(content.get("matrix", "bt601")),
        str(content.get("range", "full")),
    )


class _Given:
    """Looks up optional keys and says which value is wrong."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content = content

    def value(self, key: str, default: Any, read: Callable[[Any], Any], expected: str) -> Any:
        if key not in self.content:
            return default
        try:
            return read(self.content[key])
        except (TypeError, ValueError, AttributeError) as error:
            got = self.content[key]
            raise CodecError(f"expected {expected} for {key}, got {got!r}.") from error


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _name(value: str) -> str:
    if not value.strip():
        raise ValueError
    return value.strip()


def _suffix(value: str) -> str:
    if not value.startswith(".") or "/" in value:
        raise ValueError
    return value


def _positive(value: float) -> float:
    if not value > 0:
        raise ValueError
    return float(value)


def _variables(value: Mapping[str, object]) -> dict[str, str]:
    return {str(name): str(one) for name, one in value.items()}


def _integers(value: list[int]) -> tuple[int, ...]:
    return tuple(int(one) for one in value)


def _size(value: list[int]) -> tuple[int, int]:
    height, width = _integers(value)
    return height, width
