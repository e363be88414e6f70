"""The data card: ``README.md`` of a data set, with the header that the Hugging Face Hub reads."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nacd_bench.jobs.dataset.content import ARTIFACTS, CARD, COCO, IMAGES, TRIPLETS, DataSet
from nacd_bench.jobs.dataset.licenses import UNKNOWN, license_of
from nacd_bench.jobs.dataset.stats import (
    CountTable,
    dataset_stats,
    further_tables,
    table_one,
)
from nacd_bench.triplets.files import write_whole

PAPER = "https://arxiv.org/abs/2411.06810"
MOST_IMAGES = 200
"""Images whose licence the card lists; the tables have all."""
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
HUB_LICENSES = {
    *("apache-2.0", "mit", "cc0-1.0", "cc", "odbl", "pddl", "gpl-3.0", "unlicense"),
    *(f"cc-by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")),
    *(f"cc-by-sa-{version}" for version in ("3.0", "4.0")),
    *(f"cc-by-nc-{version}" for version in ("2.0", "3.0", "4.0")),
    *("cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
    *(f"cc-by-nc-sa-{version}" for version in ("2.0", "3.0", "4.0")),
}
"""Identifiers that the Hub knows, of those that images have."""


def default_title(dataset: DataSet) -> str:
    """What a data set is called that was given no name."""
    codecs = sorted({record.neural_codec or UNKNOWN for record in dataset.records})
    return f"Visual artifacts of {', '.join(codecs)}"


def write_card(folder: Path, dataset: DataSet, title: str) -> None:
    """Write ``README.md``."""
    write_whole(folder / CARD, card(dataset, title).encode("utf-8", "backslashreplace"))


def card(dataset: DataSet, title: str) -> str:
    """The data card."""
    stats = dataset_stats(dataset)
    parts = [
        f"---\n{_header(stats, title)}---\n\n# {markdown(title)}",
        _introduction(stats),
        "## What is in it",
        *map(markdown_table, table_one(stats)),
        _verification(dataset, stats),
        _loading(dataset),
        _making(dataset.settings),
        _licenses(dataset, stats),
        _caveats(stats),
        "## More counts",
        *map(markdown_table, further_tables(stats)),
        "## Settings\n\n```json\n" + _fenced_json(dataset.settings) + "\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(text: Any) -> str:
    r"""Any text as plain text in one line of Markdown, tables included; web addresses as links.

    >>> print(markdown("a|b <script> [c](d)"))
    a\|b &lt;script&gt; \[c\](d)
    """
    plain = " ".join(str(text).split())
    if re.fullmatch(r"https?://[\w.~:/?#@!$&'()*+,;=%-]+", plain):
        return f"<{plain}>"
    return re.sub(r"([\\`*_{}\[\]#!|~])", r"\\\1", html.escape(plain, quote=False))


def markdown_table(table: CountTable) -> str:
    """A table with its title."""
    lines = [[markdown(cell) for cell in cells] for cells in (table.columns, *table.rows)]
    rule = "---:" if table.has_numbers else "---"
    lines.insert(1, ["---", *(rule for _ in table.columns[1:])])
    return f"**{markdown(table.title)}**\n\n" + "\n".join(f"| {' | '.join(c)} |" for c in lines)


def _header(stats: Mapping[str, Any], title: str) -> str:
    import yaml

    licenses = sorted({_hub_license(name) for name in stats["licenses"]})
    count = stats["triplets"]
    content = {
        "pretty_name": " ".join(title.split()),
        "license": licenses[0] if len(licenses) == 1 else licenses,
        "task_categories": ["object-detection"],
        "tags": ["image-compression", "visual-artifacts", "neural-codec"],
        "size_categories": [next((word for most, word in SIZES if count < most), "n>1M")],
        "configs": [
            {"config_name": "artifacts", "data_files": ARTIFACTS, "default": True},
            {"config_name": "triplets", "data_files": TRIPLETS},
        ],
    }
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _hub_license(name: str) -> str:
    """The Hub's identifier of a licence."""
    plain = name.lower().replace(" ", "-")
    return plain if plain in HUB_LICENSES else (UNKNOWN if name == UNKNOWN else "other")


def _introduction(stats: Mapping[str, Any]) -> str:
    neural, traditional = (
        ", ".join(map(markdown, stats["codecs"][side])) for side in ("neural", "traditional")
    )
    free = stats["artifact_free_triplets"]
    return (
        f"{stats['artifacts']} places in {stats['triplets'] - free} decoded images where a neural "
        f"codec ({neural}) made a visual artifact that a traditional codec ({traditional}) at a "
        f"comparable bitrate did not make, from {stats['images']} originals"
        + (f", and {free} triplets in which nothing was found" if free else "")
        + f". How such places are found is described in [arXiv 2411.06810]({PAPER}); this data set "
        "was made with nacd-bench."
    )


def _verification(dataset: DataSet, stats: Mapping[str, Any]) -> str:
    unverified = stats["artifacts"] - stats["verified"]
    lines = ["## Verification"]
    if unverified:
        lines.append(
            f"**{unverified} of {stats['artifacts']} artifacts were not verified by anybody**: "
            "they are what detectors found."
        )
    if stats["verified"]:
        lines.append(
            f"People confirmed {stats['verified']} artifacts and refused {stats['refused']} other "
            "places of these triplets; both are in the tables, with their votes."
        )
    for summary in dataset.settings.get("verification", ()):
        said = list(_flat(summary))
        if said:
            cells = [(name, str(value)) for name, value in said]
            table = CountTable("How it was verified", ("what", "value"), cells, has_numbers=False)
            lines.append(markdown_table(table))
    return "\n\n".join(lines)


def _flat(value: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    """Names and values of nested objects; lists stay out, they are in the settings."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}, {key}" if name else str(key))
    elif isinstance(value, str | int | float):
        yield name, value


def _loading(dataset: DataSet) -> str:
    has_files = dataset.settings.get("images") != "references"
    where = f"`{IMAGES}/`: originals as they were, decoded images as PNG"
    return f"""## How to read it

- `{TRIPLETS}`: a row per triplet (original, neural result, traditional result) with its labels.
- `{ARTIFACTS}`: a row per artifact, with box `[x0, y0, x1, y1)` in pixels, votes and codecs.
- `{COCO}`: the artifacts as COCO, boxes in the neural results.
- {where if has_files else "Images are not in this folder: the tables say where they lie."}

```python
from datasets import load_dataset

artifacts = load_dataset("parquet", data_files="{ARTIFACTS}", split="train")
```

```sh
nacd-bench benchmark .    # how well detectors and metrics find these artifacts
sha256sum -c checksums.sha256
```

`confirmed` is false where people refused a place, and empty where nobody decided. `duplicate_of`
names the artifact that counts in place of this one: the same place at a higher preset, in another
version or by another detector."""


def _making(settings: Mapping[str, Any]) -> str:
    rows = []
    for run in settings.get("runs", ()):
        for side in ("neural", "traditional"):
            of_side = run.get(side) or {}
            codec = of_side.get("codec") or {}
            given = of_side.get("parameters") or codec.get("parameters") or {}
            what = ", ".join(f"{name}={value}" for name, value in given.items())
            rows.append((side, str(codec.get("name", UNKNOWN)), str(of_side.get("version")), what))
        factor = (run.get("traditional") or {}).get("rate_factor")
        if factor is not None:
            rows.append(("rate factor", str(factor), "", "traditional bpp / neural bpp"))
        limits = run.get("thresholds") or {}
        for name in run.get("detectors") or ():
            rows.append(("detector", str(name), "", f"confidence over {limits.get(name, 0)}"))
    if not rows:
        return ""
    heads = ("what", "name", "version", "parameters")
    return "## How it was made\n\n" + markdown_table(CountTable("Runs", heads, rows, False))


def _licenses(dataset: DataSet, stats: Mapping[str, Any]) -> str:
    unknown = stats["licenses"].get(UNKNOWN, 0)
    lines = ["## Licences", "Of the images, and so of what codecs made of them:"]
    cells = [(name, str(count)) for name, count in stats["licenses"].items()]
    lines.append(markdown_table(CountTable("Images by licence", ("licence", "images"), cells)))
    if unknown:
        lines.append(f"**The licence of {unknown} of {stats['images']} images is unknown.**")
    images = {record.source: license_of(record.extra) for record in dataset.records}
    rows = [
        (str(name), own.license, own.attribution, own.source_url)
        for name, own in sorted(images.items(), key=lambda each: str(each[0]))
    ]
    heads = ("image", "licence", "attribution", "where")
    lines.append(markdown_table(CountTable("Each image", heads, rows[:MOST_IMAGES], False)))
    if len(rows) > MOST_IMAGES:
        lines.append(
            f"And {len(rows) - MOST_IMAGES} more: the columns `license`, `attribution`, `author`, "
            f"`image_source` and `source_url` of `{TRIPLETS}` have all."
        )
    return "\n\n".join(lines)


def _caveats(stats: Mapping[str, Any]) -> str:
    lines = []
    if stats["artifact_free_triplets"]:
        lines.append(
            f"- Nobody looked at the {stats['artifact_free_triplets']} triplets that count as free "
            "of artifacts: no detector found anything over its threshold there."
        )
    if stats["undecided"]:
        lines.append(
            f"- {stats['undecided']} places of these triplets are undecided: nobody was asked, or "
            "too few answered. They are no artifacts of the data set and no proof of the contrary; "
            "test sets leave their triplets out for that type."
        )
    if stats["duplicates"]:
        lines.append(
            f"- {stats['duplicates']} artifacts are there a second time, at another preset, in "
            "another version or by another detector, and count once."
        )
    return "\n".join(["## What to mind", "", *lines]) if lines else ""


def _fenced_json(settings: Mapping[str, Any]) -> str:
    """Settings as JSON that cannot end the block of code around it."""
    return json.dumps(settings, indent=1, ensure_ascii=False).replace("`", "\\u0060")
