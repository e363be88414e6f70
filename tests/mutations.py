"""Damage that knows the structure of what it damages: chunks, tags, pointers, rows, headers.

Every function takes a ``random.Random`` and sound bytes and returns other bytes, often still sound.
"""

from __future__ import annotations

import csv
import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

Mutation = Callable[[random.Random, bytes], bytes]

EDGES = (0, 1, 2, 7, 8, 255, 256, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
"""Numbers at which fields overflow, turn negative or promise too much."""
BOMB = zlib.compress(bytes(60_000_000), 9)
"""60 MB of zeros in 60 kB."""


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bits turned, parts cut, doubled, zeroed, moved or put in, whatever the format."""
    array = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if not array:
            break
        start = rng.randrange(len(array))
        stop = min(len(array), start + rng.choice((1, 2, 4, 16, 100, 1000)))
        kind = rng.randrange(7)
        if kind == 0:
            array[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del array[start:stop]
        elif kind == 2:
            array[start:start] = array[start:stop]
        elif kind == 3:
            array[start:stop] = bytes(stop - start)
        elif kind == 4:
            array[start:stop] = rng.randbytes(stop - start)
        elif kind == 5:
            del array[start:]
        else:
            array[start:stop] = b"\xff" * (stop - start)
    return bytes(array)


def _edge(rng: random.Random, sound: int, size: int) -> int:
    """A wrong value for a field of ``size`` bytes."""
    return rng.choice((*EDGES, sound + 1, sound - 1, sound * 2, sound ^ 1)) % 256**size


def _shuffled(rng: random.Random, parts: list[bytes]) -> list[bytes]:
    """Parts with one dropped, doubled or at another place."""
    parts = list(parts)
    index = rng.randrange(len(parts))
    kind = rng.randrange(3)
    part = parts[index] if kind == 1 else parts.pop(index)
    if kind:
        parts.insert(rng.randrange(len(parts) + 1), part)
    return parts


# --- PNG


def _chunk(name: bytes, content: bytes) -> bytes:
    sound = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", sound)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Names and contents of a sound PNG's chunks."""
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def _png_extra(rng: random.Random) -> tuple[bytes, bytes]:
    """An ancillary chunk that is odd, broken or enormous once unpacked."""
    tiff = b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x112, 3, 1, rng.choice((1, 6, 9, 2**31)))
    return rng.choice(
        [
            (b"eXIf", damaged(rng, tiff)),
            (b"eXIf", tiff),
            (b"iCCP", b"profile\0\0" + BOMB),
            (b"iCCP", b"profile\0\0" + zlib.compress(rng.randbytes(200))),
            (b"zTXt", b"Comment\0\0" + BOMB),
            (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
            (b"tEXt", b"Raw profile type exif\0\nexif\n  12\nzz"),
            (b"gAMA", struct.pack(">I", rng.choice(EDGES))),
            (b"tRNS", rng.randbytes(rng.choice((0, 1, 2, 6, 300)))),
            (b"PLTE", rng.randbytes(rng.choice((0, 3, 5, 768, 900)))),
            (b"acTL", struct.pack(">II", rng.choice(EDGES), 0)),
            (b"pHYs", rng.randbytes(rng.choice((0, 8, 9)))),
            (b"ABCD", b"unknown and critical"),
            (rng.randbytes(4), b"no letters"),
        ]
    )


def png(rng: random.Random, data: bytes) -> bytes:
    """A PNG with wrong chunks, lengths, check sums, header fields, or a bomb of pixels."""
    chunks = png_chunks(data)
    kind = rng.randrange(7)
    if kind == 0:
        return damaged(rng, data)
    if kind == 1:
        chunks.insert(rng.randrange(1, len(chunks)), _png_extra(rng))
    elif kind == 2:
        header = list(struct.unpack(">IIBBBBB", chunks[0][1]))
        field = rng.randrange(7)
        header[field] = _edge(rng, header[field], 4 if field < 2 else 1)
        chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", *header))
    elif kind == 3:
        side = rng.choice((2_000, 4_000, 30_000, 60_000))
        rows = zlib.compress(bytes(side * (side // 8 + 1) if side < 60_000 else 1000), 1)
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", rows)]
        chunks.append((b"IEND", b""))
    whole = [_chunk(*chunk) for chunk in chunks]
    if kind == 4:
        whole = _shuffled(rng, whole)
    elif kind == 5:
        index = rng.randrange(len(whole))
        part = bytearray(whole[index])
        place = rng.choice((0, len(part) - 4))
        (sound,) = struct.unpack_from(">I", part, place)
        struct.pack_into(">I", part, place, _edge(rng, sound, 4))
        whole[index] = bytes(part)
    elif kind == 6:
        whole.append(rng.choice((b"", b"\0" * 100, b"PK\3\4", data)))
    return data[:8] + b"".join(whole)


# --- JPEG


def jpeg_segments(data: bytes) -> list[bytes]:
    """A sound JPEG's marker segments; the entropy-coded data belongs to its start of scan."""
    segments, place = [data[:2]], 2
    while place < len(data):
        end = place + 2
        if data[place + 1] != 0xD9:
            end += struct.unpack_from(">H", data, place + 2)[0]
        if data[place + 1] == 0xDA:
            while not (data[end] == 0xFF and data[end + 1] not in (0, *range(0xD0, 0xD8))):
                end += 1
        segments.append(data[place:end])
        place = end
    return segments


def jpeg(rng: random.Random, data: bytes) -> bytes:
    """A JPEG with wrong segments, lengths, tables, sizes, metadata or damaged scans."""
    segments = jpeg_segments(data)
    kind = rng.randrange(7)
    index = rng.randrange(1, len(segments))
    if kind == 0:
        return damaged(rng, data)
    if kind == 1:
        return b"".join(_shuffled(rng, segments))
    if kind == 2:
        segment = bytearray(segments[index])
        if len(segment) >= 4:
            (sound,) = struct.unpack_from(">H", segment, 2)
            struct.pack_into(">H", segment, 2, _edge(rng, sound, 2))
        segments[index] = bytes(segment)
    elif kind == 3:
        exif = b"Exif\0\0II*\0" + struct.pack("<I", rng.choice(EDGES)) + rng.randbytes(30)
        extra = rng.choice(
            (
                (0xE1, exif),
                (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x"),
                (0xE2, b"ICC_PROFILE\0" + bytes((rng.randrange(4), rng.randrange(4))) + b"abcd"),
                (0xE2, b"MPF\0" + rng.randbytes(20)),
                (0xEE, b"Adobe" + rng.randbytes(7)),
                (0xDD, struct.pack(">H", rng.choice((0, 1, 5, 65535)))),
                (0xFE, b"comment"),
            )
        )
        content = struct.pack(">BBH", 0xFF, extra[0], len(extra[1]) + 2) + extra[1]
        segments.insert(rng.randrange(1, len(segments)), content)
    elif kind == 4:
        frame = next(i for i, s in enumerate(segments) if s[1] in (0xC0, 0xC1, 0xC2))
        segment = bytearray(segments[frame])
        place = rng.choice((4, 5, 7, 9, 10, 11))
        size = 2 if place in (5, 7) else 1
        sound = int.from_bytes(segment[place : place + size], "big")
        segment[place : place + size] = _edge(rng, sound, size).to_bytes(size, "big")
        segments[frame] = bytes(segment)
    elif kind == 5:
        scan = max(range(len(segments)), key=lambda i: len(segments[i]))
        segments[scan] = segments[scan][:20] + damaged(rng, segments[scan][20:])
    else:
        segments.append(rng.choice((b"\0", b"trailing", data, b"ftypmp42")))
    return b"".join(segments)


# --- RIFF, TIFF, ISO base media, headers of numbers


def riff(rng: random.Random, data: bytes) -> bytes:
    """A WebP with wrong chunks and lengths, and metadata that its header does not promise."""
    chunks, place = [], 12
    while place + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, place + 4)
        chunks.append(data[place : place + 8 + length + length % 2])
        place += 8 + length + length % 2
    kind = rng.randrange(4)
    if kind == 0:
        return damaged(rng, data)
    if kind == 1:
        chunks = _shuffled(rng, chunks)
    elif kind == 2:
        index = rng.randrange(len(chunks))
        (sound,) = struct.unpack_from("<I", chunks[index], 4)
        length = struct.pack("<I", _edge(rng, sound, 4))
        chunks[index] = chunks[index][:4] + length + chunks[index][8:]
    else:
        name = rng.choice((b"EXIF", b"ICCP", b"XMP ", b"ANIM", b"ANMF", b"ALPH", b"VP8X", b"????"))
        content = rng.randbytes(2 * rng.randrange(20))
        chunks.insert(rng.randrange(len(chunks) + 1), name + struct.pack("<I", len(content)))
        chunks.insert(rng.randrange(len(chunks) + 1), content)
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", rng.choice((len(body),) * 5 + (0, 2**31))) + body


def tiff(rng: random.Random, data: bytes) -> bytes:
    """A little-endian TIFF with wrong tags, types, counts, values and pointers between images."""
    if rng.randrange(5) == 0:
        return damaged(rng, data)
    array = bytearray(data)
    (directory,) = struct.unpack_from("<I", array, 4)
    (count,) = struct.unpack_from("<H", array, directory)
    last = directory + 2 + 12 * count
    if rng.randrange(4) == 0:
        target = rng.choice((directory, len(array) - 1, 2**31, 4, len(array) + 100))
        struct.pack_into("<I", array, rng.choice((4, last)), target)
    for _ in range(rng.choice((1, 1, 3))):
        entry = directory + 2 + 12 * rng.randrange(count)
        field, size = rng.choice(((0, 2), (2, 2), (4, 4), (8, 4), (8, 4)))
        sound = int.from_bytes(array[entry + field : entry + field + size], "little")
        array[entry + field : entry + field + size] = _edge(rng, sound, size).to_bytes(
            size, "little"
        )
    return bytes(array)


def iso_media(rng: random.Random, data: bytes) -> bytes:
    """An AVIF or HEIC whose boxes have wrong lengths or names."""
    if rng.randrange(2):
        return damaged(rng, data)
    array = bytearray(data)
    names = (b"ftyp", b"meta", b"iloc", b"iinf", b"iprp", b"ispe", b"pixi", b"mdat", b"colr")
    place = rng.choice([place for name in names if (place := data.find(name)) > 4])
    if rng.randrange(2):
        sound = int.from_bytes(array[place - 4 : place], "big")
        array[place - 4 : place] = _edge(rng, sound, 4).to_bytes(4, "big")
    else:
        array[place + 4 : place + 4 + rng.choice((4, 8, 12))] = rng.randbytes(8)
    return bytes(array)


def header(rng: random.Random, data: bytes) -> bytes:
    """BMP, PPM and GIF: numbers in the first bytes, as text or binary."""
    if rng.randrange(3) == 0:
        return damaged(rng, data)
    if data[:1] == b"P":
        fields = data.split(maxsplit=4)
        fields[rng.randrange(1, 4)] = rng.choice(
            (b"0", b"-1", b"65536", b"99999999999", b"1e3", b"#", b"")
        )
        return b" ".join(fields)
    array = bytearray(data)
    place = rng.randrange(2, 50)
    size = rng.choice((1, 2, 4))
    sound = int.from_bytes(array[place : place + size], "little")
    array[place : place + size] = _edge(rng, sound, size).to_bytes(size, "little")
    return bytes(array)


# --- tables and texts

TEXTS = (
    *("", " ", "nan", "NaN", "inf", "-1", "1e400", "9" * 400, "0x10", "1_0", "true", "null"),
    *("../../etc/passwd", "/dev/zero", "/dev/null", "/", ".", "~", "C:\\x.png", "a\0b", "None"),
    *("e\u0301", "\u00e9", "\u202egnp.exe", "[]", "{}", "[0, 0, 1, 1]", "[[0]]", "'", '"'),
    *("=1+1", "{image}", "${now:}", "%s", "x" * 300, "x" * 200_000, "\n", "a\nb", ";", ","),
    *("\ud83d\ude00", '"""', "\t"),
    *("s3://bucket/x.png", "http://127.0.0.1:9/x.png", "file:///dev/zero", "a.png::b"),
)  # fmt: skip
"""Cells that people, spreadsheets and attackers write."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**400, 2**63, float("nan"), float("inf"), "", "text", "1"),
    *([], [[]], [None], [0, 0, 10, 10], [1, 2], ["a"] * 5, {}, {"x": 1}, {"": {}}, [10**30] * 4),
)  # fmt: skip
"""What stands in JSON where something else was expected."""


def _encoded(rng: random.Random, text: str) -> bytes:
    """Text as other programs save it."""
    encoding = rng.choice(
        ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "utf-7")
    )
    data = text.encode(encoding, "replace")
    return rng.choice(
        (data, data, data, data.replace(b"\n", b"\r\n"), data.replace(b"\n", b"\r"), data + b"\0")
    )


def csv_table(rng: random.Random, data: bytes) -> bytes:
    """A CSV with strange cells, columns, quotes, separators, line ends and encodings."""
    if rng.randrange(6) == 0:
        return damaged(rng, data)
    rows = list(csv.reader(io.StringIO(data.decode())))
    for _ in range(rng.choice((1, 1, 2))):
        row = rng.randrange(len(rows))
        kind = rng.randrange(8)
        if kind < 4 and rows[row]:
            rows[row][rng.randrange(len(rows[row]))] = rng.choice(TEXTS)
        elif kind == 4:
            rows.insert(rng.randrange(len(rows)), list(rows[row]))
        elif kind == 5 and len(rows) > 1:
            del rows[row]
        elif kind == 6:
            rows[row] += ["more", "cells"]
        elif rows[row]:
            rows[row].pop(rng.randrange(len(rows[row])))
    text = io.StringIO()
    csv.writer(text, delimiter=rng.choice((",", ",", ",", ",", ";", "\t"))).writerows(rows)
    written = text.getvalue().replace("\r\n", "\n")
    if rng.randrange(8) == 0:
        written = written.replace(",", ',"', 1)
    return _encoded(rng, written)


def _changed(rng: random.Random, value: Any) -> Any:
    """One place of a JSON value with something else in it."""
    if isinstance(value, dict) and value and rng.randrange(5):
        key = rng.choice(list(value))
        kind = rng.randrange(6)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return {**value, rng.choice(TEXTS[:30]): rng.choice(VALUES)}
        return {**value, key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.randrange(5):
        index = rng.randrange(len(value))
        if rng.randrange(4) == 0:
            return value + value[index:]
        return [*value[:index], _changed(rng, value[index]), *value[index + 1 :]]
    return rng.choice((*VALUES, *TEXTS[:40]))


def json_document(rng: random.Random, data: bytes) -> bytes:
    """JSON with other values, missing and new keys, deep nesting, cut or in another encoding."""
    kind = rng.randrange(8)
    if kind == 0:
        return damaged(rng, data)
    if kind == 1:
        depth = rng.choice((500, 100_000))
        return data.rstrip()[:-1] + b', "deep": ' + b"[" * depth + b"]" * depth + b"}"
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 2))):
        value = _changed(rng, value)
    return _encoded(rng, json.dumps(value, ensure_ascii=rng.random() < 0.5))


def json_lines(rng: random.Random, data: bytes) -> bytes:
    """JSON Lines of which one line was changed, doubled, cut or taken away."""
    lines = data.splitlines()
    index = rng.randrange(len(lines))
    kind = rng.randrange(6)
    if kind == 0:
        return damaged(rng, data)
    if kind == 1:
        lines.insert(rng.randrange(len(lines)), rng.choice((b"", b"null", b"[]", b"1", lines[0])))
    else:
        changed = json_document(rng, lines[index])
        lines[index] = changed.replace(b"\n", b" ")
    return b"\n".join(lines) + b"\n"


YAML_VALUES = (
    *("null", "~", "true", "1", "-1", ".nan", ".inf", "1e999", "[]", "{}", "text", "[1, [2]]"),
    *("!!python/object/apply:os.getpid []", "!!binary aGVsbG8=", "2026-01-01", "*missing"),
    *("{a: &a [x, x], b: &b [*a, *a], c: &c [*b, *b], d: [*c, *c]}", "[" * 400, "'", '"', "|"),
    *("0o17", "1_000", "0x1F", "<<: {a: 1}", "%", "@", "\t", "{input} {output} {point:q}"),
    *("{nothing}", "&a [*a]", "''", "? x"),
)  # fmt: skip
"""Values that YAML reads in ways people do not expect, or not at all."""


def yaml_document(rng: random.Random, data: bytes) -> bytes:
    """YAML with other values, missing and doubled lines, aliases that multiply, tags of Python."""
    kind = rng.randrange(8)
    if kind == 0:
        return damaged(rng, data)
    lines = data.decode().splitlines()
    if kind == 1:
        bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        bomb += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
        lines = bomb + lines
    for _ in range(rng.choice((1, 1, 2))):
        index = rng.randrange(len(lines))
        name, colon, _ = lines[index].partition(":")
        if rng.randrange(3) == 0:
            lines = [line.decode() for line in _shuffled(rng, [each.encode() for each in lines])]
        elif colon:
            lines[index] = f"{name}: {rng.choice(YAML_VALUES)}"
    return _encoded(rng, "\n".join(lines) + "\n")


def parquet_table(rng: random.Random, data: bytes) -> bytes:
    """A Parquet file with damaged bytes, other types of columns, missing and doubled columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if rng.randrange(3) == 0:
        return damaged(rng, data)
    table = pq.read_table(io.BytesIO(data))
    index = rng.randrange(table.num_columns)
    name = table.column_names[index]
    size = table.num_rows
    column = rng.choice(
        [
            pa.nulls(size),
            pa.array([float("nan")] * size),
            pa.array([2**63 - 1] * size),
            pa.array([b"\xff\xfe"] * size),
            pa.array([[1, 2]] * size),
            pa.array([{"a": 1}] * size),
            pa.array([rng.choice([text for text in TEXTS if text.isprintable()])] * size),
            pa.array([True] * size),
        ]
    )
    kind = rng.randrange(4)
    if kind == 0:
        table = table.drop_columns([name])
    elif kind == 1:
        table = table.append_column(name, column)
    elif kind == 2:
        table = table.slice(0, rng.randrange(size + 1))
    else:
        table = table.set_column(index, name, column)
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


# --- archives


def tar_archive(rng: random.Random, data: bytes) -> bytes:
    """A tar file with wrong headers (their check sums right), names, links, lengths, or cut."""
    import gzip

    kind = rng.randrange(6)
    if kind == 0:
        return damaged(rng, data)
    if kind == 1:
        return data[: rng.randrange(len(data))]
    if kind == 2:
        packed = gzip.compress(data)
        return rng.choice((packed, damaged(rng, packed), gzip.compress(bytes(30_000_000))))
    array = bytearray(data)
    starts = [at for at in range(0, len(array), 512) if array[at + 257 : at + 262] == b"ustar"]
    start = rng.choice(starts)
    field, size, values = rng.choice(
        (
            (0, 100, (b"../../../tmp/evil.png", b"/tmp/evil.png", b"", b"\xff\xfe")),
            (124, 12, (b"77777777777\0", b"-1\0", b"\x80" + b"\xff" * 11, b"zzz\0", b"0" * 11)),
            (156, 1, (b"1", b"2", b"3", b"4", b"5", b"6", b"L", b"x", b"S", b"\xff")),
            (157, 100, (b"/etc/passwd", b"../../x", b"a.png")),
            (108, 8, (b"9999999\0",)),
        )
    )  # fmt: skip
    array[start + field : start + field + size] = rng.choice(values).ljust(size, b"\0")
    if rng.randrange(5):
        array[start + 148 : start + 156] = b" " * 8
        total = sum(array[start : start + 512])
        array[start + 148 : start + 156] = f"{total:06o}\0 ".encode()
    return bytes(array)
