"""HM, VTM, ffmpeg and the JPEG AI software: the real ones where found, and a fake that misbehaves.

Real programs are found like in use: ``NACD_HM_ENCODER``, ``NACD_VTM_ENCODER`` (and ``_DECODER``,
``_CONFIG``), ``NACD_FFMPEG``, or ``PATH``. Which ran is in the tests' names.
"""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import yaml
from checks import fails

from nacd_bench.coding.codec import Image
from nacd_bench.coding.rate import Encodings, luma_psnr, match_rates
from nacd_bench.errors import CodecError, ImageError
from nacd_bench.registry import CODECS
from nacd_codecs.command import CommandLine, ffmpeg, hm, jpeg_ai, vtm
from nacd_codecs.process import work_folder
from nacd_codecs.stream_size import CodedPicture, coded_picture, mark_padding, split_padding
from nacd_codecs.yuv import planes_from_bytes, to_image, to_planes

FAKES = Path(__file__).parents[1] / "fakes"
SOFTWARE = {"hm": hm, "vtm": vtm}
PROGRAMS = {
    "hm": ("TAppEncoderStatic", "TAppDecoderStatic"),
    "vtm": ("EncoderAppStatic", "DecoderAppStatic"),
}
PLANES_444 = {"hm": {"variant": "main_444"}, "vtm": {"image_format": "yuv444p"}}
Make = Callable[..., CommandLine]
STANDARDS = {"hm": "hevc", "vtm": "vvc"}
SIZES = [(1, 1), (2, 3), (9, 5), (33, 47)]


def photograph(height: int, width: int) -> Image:
    return skimage.data.astronaut()[20 : 20 + height, 180 : 180 + width].copy()


def installed(name: str, folder: Path) -> dict[str, Path]:
    """The fake under the names of the real programs, laid out like their checkout."""
    script = (FAKES / "reference_software.py").read_text()
    (folder / "bin").mkdir(parents=True)
    (folder / "cfg").mkdir()
    programs = {}
    for role, program_name in zip(("ENCODER", "DECODER"), PROGRAMS[name], strict=True):
        program = folder / "bin" / program_name
        program.write_text(f"#!{sys.executable} -S\n{script}")
        program.chmod(0o755)
        programs[f"NACD_{name.upper()}_{role}"] = program
    depths = {"main.cfg": 8, "main10.cfg": 10, "main_rext.cfg": 10, "vtm.cfg": 10}
    for config, depth in depths.items():
        (folder / "cfg" / f"encoder_intra_{config}").write_text(f"InternalBitDepth : {depth}")
    return programs


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where codecs put their temporary files; empty again after every test."""
    folder = tmp_path / "temporary files; 'quoted'"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(params=["fake-hm", "fake-vtm", "real-hm", "real-vtm"])
def software(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Make:
    """HM and VTM, as a fake and for real; the row finds the programs by the environment."""
    return provided(request.param, tmp_path / "it's a; folder", monkeypatch)


def provided(which: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    kind, name = which.split("-")
    if kind == "fake":
        for variable, program in installed(name, folder).items():
            monkeypatch.setenv(variable, str(program))
        monkeypatch.delenv(f"NACD_{name.upper()}_CONFIG", raising=False)
        return SOFTWARE[name]
    try:
        SOFTWARE[name]()
    except CodecError:
        pytest.skip(f"need {name.upper()} (NACD_{name.upper()}_ENCODER, _DECODER, _CONFIG)")
    return SOFTWARE[name]


@pytest.fixture(params=["hm", "vtm"])
def fake(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> CommandLine:
    return provided(f"fake-{request.param}", tmp_path / "fake", monkeypatch)(time_limit=600.0)


def decoded_by_hand(codec: CommandLine, folder: Path, data: bytes) -> bytes:
    (folder / "x.bin").write_bytes(data)
    words = [codec.places["decoder"], "-b", folder / "x.bin", "-o", folder / "x.yuv", "-d", "0"]
    subprocess.run(words, check=True, capture_output=True)
    return (folder / "x.yuv").read_bytes()


class TestReferenceSoftware:
    """What holds for the fake and for the real software."""

    @pytest.mark.parametrize("chroma", [420, 444])
    @pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[1]}x{size[0]}")
    def test_decode_gives_the_encoders_reconstruction(
        self, software: Make, size: tuple[int, int], chroma: int
    ) -> None:
        name = software().name
        codec = software(**(PLANES_444[name] if chroma == 444 else {}))
        image = photograph(*size)
        height, width = size
        with work_folder() as folder:
            data, finished = codec.encode_in(folder, image, 27)
            stream = split_padding(data, STANDARDS[name])[0]
            assert stream == (folder / "stream" / "data.bin").read_bytes()
            reconstruction = (folder / "decoded" / "reconstruction.yuv").read_bytes()
            assert decoded_by_hand(codec, folder, stream) == reconstruction
        depth = coded_picture(stream, STANDARDS[name]).depth
        planes = planes_from_bytes(reconstruction, codec.input.planes, width, height, depth)
        decoded = codec.decode(data)
        assert (decoded == to_image(planes, codec.input.planes, width, height)).all()
        assert decoded.shape == image.shape
        assert luma_psnr(image, decoded) > 26
        report = re.search(r"\[Y ([\d.]+) dB", finished.output)
        if report and float(report[1]) < 900:
            error = np.mean(
                (to_planes(image, codec.input.planes)[0] - planes[0].astype(float)) ** 2
            )
            assert 10 * np.log10(255**2 / error) == pytest.approx(float(report[1]), abs=0.02)

    def test_padding_costs_six_bytes_and_even_sizes_nothing(self, software: Make) -> None:
        codec = software()
        for size, extra in (((16, 18), 0), ((15, 18), 6), ((15, 17), 6)):
            with work_folder() as folder:
                stream = codec.encode_in(folder, photograph(*size), 30)[0]
                assert len(stream) - (folder / "stream" / "data.bin").stat().st_size == extra
            assert codec.rate_bytes(stream) == len(stream)

    def test_decoders_skip_the_padding_unit(self, software: Make) -> None:
        codec = software()
        with work_folder() as folder:
            data, _ = codec.encode_in(folder, photograph(15, 17), 30)
            reconstruction = (folder / "decoded" / "reconstruction.yuv").read_bytes()
            assert decoded_by_hand(codec, folder, data) == reconstruction

    @pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (200, 30, 90)])
    @pytest.mark.parametrize("range", ["full", "limited"])
    def test_flat_colours_come_back(
        self, software: Make, colour: tuple[int, int, int], range: str
    ) -> None:
        image = np.full((16, 16, 3), colour, np.uint8)
        codec = software(range=range)
        assert np.abs(codec.decode(codec.encode(image, 10)).astype(int) - image).max() <= 4

    def test_rate_falls_with_qp_and_with_lambda(self, software: Make) -> None:
        codec, image = software(), photograph(48, 48)
        sizes = [len(codec.encode(image, qp)) for qp in (20, 26, 32, 38)]
        assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
        fine = [len(codec.encode_fine(image, 26, value)) for value in (0.7, 1.0, 1.4)]
        assert fine[0] > fine[1] == sizes[1] > fine[2]
        other = {"name": "lmi", "low": 0.7, "high": 1.4, "neutral": 0.7}
        assert len(software(fine=other).encode(image, 26)) == fine[0]

    def test_bytes_repeat(self, software: Make) -> None:
        codec, image = software(), photograph(24, 24)
        assert codec.encode(image, 30) == codec.encode(image, 30)

    def test_command_line_is_the_one_that_ran(self, software: Make) -> None:
        codec = software(extra=["--SEIDecodedPictureHash=1"])
        with work_folder() as folder:
            ran = codec.encode_in(folder, photograph(16, 18), 30, 1.2)[1].arguments
        told = codec.command_line(30, 1.2)
        for place, name in (("width", "18"), ("height", "16"), ("input", "input.yuv")):
            told = told.replace(f"'{{{place}}}'", name)
        told = told.replace("'{bitstream}'", "data.bin")
        told = told.replace("'{reconstruction}'", "reconstruction.yuv")
        assert [Path(word).name for word in ran] == told.split()
        assert "-q 30 --InputBitDepth=8 --InputChromaFormat=420" in told
        assert "-LMI 1.2" in told and "LMI" not in codec.command_line(30)

    def test_version(self, software: Make) -> None:
        codec = software()
        assert re.fullmatch(rf"{codec.name.upper()} \d+\.\d+\S*", codec.version())

    def test_a_stream_cut_off_is_an_error(self, software: Make) -> None:
        codec = software()
        data = codec.encode(photograph(32, 32), 24)
        with pytest.raises(CodecError):
            codec.decode(data[: len(data) // 2])

    def test_fine_rate_matching(self, software: Make) -> None:
        codec, image = software(), photograph(80, 80)
        encodings = Encodings(codec, image)
        target = 0.5 * (encodings.at(29).bpp + encodings.at(30).bpp)  # between two QPs
        match = match_rates(encodings, [target], tolerance=0.01)[0]
        assert match.fine is not None
        assert abs(match.miss) < 0.015


class TestHM:
    @pytest.fixture(autouse=True, params=["fake-hm", "real-hm"])
    def programs(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        provided(request.param, tmp_path / "hm", monkeypatch)

    @pytest.mark.parametrize(
        ("options", "depth", "psnr"),
        [
            ({}, 8, 44),
            ({"variant": "main10"}, 10, 44),
            ({"variant": "main10", "bit_depth": 10}, 10, 46),
            ({"variant": "main_444"}, 8, 48),
            ({"variant": "main_444_10", "bit_depth": 10}, 10, 50),
        ],
    )
    def test_depths(self, options: dict[str, str | int], depth: int, psnr: float) -> None:
        codec, image = hm(**options), photograph(32, 40)
        data = codec.encode(image, 4)
        assert coded_picture(data, "hevc").depth == depth
        assert luma_psnr(image, codec.decode(data)) > psnr

    def test_depths_that_do_not_exist(self) -> None:
        fails(CodecError, r"unknown variant 'main12'; did you mean 'main10'", hm, variant="main12")
        message = r"encoder takes \(yuv420p with \[8\]\), got yuv420p with 10"
        fails(CodecError, message, hm, bit_depth=10)
        fails(CodecError, r"unknown key 'input_depth'.*did you mean 'bit_depth", hm, input_depth=10)


class TestMisbehaviour:
    """What the fake does wrong, the way the real software does."""

    @pytest.mark.parametrize(
        ("mode", "message"),
        [
            ("empty", r"wrote an empty file data\.bin \(exit status 0\)"),
            ("missing", r"wrote no file data\.bin \(exit status 0\)"),
            ("half", r"wrote \d+ bytes where \d+ were expected to reconstruction\.yuv|damaged"),
            ("wrong_size", r"wrote a picture of 26 x 24 in 420 where 24 x 24"),
            (
                "abort",
                r"wrote no file data\.bin \(exit status -6, SIGABRT\)[\s\S]*Assertion `m_fifo",
            ),
            ("status", r"exit status 134, perhaps SIGABRT"),
            ("late", r"failed, though it wrote data\.bin \(exit status 1\)"),
        ],
    )
    def test_encoder(
        self, fake: CommandLine, monkeypatch: pytest.MonkeyPatch, mode: str, message: str
    ) -> None:
        monkeypatch.setenv("FAKE_CODEC", mode)
        with pytest.raises(CodecError, match=message) as error:
            fake.encode(photograph(24, 24), 30)
        assert "Command: " in str(error.value) and "-q 30" in str(error.value)

    @pytest.mark.parametrize(
        ("mode", "message"),
        [
            ("empty", r"wrote an empty file output\.yuv"),
            ("missing", r"wrote no file output\.yuv"),
            ("half", r"wrote \d+ bytes where \d+ were expected to output\.yuv"),
            ("abort", r"exit status -6, SIGABRT"),
        ],
    )
    def test_decoder(
        self, fake: CommandLine, monkeypatch: pytest.MonkeyPatch, mode: str, message: str
    ) -> None:
        data = fake.encode(photograph(24, 24), 30)
        monkeypatch.setenv("FAKE_CODEC", mode)
        fails(CodecError, message, fake.decode, data)

    @pytest.mark.parametrize("mode", ["garbage", "shout", "leave"])
    def test_noise_does_not_matter(
        self, fake: CommandLine, monkeypatch: pytest.MonkeyPatch, mode: str
    ) -> None:
        quiet = fake.encode(photograph(24, 24), 30)
        monkeypatch.setenv("FAKE_CODEC", mode)
        assert fake.encode(photograph(24, 24), 30) == quiet
        assert fake.decode(quiet).shape == (24, 24, 3)

    def test_other_software(self, fake: CommandLine) -> None:
        other = SOFTWARE[fake.name](encoder="true")
        message = (
            rf"true printed no version like .*Encoder.* {fake.name.upper()} is built from http"
        )
        fails(CodecError, message, other.version)

    def test_two_versions(self, fake: CommandLine) -> None:
        decoder = fake.places["decoder"]
        text = decoder.read_text()
        decoder.write_text(text.replace("[18.0]", "[16.2]").replace("23.13", "12.0"))
        fails(CodecError, r"no version like .*Decoder Version.* in one build\.", fake.version)

    def test_another_standards_stream(self, fake: CommandLine) -> None:
        with pytest.raises(CodecError, match=r"expected a stream of (HEVC|VVC) with a sequence"):
            fake.decode(b"\0\0\0\1\x09\x10 something else")
        fails(CodecError, r"got 0 bytes", fake.decode, b"")

    def test_a_fine_value_out_of_range(self, fake: CommandLine) -> None:
        with pytest.raises(CodecError, match=r"lmi from 0\.7 to 1\.4, got 3\. Use another qp"):
            fake.encode_fine(photograph(8, 8), 30, 3.0)


class TestFinding:
    @pytest.fixture(autouse=True)
    def nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        for variable in list(os.environ):
            if variable.startswith("NACD_"):
                monkeypatch.delenv(variable)

    @pytest.mark.parametrize("name", ["hm", "vtm"])
    def test_missing_says_what_to_do(self, name: str) -> None:
        variable = f"NACD_{name.upper()}_ENCODER"
        message = rf"the encoder of {name} is not found.*https://vcgit.*{variable}"
        fails(CodecError, message, CODECS.get(name))

    def test_config(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        programs = list(installed("hm", tmp_path / "checkout").values())
        make = partial(hm, encoder=programs[0], decoder=programs[1])
        config = tmp_path / "checkout" / "cfg" / "encoder_intra_main.cfg"
        assert make().places["config"] == config
        row = yaml.safe_load((files("nacd_conf") / "codec" / "hm.yaml").read_text())
        by_name = dict(sorted(row["find"].items()))  # as settings come that were kept as JSON
        with monkeypatch.context() as patch:
            for role, program in zip(("ENCODER", "DECODER"), programs, strict=True):
                patch.setenv(f"NACD_HM_{role}", str(program))
            assert hm(find=by_name).places["config"] == config
        linked = tmp_path / "TAppEncoderStatic"
        linked.symlink_to(programs[0])
        assert make(encoder=linked).places["config"] == config  # beside what it links to
        other = tmp_path / "other.cfg"
        other.write_text("InternalBitDepth : 8 # another")
        by_option = make(config=other)
        assert by_option.places["config"] == other
        monkeypatch.setenv("NACD_HM_CONFIG", str(config.parent))
        by_variable = make()
        assert by_variable.places["config"] == config
        assert by_option.parameters != by_variable.parameters
        config.unlink()
        message = r"NACD_HM_CONFIG=.*cfg is no file with encoder_intra_main\.cfg or "
        fails(CodecError, message, make)
        monkeypatch.delenv("NACD_HM_CONFIG")
        message = r"nor NACD_HM_CONFIG is set, and there is no .*cfg/encoder_intra_main\.cfg"
        fails(CodecError, message, make)

    def test_ffmpeg_and_jpeg_ai(self, tmp_path: Path) -> None:
        message = r"program of ffmpeg is not found.*imageio-ffmpeg.*NACD_FFMPEG"
        fails(CodecError, message, ffmpeg)
        message = r"root of jpeg_ai is not found.*NACD_JPEG_AI_ROOT is set.*Clone https://gitlab"
        fails(CodecError, message, jpeg_ai)
        fails(CodecError, r"is no folder with src\. Clone https://gitlab", jpeg_ai, root=tmp_path)
        (tmp_path / "src").mkdir()
        fails(CodecError, r"the python of jpeg_ai is not found", jpeg_ai, root=tmp_path)


class TestStreamSize:
    def test_damaged_parameter_sets(self) -> None:
        for standard, header in (("hevc", b"\0\0\1\x42\1"), ("vvc", b"\0\0\1\0\x79")):
            for length in range(1, 24):
                with pytest.raises(CodecError, match="sequence parameter set is damaged"):
                    coded_picture(header + bytes(length), standard)

    def test_sub_layers_and_constraints(self) -> None:
        """Parameter sets that the reference encoders do not write for one picture, bit by bit."""
        size = ue(64) + ue(48) + "0"
        hevc = u(0, 4) + u(2, 3) + "1" + u(7, 96) + "1101" + u(0, 12) + u(5, 96) + u(6, 8)
        hevc += ue(0) + ue(1) + size + ue(2)
        assert coded_picture(unit(b"\x42\1", hevc), "hevc") == CodedPicture(64, 48, 420, 10)
        vvc = u(0, 8) + u(1, 3) + u(3, 2) + u(0, 2) + "1" + u(0, 18) + "1" + u(1, 71) + u(3, 8)
        vvc += "101"
        vvc += "0" * (-len(vvc) % 8)
        vvc += "1" + "0" * 7 + u(9, 8) + u(1, 8) + u(77, 32) + "0" + "11" + size + "0" + ue(0)
        assert coded_picture(unit(b"\0\x79", vvc), "vvc") == CodedPicture(64, 48, 444, 8)
        with pytest.raises(CodecError, match="damaged"):
            coded_picture(unit(b"\0\x79", vvc[: vvc.rindex(size)] + size + "1" + ue(0)), "vvc")

    @pytest.mark.parametrize("standard", ["hevc", "vvc", "av1"])
    def test_padding_survives(self, standard: str) -> None:
        for columns in range(8):
            for rows in range(8):
                marked = mark_padding(b"stream", standard, columns, rows)
                assert split_padding(marked, standard) == (b"stream", columns, rows)


class TestFFmpeg:
    @pytest.fixture(params=["libx265", "libvvenc", "libkvazaar", "libsvtav1"])
    def codec(self, request: pytest.FixtureRequest) -> CommandLine:
        fast = {"libx265": "medium", "libvvenc": "faster", "libkvazaar": "veryfast"}
        try:
            codec = ffmpeg(variant=request.param, preset=fast.get(request.param, 8))
            codec.version()
        except CodecError:
            pytest.skip(f"need ffmpeg with {request.param} (pip install imageio-ffmpeg)")
        return codec

    @pytest.mark.parametrize("size", [(64, 64), (65, 71)])
    def test_round_trip(self, codec: CommandLine, size: tuple[int, int]) -> None:
        image = photograph(*size)
        qp = codec.points.values[len(codec.points.values) // 2]
        data = codec.encode(image, qp)
        decoded = codec.decode(data)
        assert decoded.shape == image.shape
        assert luma_psnr(image, decoded) > 30
        assert codec.encode(image, qp) == data
        assert len(codec.encode(image, codec.points.values[-10])) > len(data)

    def test_no_text_in_the_stream(self, codec: CommandLine) -> None:
        data = codec.encode(photograph(64, 64), codec.points.values[5])
        assert not re.search(rb"x265|kvazaar|vvenc|SVT", data, re.IGNORECASE)

    def test_too_small(self, codec: CommandLine) -> None:
        tiny = photograph(3, 5)
        if codec.min_size == (1, 1):  # Kvazaar: padded to 8 x 8
            assert codec.decode(codec.encode(tiny, 20)).shape == tiny.shape
            return
        fails(ImageError, r"images of at least", codec.encode, tiny, codec.points.values[5])

    def test_flat_white(self, codec: CommandLine) -> None:
        white = np.full((64, 64, 3), 255, np.uint8)
        assert codec.decode(codec.encode(white, codec.points.values[-20])).min() >= 252

    @pytest.mark.parametrize(
        "options", [{"image_format": {"input": "yuv444p", "output": "y4m"}}, {"bit_depth": 10}]
    )
    def test_x265_formats(self, options: dict[str, object]) -> None:
        try:
            codec = ffmpeg(preset="fast", **options)
        except CodecError:
            pytest.skip("need ffmpeg with libx265 (pip install imageio-ffmpeg)")
        image = photograph(35, 37)
        assert luma_psnr(image, codec.decode(codec.encode(image, 8))) > 44

    def test_a_decoder_given_something_else(self, codec: CommandLine) -> None:
        with pytest.raises(CodecError, match=r"wrote (no|an empty) file output\.y4m"):
            codec.decode(b"\0\0\1 nothing of the kind")

    def test_command_line(self, codec: CommandLine) -> None:
        told = codec.command_line(codec.points.values[3])
        assert f"-c:v {codec.settings['encoder']} " in told and "-i 'file:{input}'" in told
        assert "qp={" not in told and "{preset}" not in told

    def test_options(self) -> None:
        fails(CodecError, r"unknown variant 'x265'; did you mean 'libx265'", ffmpeg, variant="x265")
        message = r"takes \(yuv420p with \[8\]\), got yuv444p with 8"
        with pytest.raises(CodecError, match=message):
            ffmpeg(variant="libkvazaar", image_format={"input": "yuv444p", "output": "y4m"})

    def test_programs_that_are_not_it(self, tmp_path: Path) -> None:
        program = tmp_path / "ffmpeg"
        program.write_text(f"#!{sys.executable}\nprint('ffmpeg version 7.1 Copyright')")
        program.chmod(0o755)
        with pytest.raises(CodecError, match=r"like '\^Encoder[\s\S]*encoder=libvvenc"):
            ffmpeg(variant="libvvenc", program=program).version()
        program.write_text(f"#!{sys.executable}\nprint('something else')")
        message = r"no version like '\^ffmpeg .*apt install[\s\S]*words:\nsomething else"
        fails(CodecError, message, ffmpeg(program=program).version)


class TestJPEGAI:
    """A fake checkout with the real command line, files and exit statuses."""

    @pytest.fixture()
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        root = tmp_path / "jpeg ai; {checkout}"
        coders = root / "src" / "reco" / "coders"
        coders.mkdir(parents=True)
        for role in ("encoder", "decoder"):
            shutil.copy(FAKES / "jpeg_ai.py", coders / f"{role}.py")
        (root / "cfg" / "profiles").mkdir(parents=True)
        (root / "cfg" / "tools_off.json").write_text("{}")
        (root / "cfg" / "profiles" / "high.json").write_text("{}")
        (root / "cfg" / "info.json").write_text('{"version": "IS", "codec_name": "JAI"}')
        return root

    def test_round_trip(self, root: Path) -> None:
        codec = jpeg_ai(root=root, python=sys.executable)
        image = photograph(161, 183)
        sizes = []
        for target in codec.points.values:
            data = codec.encode(image, target)
            sizes.append(codec.rate_bytes(data))
            assert data[4:8] == b"jP  "  # the file itself, nothing added
        assert sizes == sorted(sizes) and len(set(sizes)) == 5
        assert codec.decode(data).shape == image.shape
        assert codec.version() == "JPEG AI reference software JAI IS"

    @pytest.mark.parametrize(
        ("failure", "message"),
        [
            ("file", r"a file of a model is missing.*exit status 56[\s\S]*decoder_Y_0\.002\.pth"),
            ("checkpoints", r"no list of checkpoints.*exit status 136"),
            ("model", r"a model is not in the folder models.*exit status 156"),
        ],
    )
    def test_exit_statuses(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, failure: str, message: str
    ) -> None:
        monkeypatch.setenv("FAKE_JPEG_AI", failure)
        codec = jpeg_ai(root=root, python=sys.executable)
        fails(CodecError, message, codec.encode, photograph(16, 16), 0.25)

    def test_gpu(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not jpeg_ai(root=root, python=sys.executable).in_main_process
        codec = jpeg_ai(root=root, python=sys.executable, gpu=1)
        assert codec.in_main_process
        assert codec.environment == {"CUDA_VISIBLE_DEVICES": "1"}
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        assert jpeg_ai(root=root, python=sys.executable).in_main_process

    def test_other_command_lines(self, root: Path) -> None:
        (root / "cfg" / "tools_on.json").write_text("{}")
        points = {"name": "target_bpp", "values": [0.11, 0.3]}
        make = partial(jpeg_ai, root=root, python=sys.executable)
        codec = make(configs=["cfg/tools_on.json"], points=points)
        assert "--set_target_bpp 11 --cfg cfg/tools_on.json" in codec.command_line(0.11)
        assert 8 * len(codec.encode(photograph(200, 200), 0.11)) < 0.2 * 200 * 200
        with pytest.raises(CodecError, match=r"placeholder in encode '\{imput\}'; did you mean"):
            make(encode=["{python}", "{imput}", "{bitstream}", "{point}", "{configs}"])

    def test_targets(self, root: Path) -> None:
        points = {"name": "target_bpp", "values": [0.12, 0.125]}
        with pytest.raises(CodecError, match=r"number's format in \{point:d\} is wrong for 12\.5"):
            jpeg_ai(root=root, python=sys.executable, points=points)

    def test_a_checkout_without_version(self, root: Path) -> None:
        (root / "cfg" / "info.json").unlink()
        with pytest.raises(CodecError, match=r"no version like .*Clone[\s\S]*cfg/info\.json"):
            jpeg_ai(root=root, python=sys.executable).version()


@pytest.mark.parametrize("name", ["command", "image_files", "process", "stream_size", "yuv"])
def test_doctests(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"nacd_codecs.{name}")).failed == 0


def u(value: int, count: int) -> str:
    return f"{value:0{count}b}"


def ue(value: int) -> str:
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def unit(header: bytes, bits: str) -> bytes:
    bits += "1" + "0" * (-(len(bits) + 1) % 8)
    data = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return b"\0\0\1" + header + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", data)
