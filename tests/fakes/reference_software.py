"""HM and VTM as seen from outside: their command lines, files, banners and bad habits.

Installed by a test under the name of one of the four programs, with an interpreter line. Streams
begin with a real sequence parameter set, written here from the tables of H.265 and H.266, followed
by the compressed samples, coarser with a higher QP or lambda.

``FAKE_CODEC`` chooses how it misbehaves: ``empty`` (exit 0, empty files), ``missing`` (exit 0, no
file), ``abort``, ``status`` (exit 134), ``leave`` (ends, but leaves a child that holds its output),
``half`` (half a file), ``wrong_size`` (another picture), ``garbage`` (bytes on stdout), ``shout``
(megabytes on stderr), ``late`` (all files, then exit 1).
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import zlib
from pathlib import Path

PROGRAM = Path(sys.argv[0]).name
IS_HM = PROGRAM.startswith("TApp")
IS_ENCODER = "Encoder" in PROGRAM
MODE = os.environ.get("FAKE_CODEC", "")
BANNERS = {
    True: "HM software: {role} Version [18.0] (including RExt)[Linux][GCC 12.2.0][64 bit] ",
    False: "VVCSoftware: VTM {role} Version 23.13 [Linux][GCC 12.2.0][64 bit] [SIMD=AVX2] ",
}
CHROMA = {400: 0, 420: 1, 422: 2, 444: 3}


class Writer:
    def __init__(self) -> None:
        self.bits = ""

    def u(self, value: int, count: int) -> None:
        self.bits += f"{value:0{count}b}" if count else ""

    def ue(self, value: int) -> None:
        code = f"{value + 1:b}"
        self.bits += "0" * (len(code) - 1) + code

    def bytes(self) -> bytes:
        padded = self.bits + "1"
        padded += "0" * (-len(padded) % 8)
        raw = bytes(int(padded[i : i + 8], 2) for i in range(0, len(padded), 8))
        out, zeros = bytearray(), 0
        for byte in raw:  # emulation prevention
            if zeros == 2 and byte < 4:
                out.append(3)
                zeros = 0
            zeros = zeros + 1 if byte == 0 else 0
            out.append(byte)
        return bytes(out)


def parameter_set(width: int, height: int, chroma: int, depth: int) -> bytes:
    coded_width, coded_height = width + -width % 8, height + -height % 8
    unit = (2 if chroma in (420, 422) else 1), (2 if chroma == 420 else 1)
    bits = Writer()
    if IS_HM:
        bits.u(0, 4), bits.u(0, 3), bits.u(1, 1)
        bits.u(1 << 88, 96)
        bits.ue(0), bits.ue(CHROMA[chroma])
        if chroma == 444:
            bits.u(0, 1)
    else:
        bits.u(0, 8), bits.u(0, 3), bits.u(CHROMA[chroma], 2), bits.u(2, 2), bits.u(1, 1)
        bits.u(1, 7), bits.u(0, 1), bits.u(102, 8), bits.u(0, 2), bits.u(0, 1)
        bits.u(0, -len(bits.bits) % 8)
        bits.u(0, 8)
        bits.u(0, 1), bits.u(0, 1)
    bits.ue(coded_width), bits.ue(coded_height)
    bits.u(1, 1)
    bits.ue(0), bits.ue((coded_width - width) // unit[0])
    bits.ue(0), bits.ue((coded_height - height) // unit[1])
    if not IS_HM:
        bits.u(0, 1)
    bits.ue(depth - 8)
    header = b"\x42\x01" if IS_HM else b"\x00\x79"
    return b"\0\0\0\1" + header + bits.bytes()


def encode(options: dict[str, str]) -> None:
    config = Path(options["-c"])
    if not config.is_file():
        fail(f"Failed to open config file {config}", 1)
    width, height = int(options["-wdt"]), int(options["-hgt"])
    chroma, depth = int(options["--InputChromaFormat"]), int(options["--InputBitDepth"])
    internal = int(options.get("--InternalBitDepth", config.read_text().split(":")[1]))
    samples = width * height * 3 // (2 if chroma == 420 else 1)
    stream, reconstruction = Path(options["-b"]), Path(options["-o"])
    if chroma == 420 and (width % 2 or height % 2):
        fail("Error: picture width is not an integer multiple of the chroma subsampling", 1)
    source = Path(options["-i"])
    data = source.read_bytes() if source.is_file() else b""
    if len(data) < samples * (1 if depth == 8 else 2):
        print("failed to open Input YUV file")
        if not IS_HM:
            os.abort()
        stream.write_bytes(b"")
        return
    step = max(1.0, 2 ** (int(options["-q"]) / 6 - 2) * float(options.get("-LMI", 1)) ** 0.5)
    values = data if depth == 8 else [data[i] | data[i + 1] << 8 for i in range(0, 2 * samples, 2)]
    shift, top = internal - depth, (1 << internal) - 1
    levels = bytes(
        min(255, round((value << shift) / 2 ** (internal - 8) / step)) for value in values
    )
    payload = base64.b85encode(zlib.compress(levels, 9))
    if MODE == "wrong_size":
        width += 2
    head = parameter_set(width, height, chroma, internal)
    write(stream, head + b"\0\0\1\x26\x01" + f"{step!r} ".encode() + payload)
    write(reconstruction, picture(levels, step, internal, top))


def picture(levels: bytes, step: float, internal: int, top: int) -> bytes:
    scale = step * 2 ** (internal - 8)
    values = [min(top, round(level * scale)) for level in levels]
    if internal == 8:
        return bytes(values)
    return b"".join(value.to_bytes(2, "little") for value in values)


def decode(options: dict[str, str]) -> None:
    head, found, rest = Path(options["-b"]).read_bytes().partition(b"\0\0\1\x26\x01")
    if not found or (not IS_HM and head[4:6] != b"\x00\x79") or (IS_HM and head[4:5] != b"\x42"):
        os.abort()
    step, _, payload = rest.partition(b"\0\0\1")[0].partition(b" ")  # other units are skipped
    try:
        levels = zlib.decompress(base64.b85decode(payload))
    except (ValueError, zlib.error):
        os.abort()
    for internal in (8, 10):
        for chroma in (420, 444):
            for width in range(1, 400):  # the size is not needed, only the depth
                height, left = divmod(len(levels) * (2 if chroma == 420 else 1), 3 * width)
                if not left and height and parameter_set(width, height, chroma, internal) == head:
                    write(
                        Path(options["-o"]),
                        picture(levels, float(step), internal, (1 << internal) - 1),
                    )
                    return
    os.abort()


def write(path: Path, data: bytes) -> None:
    if MODE != "missing":
        path.write_bytes({"empty": b"", "half": data[: len(data) // 2]}.get(MODE, data))


def fail(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(status)


def misbehave() -> None:
    if MODE == "abort":
        print("Assertion `m_fifo_idx < m_fifo.size()' failed.", file=sys.stderr, flush=True)
        os.abort()
    if MODE == "status":
        fail("aborted", 134)
    if MODE == "leave":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    if MODE == "garbage":
        sys.stdout.buffer.write(bytes(range(256)) * 100)
    if MODE == "shout":
        for _ in range(300):
            sys.stderr.write("x" * 9999 + "\n")
        print("the last line")


def main() -> None:
    print(BANNERS[IS_HM].format(role="Encoder" if IS_ENCODER else "Decoder"), flush=True)
    words, options = sys.argv[1:], {}
    if not words:
        sys.exit(1)
    while words:
        name, equals, value = words.pop(0).partition("=")
        options[name] = value if equals else words.pop(0)
    misbehave()
    (encode if IS_ENCODER else decode)(options)
    if MODE == "late":
        sys.exit(1)


if __name__ == "__main__":
    main()
