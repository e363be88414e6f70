"""The codec that is only a YAML file, with a real command-line codec behind it."""

from __future__ import annotations

import pickle
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from checks import fails

from nacd_bench.coding.codec import OperatingPoints
from nacd_bench.coding.rate import Encodings, luma_psnr, match_rates
from nacd_bench.errors import CodecError, ImageError, UserError
from nacd_codecs.command import SIDE_DATA, CommandLine
from nacd_codecs.image_files import ImageFormat

CODEC = Path(__file__).parents[1] / "fakes" / "pillow_codec.py"
COFFEE = skimage.data.coffee()[100:161, 200:283]
Write = Callable[..., CommandLine]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where codecs put their temporary files; empty again after every test."""
    folder = tmp_path / "-temporary files; 'quoted' {x}"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture()
def write(tmp_path: Path) -> Write:
    """A codec from a description; ``%`` stands for the codec's program."""

    def written(text: str) -> CommandLine:
        file = tmp_path / "a 'codec'; description.yaml"
        file.write_text(textwrap.dedent(text).replace("%", f"{sys.executable}, {CODEC}"))
        return CommandLine(file)

    return written


WEBP = """
    encode: [%, encode, --quality, "{point}", "{input}", "{bitstream}"]
    decode: [%, decode, "{bitstream}", "{output}"]
    points: {name: quality, values: [10, 40, 70, 95]}
    version_command: [%, --version]
    bitstream_suffix: .webp
"""


class TestRoundTrip:
    def test_webp(self, write: Write) -> None:
        codec = write(WEBP)
        streams = [codec.encode(COFFEE, point) for point in codec.points.values]
        sizes = [codec.rate_bytes(data) for data in streams]
        assert sizes == sorted(sizes) == [len(data) for data in streams]
        assert streams[0][:4] == b"RIFF"  # the file itself, nothing added
        decoded = codec.decode(streams[-1])
        assert decoded.shape == COFFEE.shape and luma_psnr(COFFEE, decoded) > 36
        assert codec.version() == "pillow_codec 1.2"
        assert codec.command_line(40).endswith("encode --quality 40 '{input}' '{bitstream}'")
        assert (codec.name, codec.points.name) == ("command", "quality")
        assert write(WEBP + "    name: my webp\n").name == "my webp"

    def test_rate_matching_and_pickling(self, write: Write) -> None:
        codec = pickle.loads(pickle.dumps(write(WEBP)))
        target = 8 * len(codec.encode(COFFEE, 70)) / (61 * 83)
        match = match_rates(Encodings(codec, COFFEE), [1.02 * target])[0]
        assert match.point == 70 and match.bpp == pytest.approx(target)

    @pytest.mark.parametrize(
        "formats",
        [
            "image_format: ppm",
            "image_format: {input: ppm, output: png}",
            "image_format: {output: ppm}",
        ],
    )
    def test_files(self, write: Write, formats: str) -> None:
        codec = write(WEBP + f"    {formats}\n")
        expected = write(WEBP).encode(COFFEE, 40)
        assert codec.encode(COFFEE, 40) == expected
        assert (codec.decode(expected) == write(WEBP).decode(expected)).all()

    def test_command_as_one_string(self, write: Write, tmp_path: Path) -> None:
        program = tmp_path / "my codec"
        program.write_text(f"#!{sys.executable}\n{CODEC.read_text()}")
        program.chmod(0o755)
        codec = write(
            """
            encode: '"./my codec" --quality {point:.1f} encode {input} {bitstream}'
            decode: "'./my codec' decode {bitstream} {output}"
            points: {values: [50]}
            bitstream_suffix: .webp
            """
        )  # a relative program lies beside the YAML file
        assert codec.decode(codec.encode(COFFEE, 50)).shape == COFFEE.shape
        assert codec.version() == "my codec without a version command"

    def test_raw_planes_carry_their_size(self, write: Write) -> None:
        codec = write(
            """
            encode: [%, encode, --format=JPEG, --quality, "{point}", --size, "{width}x{height}",
                     "{input}", "{bitstream}"]
            decode: [%, decode, --size, "{width}x{height}", "{bitstream}", "{output}"]
            points: {name: quality, values: [30, 90]}
            image_format: yuv444p
            """
        )
        data = codec.encode(COFFEE, 90)
        assert len(data) - codec.rate_bytes(data) == SIDE_DATA.size == 20
        assert luma_psnr(COFFEE, codec.decode(data)) > 30
        fails(
            CodecError, r"expected bytes that this codec's encode returned", codec.decode, data[20:]
        )

    @pytest.mark.parametrize("depth", [8, 10])
    def test_odd_sizes_in_420(self, write: Write, depth: int) -> None:
        copy = f"{shutil.which('cp')}"
        codec = write(
            f"""
            encode: {copy} {{input}} {{bitstream}}
            decode: {copy} {{bitstream}} {{output}}
            points: {{values: [1]}}
            image_format: yuv420p
            bit_depth: {depth}
            """
        )
        data = codec.encode(COFFEE, 1)
        assert codec.rate_bytes(data) == 62 * 84 * 1.5 * (1 if depth == 8 else 2)
        decoded = codec.decode(data)
        assert decoded.shape == COFFEE.shape and luma_psnr(COFFEE, decoded) > 50

    def test_the_decoder_may_need_the_point(self, write: Write, tmp_path: Path) -> None:
        codec = write(
            f"""
            encode: [%, encode, --quality, "{{point}}", "{{input}}", "{{bitstream}}"]
            decode: [%, --report, {tmp_path}/report, --quality, "{{point:.3f}}", decode,
                     "{{bitstream}}", "{{output}}"]
            points: {{values: [12.5, 50]}}
            bitstream_suffix: .webp
            """
        )
        codec.decode(codec.encode(COFFEE, 12.5))
        assert (tmp_path / "report").read_text().split("\n")[2:4] == ["--quality", "12.500"]

    def test_environment_and_folder(self, write: Write, tmp_path: Path) -> None:
        folder = tmp_path / "work here"
        folder.mkdir()
        (folder / "script.py").write_text(
            "import os, sys, pathlib\n"
            "data = f\"{os.environ['LEVEL']} {os.getcwd()}\".encode()\n"
            "pathlib.Path(sys.argv[2]).write_bytes(data)\n"
        )
        codec = write(
            f"""
            encode: [{sys.executable}, script.py, "{{input}}", "{{bitstream}}"]
            decode: [{sys.executable}, script.py, "{{bitstream}}", "{{output}}"]
            points: {{values: [1]}}
            environment: {{LEVEL: 3}}
            working_directory: work here
            """
        )
        assert codec.encode(COFFEE, 1).decode() == f"3 {folder}"

    @pytest.mark.parametrize(
        ("programs", "description"),
        [
            (
                ("cjpeg", "djpeg"),
                """
                encode: cjpeg -quality {point} -outfile {bitstream} {input}
                decode: djpeg -ppm -outfile {output} {bitstream}
                points: {name: quality, values: [20, 50, 90]}
                image_format: ppm
                bitstream_suffix: .jpg
                """,
            ),
            (
                ("cjxl", "djxl"),
                """
                encode: cjxl --distance {point:.1f} {input} {bitstream}
                decode: djxl {bitstream} {output}
                points: {name: distance, values: [8, 3, 1]}
                bitstream_suffix: .jxl
                version_command: cjxl --version
                """,
            ),
        ],
        ids=["cjpeg", "cjxl"],
    )
    def test_installed_codecs(
        self, write: Write, programs: tuple[str, ...], description: str
    ) -> None:
        if not all(map(shutil.which, programs)):
            pytest.skip("need cjpeg and cjxl (apt install libjpeg-turbo-progs libjxl-tools)")
        codec = write(description)
        streams = [codec.encode(COFFEE, point) for point in codec.points.values]
        assert [len(data) for data in streams] == sorted(len(data) for data in streams)
        assert luma_psnr(COFFEE, codec.decode(streams[-1])) > 34

    def test_a_row_without_a_file(self) -> None:
        copy = {"encode": "cp {input} {bitstream}", "decode": "cp {bitstream} {output}"}
        codec = CommandLine(**copy, points={"values": [1]}, name="copy", multiple=16)
        data = codec.encode(COFFEE, 1)
        assert codec.rate_bytes(data) == len(data) - SIDE_DATA.size  # the padding is not in a PNG
        assert (codec.decode(data) == COFFEE).all() and codec.name == "copy"

    def test_keys_of_its_own_variants_and_lists(self, write: Write) -> None:
        codec = write(
            """
            encode: [%, encode, --quality, "{point:d}", "{options}", "{input}", "{bitstream}"]
            decode: [%, decode, "{bitstream}", "{output}"]
            points: {name: loss, values: [0.2, 0.6]}
            point_scale: 100
            format: null
            options: ["--format={format}"]
            variant: small
            variants: {small: {format: WEBP}, compatible: {format: JPEG}}
            """
        )
        assert "encode --quality 60 --format=WEBP '{input}'" in codec.command_line(0.6)
        row = Path(codec.file)
        jpeg = CommandLine(row, variant="compatible", options=None)
        assert (
            jpeg.encode(COFFEE, 0.2)[:2] == b"\xff\xd8" and codec.encode(COFFEE, 0.2)[:2] == b"RI"
        )
        assert CommandLine(row, options=[]).command_line(0.6).count("format") == 0
        assert jpeg.parameters != codec.parameters
        with pytest.raises(CodecError, match=r"unknown variant 'smal'; did you mean 'small'"):
            CommandLine(row, variant="smal")
        fails(CodecError, r"unknown key 'formats'", CommandLine, row, formats="JPEG")


class TestFailures:
    def test_nothing_written(self, write: Write) -> None:
        codec = write(
            "{encode: 'true {input} {bitstream}', decode: 'true {bitstream} {output}', "
            "points: {values: [1]}}"
        )
        fails(
            CodecError, r"true wrote no file data\.bin \(exit status 0\)", codec.encode, COFFEE, 1
        )
        fails(CodecError, r"true wrote no file output\.png", codec.decode, b"anything")

    def test_exit_status(self, write: Write) -> None:
        script = "import sys; open(sys.argv[2], 'wb').write(b'data'); sys.exit(7)"
        text = f"""
            encode: [{sys.executable}, -c, "{script}", "{{input}}", "{{bitstream}}"]
            decode: [%, decode, "{{bitstream}}", "{{output}}"]
            points: {{values: [1]}}
            """
        with pytest.raises(CodecError, match=r"though it wrote data\.bin \(exit status 7\)"):
            write(text).encode(COFFEE, 1)
        assert write(text + "exit_statuses: [0, 7]\n").encode(COFFEE, 1) == b"data"

    def test_time_limit(self, write: Write) -> None:
        text = "encode: sleep 30 {input} {bitstream}\ndecode: cp {bitstream} {output}\n"
        script = f"{sys.executable} -c 'import time; time.sleep(30)'"
        codec = write(text.replace("sleep 30", script) + "points: {values: [1]}\ntime_limit: 0.5\n")
        fails(CodecError, r"time limit of 0\.5 s", codec.encode, COFFEE, 1)

    @pytest.mark.parametrize(
        ("output", "data", "message"),
        [
            ("png", b"\x89PNG\r\n", r"expected a whole PNG file, got 6 bytes"),
            ("png", "half", r"expected a whole PNG file"),
            ("png", "transparent", r"without transparency, got transparent pixels"),
            ("ppm", b"P6\n4 4\n255\nabc", r"expected a whole PPM file"),
            ("ppm", b"\x89PNG", r"expected a whole PPM file"),
        ],
    )
    def test_damaged_output(
        self, write: Write, output: str, data: bytes | str, message: str
    ) -> None:
        if data == "half":
            data = ImageFormat("png").written(COFFEE)[:3000]
        elif data == "transparent":
            import cv2

            data = cv2.imencode(".png", np.full((4, 4, 4), 7, np.uint8))[1].tobytes()
        codec = write(
            "{encode: 'cp {input} {bitstream}', decode: 'cp {bitstream} {output}', "
            f"points: {{values: [1]}}, image_format: {{output: {output}}}}}"
        )
        fails(CodecError, rf"cp wrote a file that cannot be used: .*{message}", codec.decode, data)

    def test_bad_input(self, write: Write) -> None:
        codec = write(WEBP + "    min_size: [32, 48]\n")
        with pytest.raises(CodecError, match=r"command has no quality 11\. Known: 10, 40, 70, 95"):
            codec.encode(COFFEE, 11)
        fails(
            ImageError, r"at least 48 x 32 pixels, got 40 x 40", codec.encode, COFFEE[:40, :40], 10
        )
        fails(ImageError, "of uint8", codec.encode, COFFEE.astype(np.float32), 10)

    def test_no_version(self, write: Write) -> None:
        with pytest.raises(CodecError, match=r"true printed no version"):
            write(WEBP.replace("[%, --version]", "[true]").replace("true", '"true"')).version()


class TestDescription:
    """Every mistake in the file is named with the file and the key."""

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (
                "{input}",
                "{inputt}",
                r"in encode '\{inputt\}'; did you mean '\{input\}'",
            ),
            ("{output}", "{input}", r"unknown placeholder in decode '\{input\}'.*\{output\}"),
            ("{output}", "out.png", r"the command decode lacks \{output\}"),
            ("{point}", "3", r"the command encode lacks \{point\}"),
            ("{point}", "{point!r}", r"\{point\} in encode takes no conversion"),
            ("{input}", "{input:>9}", r"\{input\} in encode takes no conversion or format"),
            ("{input}", "{input.parent}", r"placeholder in encode '\{input\.parent\}'"),
            ("{point}", "{point:q}", r"number's format in \{point:q\} is wrong for 10: .*'q'"),
            ("{point}", "{point", r"the command encode does not parse: .*write \{\{ or \}\}"),
            ("{point}", "{}", r"unknown placeholder in encode '\{\}'"),
            ("points:", "point:", r"unknown key 'point'; did you mean 'points'"),
            ("decode:", "#", r"expected decode=\.\.\., got nothing"),
            (
                "values: [10, 40, 70, 95]",
                "values: []",
                r"expected points as .* different, got .*'values': \[\]",
            ),
            ("[10, 40, 70, 95]", "[1, 1]", r"all different, got .*'values': \[1, 1\]"),
            (
                "[10, 40, 70, 95]",
                "[1, high]",
                r"expected points\.values\[1\] as a .*number, got 'high'",
            ),
            ("values:", "value:", r"unknown setting in points 'value'; did you mean 'values'"),
            ("name:", "nam:", r"unknown setting in points 'nam'; did you mean 'name'"),
            ("y, v", "y, slope: -1, v", r"expected points\.slope as a number above 0, got -1"),
            (".webp", "webp", r"expected bitstream_suffix as an ending like \.bin, got 'webp'"),
            ("[%, --version]", "[%, '{point}']", r"placeholder in version_command '\{point\}'"),
            (
                "[%, --version]",
                "[nothing here]",
                r"program of the command version_command, no",
            ),
            ("[%, decode,", "[/no/such/codec,", r"decode, /no/such/codec, is not an executable"),
            ("[%, decode,", "[{a: 1},", r"expected decode\[0\] as text or a"),
        ],
    )
    def test_mistakes(self, write: Write, old: str, new: str, message: str) -> None:
        assert old in WEBP
        fails(
            CodecError, r"a 'codec'; description\.yaml: .*" + message, write, WEBP.replace(old, new)
        )

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("image_format: jpg", r"unknown image format 'jpg'; did you mean 'png'"),
            ("image_format: [png]", r"expected image_format as png, ppm, .* got \['png'\]"),
            ("image_format: {in: png}", r"or \{input: \.\.\., output: \.\.\.\}, got \{'in'"),
            ("bit_depth: 10", r"unknown bit depth of png '10'.* Known: 8, 16"),
            ("{image_format: yuv420p, bit_depth: 9}", r"unknown bit depth of yuv420p '9'"),
            ("{image_format: yuv420p, matrix: bt2020}", r"unknown matrix 'bt2020'"),
            ("{image_format: yuv444p, range: tv}", r"unknown range 'tv'"),
            ("time_limit: 0", r"expected time_limit as a number above 0, got 0"),
            ("time_limit: soon", r"expected time_limit as a number above 0, got 'soon'"),
            ("environment: [A]", r"expected environment as text .* by name"),
            ("exit_statuses: ok", r"expected exit_statuses as a list \(a whole number\), got 'ok'"),
            ("min_size: 64", r"expected min_size as two whole numbers, height and width, got 64"),
            ("min_size: [8, 8, 3]", r"expected min_size as two whole numbers"),
            ("version_pattern: '['", r"expected version_pattern as a regular expression"),
            ("version: '{nothing}'", r"expected version with places that have a value, got '\{not"),
            ("working_directory: '{0}'", r"expected working_directory with places"),
            ("variants: [a]", r"expected variants as groups of keys by name, got \['a'\]"),
            ("find: 3", r"expected find as settings .* by name or null, got 3"),
            ("tile_limit: 3", r"unknown key 'tile_limit'; did you mean 'time_limit'"),
        ],
    )
    def test_wrong_values(self, write: Write, line: str, message: str) -> None:
        lines = line.strip("{}").split(", ") if line.startswith("{") else [line]
        fails(CodecError, message, write, WEBP + "".join(f"    {one}\n" for one in lines))

    def test_not_a_description(self, write: Write, tmp_path: Path) -> None:
        fails(CodecError, r"expected keys and values .* got \['a'\]", write, "[a]")
        fails(CodecError, r"line 1: expected a description of a codec in YAML, got ", write, "a: [")
        with pytest.raises(CodecError, match=r"none\.yaml: expected a description of a codec"):
            CommandLine(tmp_path / "none.yaml")

    def test_all_that_changes_the_output_is_in_the_parameters(self, write: Write) -> None:
        codec = write(WEBP)
        for old, new in (("--quality", "--quality=3"), ("webp", "jpg")):
            assert write(WEBP.replace(old, new)).parameters != codec.parameters
        for line in ("environment: {A: 1}", "image_format: ppm", "working_directory: /"):
            assert write(WEBP + f"    {line}\n").parameters != codec.parameters


class TestImageFiles:
    @pytest.mark.parametrize(
        "format",
        [
            *(ImageFormat("png", depth) for depth in (8, 16)),
            *(ImageFormat("ppm", depth) for depth in (8, 10, 16)),
            *(ImageFormat("yuv444p", depth) for depth in (10, 12)),
        ],
        ids=str,
    )
    def test_lossless(self, format: ImageFormat) -> None:
        data = format.written(COFFEE)
        assert (format.read(data, COFFEE.shape[1], COFFEE.shape[0]) == COFFEE).all()

    def test_others_read_what_is_written(self, tmp_path: Path) -> None:
        from PIL import Image as Pillow

        for format in (ImageFormat("png"), ImageFormat("ppm"), ImageFormat("ppm", 16)):
            file = tmp_path / f"image{format.suffix}"
            file.write_bytes(format.written(COFFEE))
            assert (np.asarray(Pillow.open(file).convert("RGB")) == COFFEE).all()

    def test_16_bits_are_rounded(self) -> None:
        import cv2

        values = np.array([[0, 128, 129, 65406, 65407, 65535]], np.uint16)
        for samples in (values, np.repeat(values[..., None], 3, -1)):
            data = cv2.imencode(".png", samples)[1].tobytes()
            read = ImageFormat("png").read(data, 6, 1)
            assert read[0, :, 1].tolist() == [0, 0, 1, 254, 255, 255]

    def test_channels_keep_their_order(self) -> None:
        red = np.zeros((2, 2, 3), np.uint8)
        red[..., 0] = 200
        for format in (ImageFormat("png", 16), ImageFormat("png"), ImageFormat("ppm", 16)):
            assert (format.read(format.written(red), 2, 2) == red).all()

    def test_kinds_that_decoders_write(self) -> None:
        from PIL import Image as Pillow

        picture = Pillow.fromarray(COFFEE)
        opaque = picture.copy()
        opaque.putalpha(255)
        for image, expected in (
            (opaque, picture),
            (picture.convert("L"), picture.convert("L").convert("RGB")),
            (picture.quantize(16), picture.quantize(16).convert("RGB")),
            (picture.convert("1"), picture.convert("1").convert("RGB")),
        ):
            assert (ImageFormat().read(_png(image), 0, 0) == np.asarray(expected)).all()

    @pytest.mark.parametrize("depth", [8, 10])
    def test_y4m(self, depth: int) -> None:
        kind = f"C420p{depth}" if depth > 8 else "C420jpeg"
        planes = ImageFormat("yuv420p", depth)
        even = COFFEE[:60, :82]
        data = f"YUV4MPEG2 W82 H60 F25:1 Ip {kind} XYSCSS\nFRAME\n".encode() + planes.written(even)
        expected = planes.read(planes.written(even), 82, 60)
        assert (ImageFormat("y4m", depth).read(data, 0, 0) == expected).all()
        for damage in (b"", data[:30], data[:-1], b"RIFF" + data):
            with pytest.raises(CodecError, match=r"whole Y4M file|\d+ bytes for a picture"):
                ImageFormat("y4m", depth).read(damage, 0, 0)

    def test_ppm_with_comment_and_gray(self) -> None:
        data = b"P5 # made by hand\n2 1\n# two\n3\n\x00\x03"
        assert ImageFormat("ppm").read(data, 2, 1).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def _png(picture: object) -> bytes:
    import io

    file = io.BytesIO()
    picture.save(file, "PNG")  # type: ignore[attr-defined]
    return file.getvalue()


@pytest.mark.parametrize("values", [range(3), np.arange(3), [0, 1, 2], (0.0, 1, 2)])
def test_points_may_be_any_list_of_numbers(values: Any) -> None:
    points = OperatingPoints("level", values)
    assert list(points.values) == [0, 1, 2] and pickle.loads(pickle.dumps(points)) == points
    with pytest.raises(UserError, match=r"expected values\[0\] as a .*number, got 'high'"):
        OperatingPoints("level", ["high"])  # type: ignore[list-item]
