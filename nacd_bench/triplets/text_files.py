"""Text files as people have them: bytes to text, lines, JSON, YAML, rows; Parquet as well.

Every list and table that somebody wrote is read here. Text is UTF-8, or what its byte-order mark
says (UTF-8, UTF-16 as Excel's "Unicode text" has it, UTF-32); lines end in LF, CRLF or CR. Whatever
cannot be read is a :class:`~nacd_bench.errors.UserError` with the file's name and, of text, the
line.
"""

from __future__ import annotations

import csv
import inspect
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from nacd_bench.errors import DataError, UserError
from nacd_bench.triplets.files import read_bytes
from nacd_bench.triplets.formats import suffix_of

if TYPE_CHECKING:
    import pyarrow as pa
    from yaml import Node

TABLE_SUFFIXES = (".parquet", ".csv", ".jsonl")
"""Of tables that :func:`table_entries` reads."""
T = TypeVar("T")
SEPARATORS = ",;\t|"
"""What may stand between the cells of a table; the header says which."""
LONGEST_CELL = 2**31 - 1
LARGEST_YAML = 1_000_000
"""Values of a YAML file, each counted as often as aliases repeat it."""
_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",  # before UTF-16, whose mark it begins with
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_LINE = re.compile("[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LINE_END = re.compile("\r\n|\r|\n")  # str.splitlines also splits at U+2028, which JSON may hold


class Entry(NamedTuple):
    """A row of a table.

    Args:
        number: its place, from 1, without the header.
        line: where it begins in the file, from 1.
        cells: values by column.
        fault: why it cannot be used; ``""`` where it can.
    """

    number: int
    line: int
    cells: dict[str, Any]
    fault: str = ""


def read_text(
    path: str | Path, what: str, error: type[UserError] = DataError, fallback: str | None = None
) -> str:
    """The text of a local file or URL, without its byte-order mark.

    Args:
        path: the file.
        what: what it should be, for the message (``"a table of votes"``).
        error: the kind of error to raise.
        fallback: an encoding to try where the bytes are no UTF-8.

    Raises:
        error: missing, a folder, not readable, other bytes than text.
    """
    data = read_bytes(path, what, error)
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        encoding = "latin-1"  # which decodes anything: it is refused for its NUL bytes below
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as cause:
        if fallback and encoding == "utf-8":
            with suppress(UnicodeDecodeError):
                return data.decode(fallback)
        line = 1 + len(re.findall(rb"\r\n|\r|\n", data[: cause.start]))
        got = f"the byte 0x{data[cause.start]:02X} of another encoding (Windows-1252, Latin-1?)"
        if encoding != "utf-8":
            got = f"a byte-order mark of {encoding.upper()} before other bytes"
        raise error(
            f"{path} line {line}: expected text in UTF-8, or in UTF-16 with a byte-order mark, got "
            f"{got}. Save it as UTF-8 (Excel: 'CSV UTF-8')."
        ) from cause
    if "\0" in text:
        line = 1 + len(_LINE_END.findall(text, 0, text.index("\0")))
        raise error(
            f"{path} line {line}: expected text, got a NUL byte (UTF-16 without a byte-order mark, "
            "or no text file?). Save it as UTF-8."
        )
    return text


def lines_of(text: str) -> list[str]:
    """The lines of a text without their ends.

    >>> lines_of("a\\r\\nb\\rc")
    ['a', 'b', 'c']
    """
    return _LINE_END.split(text)


def read_json(path: str | Path, what: str, error: type[UserError] = DataError) -> Any:
    """The content of a JSON file.

    Raises:
        error: see :func:`read_text`; or no JSON.
    """
    return parsed_json(path, read_text(path, what, error), what, error)


def parsed_json(path: str | Path, text: str, what: str, error: type[UserError] = DataError) -> Any:
    """The content of a JSON file's text, see :func:`read_json`."""
    try:
        return load_json(text)
    except ValueError as cause:
        message, line = getattr(cause, "msg", cause), getattr(cause, "lineno", None)
        got = f"a damaged file ({message})" if text.strip() else "an empty file"
        raise error(
            f"{path}{f' line {line}' if line else ''}: expected {what} as JSON, got {got}. "
            "Correct it, or save it again."
        ) from cause


def load_json(text: str) -> Any:
    """:func:`json.loads` that raises ValueError for everything that cannot be used.

    >>> load_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the key 'a' twice in one object
    """
    try:
        content = json.loads(text, object_pairs_hook=_object)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(content, ensure_ascii=False).encode()  # half a character fits in no file
        return content
    except RecursionError:
        raise ValueError("objects inside one another, too many to read") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError(f"the key {_repeated(name for name, _ in pairs)[0]!r} twice in one object")
    return content


def read_yaml(path: str | Path, what: str, error: type[UserError] = DataError) -> Any:
    """The content of a YAML file, None for an empty one.

    Raises:
        error: see :func:`read_text`; no YAML, a key twice, aliases that expand without end.
    """
    import yaml

    text = read_text(path, what, error)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _expanded(node, {}) > LARGEST_YAML:
            raise ValueError(f"more than {LARGEST_YAML:,} values, most of them by aliases")
        return loader.construct_document(node)
    except Exception as cause:  # PyYAML's, and what a tag such as !!bool makes Python raise
        mark = getattr(cause, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        got = " ".join(str(getattr(cause, "problem", None) or cause).split())
        if isinstance(cause, RecursionError):
            got = "lists inside one another, too many to read"
        raise error(
            f"{path}{place}: expected {what} in YAML, got a fault ({got}). Correct it."
        ) from cause


def read_yaml_as(path: str | Path, kind: type[T], what: str) -> T:
    """The content of a YAML file as a class of :func:`nacd_bench.settings.options`.

    Raises:
        DataError: see :func:`read_yaml`; or it has something else, all of which is named.
    """
    from pydantic import TypeAdapter, ValidationError

    content = read_yaml(path, what)
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as cause:
        faults = [
            f"at {'.'.join(map(str, fault['loc'])) or 'the top'}: {fault['msg']}, "
            f"got {fault['input']!s:.60}"
            for fault in cause.errors()
        ]
        parameters = inspect.signature(kind).parameters.values()
        required = " and ".join(p.name for p in parameters if p.default is p.empty)
        raise DataError(
            f"{path}: expected {what} with {required}, got other content {'; '.join(faults)}. "
            "Correct it, or have nacd-bench of this version write it again."
        ) from cause


def _expanded(node: Node, sizes: dict[int, float]) -> float:
    """How many values a YAML node has with its aliases written out."""
    if id(node) not in sizes:
        sizes[id(node)] = math.inf  # as long as it is open: an alias of it inside has no end
        children = node.value if isinstance(node.value, list) else []
        if node.id == "scalar":
            node.value.encode()  # half a character, "\\ud800", fits in no file
        if node.id == "mapping":
            keys = [key.value for key, _ in children if key.id == "scalar" and key.value != "<<"]
            if twice := _repeated(keys):
                raise ValueError(f"the key {twice[0]!r} twice in one mapping")
            children = [node for pair in children for node in pair]
        sizes[id(node)] = 1 + sum(_expanded(child, sizes) for child in children)
    return sizes[id(node)]


def table_entries(path: str | Path, what: str) -> list[Entry]:
    """The rows of a CSV, JSON Lines or Parquet file, those with a fault included.

    Raises:
        DataError: not a table of the kind that the suffix names; another suffix is read as CSV.
    """
    if suffix_of(path) == ".parquet":
        try:
            rows = read_parquet(path, what).to_pylist()
        except (ValueError, OverflowError) as cause:  # a date that Python has not
            raise DataError(
                f"{path}: expected values that Python can hold, got others ({cause}). Convert them."
            ) from cause
        return [Entry(number, number, row) for number, row in enumerate(rows, 1)]
    text = read_text(path, what)
    if suffix_of(path) == ".jsonl":
        return _json_line_entries(text)
    if not text.strip():
        raise DataError(
            f"{path}: expected {what}, got an empty file. Its first line names the columns."
        )
    return csv_entries(path, text)


def csv_entries(path: str | Path, text: str) -> list[Entry]:
    """The rows of a table with a header, blank ones left out.

    Empty cells beyond the header, and columns without a name, are left out: spreadsheets add them.

    Args:
        path: the file, for messages.
        text: its content.

    Raises:
        DataError: quotes that do not close, columns of one name.
    """
    csv.field_size_limit(LONGEST_CELL)  # one for the whole process, which others may have lowered
    start = re.sub(r'"[^"]*"', "", re.match(r"\s*([^\r\n]*)", text)[1])  # type: ignore[index]
    separator = max(SEPARATORS, key=start.count)
    # not StringIO, which takes four bytes for a character
    lines = (match[0] for match in _LINE.finditer(text))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    header: list[str] = []
    entries: list[Entry] = []
    begins = 1
    try:
        for cells in reader:
            line, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header:
                entries.append(_csv_entry(len(entries) + 1, line, header, cells, separator))
            else:
                header = [cell.strip() for cell in cells]
                _require_different(f"{path} line {line}", header)
                while not header[-1]:
                    header.pop()
    except csv.Error as error:
        raise DataError(
            f"{path} line {begins}: expected separated values, got a fault in the row that begins "
            f"there ({error}). Quote cells that hold quotes or line breaks, and close the quotes."
        ) from error
    return entries


def _csv_entry(
    number: int, line: int, header: Sequence[str], cells: list[str], separator: str
) -> Entry:
    while len(cells) > len(header) and not cells[-1].strip():
        cells.pop()
    fault = (
        f"expected {len(header)} cells as in the header, got {len(cells)}. "
        f"Quote cells that hold {separator!r}."
    )
    pairs = zip(header, cells, strict=False)
    named = {name: cell for name, cell in pairs if name}
    return Entry(number, line, named, fault if len(cells) != len(header) else "")


def _json_line_entries(text: str) -> list[Entry]:
    """The rows of a text with a JSON object per line, blank lines left out."""
    entries: list[Entry] = []
    for line, content in enumerate(lines_of(text), 1):
        if not content.strip():
            continue
        row: Any = None
        try:
            row = load_json(content)
            got = "" if isinstance(row, dict) else f"a {type(row).__name__}"
        except ValueError as error:
            got = f"text that is no JSON ({getattr(error, 'msg', error)})"
        fault = got and f"expected a JSON object in one line, got {got}. Write one object per line."
        entries.append(Entry(len(entries) + 1, line, row if not fault else {}, fault))
    return entries


def read_parquet(
    path: str | Path, what: str = "a Parquet file", error: type[UserError] = DataError
) -> pa.Table:
    """A Parquet file.

    Raises:
        error: missing, a folder, not readable, no Parquet file, or damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    data = read_bytes(path, what, error)
    try:
        # not read_table, which makes columns of folders such as preset=1 in the path
        # and without threads, which end a process that ends at once with an abort
        source = pa.BufferReader(data)
        table = parquet.ParquetFile(source, pre_buffer=False).read(use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as cause:
        reason = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise error(
            f"{path}: expected a Parquet file, got one that cannot be read ({reason}). "
            "Copy or write it again."
        ) from cause
    _require_different(path, table.column_names)
    return table


def read_columns(path: str | Path, schema: pa.Schema, wanted: Sequence[str]) -> pa.Table:
    """Some columns of a Parquet file as a schema has them.

    Raises:
        DataError: it cannot be read, lacks a column, or holds other values.
    """
    import pyarrow as pa

    table = read_parquet(path)
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(wanted)}, got none of the name "
            f"{', '.join(missing)}. Name the file that nacd-bench wrote."
        )
    try:
        return table.select(list(wanted)).cast(pa.schema([schema.field(name) for name in wanted]))
    except (pa.ArrowException, ValueError) as error:
        raise DataError(
            f"{path}: expected values as nacd-bench writes them, got others "
            f"({str(error).splitlines()[0]}). Write the file again."
        ) from error


def _require_different(place: str | Path, columns: Sequence[str]) -> None:
    twice = _repeated(name for name in columns if name)
    if twice:
        raise DataError(
            f"{place}: expected columns of different names, got {', '.join(twice)} more than once. "
            "Rename or remove one."
        )


def _repeated(names: Any) -> list[str]:
    return sorted(str(name) for name, times in Counter(names).items() if times > 1)
