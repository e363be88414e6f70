"""The data card: ``README.md`` of a data set, with the header that the Hugging Face Hub reads.

Its text is ``card.md.j2``, in which every value is made plain text of Markdown.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nacd_bench.jobs.dataset.stats import dataset_stats, further_tables, table_one
from nacd_bench.runs.dataset import ARTIFACTS, CARD, COCO, DataSet
from nacd_bench.runs.provenance import leaves
from nacd_bench.runs.schema import SIDES, TRIPLETS
from nacd_bench.runs.tables import Table
from nacd_bench.triplets.files import write_whole
from nacd_bench.triplets.licenses import UNKNOWN, license_of

MOST_IMAGES = 200
"""Images whose licence the card lists; the tables have all."""
SIZES = {"n<1K": 10**3, "1K<n<10K": 10**4, "10K<n<100K": 10**5, "100K<n<1M": 10**6}
HUB_LICENSES = {
    *("apache-2.0", "mit", "cc0-1.0", "cc", "odbl", "pddl", "gpl-3.0", "unlicense", UNKNOWN),
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
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        finalize=markdown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"listed": markdown_table, "raw": Markup}
    plain = json.dumps(dataset.settings, indent=1, ensure_ascii=False)
    licenses = [(name, str(count)) for name, count in stats["licenses"].items()]
    images = {str(record.source): license_of(record.extra) for record in dataset.records}
    by_image = [
        (name, own.license, own.attribution, own.source_url) for name, own in sorted(images.items())
    ]
    return environment.get_template("card.md.j2").render(
        **{"TRIPLETS": TRIPLETS, "ARTIFACTS": ARTIFACTS, "COCO": COCO},
        header=_header(stats, title),
        title=title,
        stats=stats,
        table_one=table_one(stats),
        further_tables=further_tables(stats),
        verification=[
            Table(("what", "value"), _rows(summary), "How it was verified")
            for summary in dataset.settings.get("verification", ())
        ],
        making=_making(dataset.settings),
        by_license=Table(("licence", "images"), licenses, "Images by licence"),
        by_image=Table(
            ("image", "licence", "attribution", "where"), by_image[:MOST_IMAGES], "Each image"
        ),
        images_left_out=max(0, len(by_image) - MOST_IMAGES),
        settings={"images": None, **dataset.settings},
        settings_json=plain.replace("`", "\\u0060"),  # which cannot end the block around it
    )


def markdown(text: Any) -> Any:
    r"""Any text as plain text in one line of Markdown; web addresses as links.

    >>> print(markdown("<script> [c](d)"))
    &lt;script&gt; \[c\](d)
    """
    if isinstance(text, Markup):
        return text
    plain = " ".join(str(text).split())
    if re.fullmatch(r"https?://[\w.~:/?#@!$&'()*+,;=%-]+", plain):
        return Markup(f"<{plain}>")
    return Markup(re.sub(r"([\\`*_{}\[\]#!~])", r"\\\1", html.escape(plain, quote=False)))


def markdown_table(table: Table) -> str:
    """A table with its title."""
    rows = [list(map(markdown, row or ())) for row in (table.columns, *table.rows)]
    return Markup(f"**{markdown(table.title)}**\n\n{Table(rows[0], rows[1:]).markdown().rstrip()}")


def _header(stats: Mapping[str, Any], title: str) -> str:
    names = {name.lower().replace(" ", "-") for name in stats["licenses"]}
    licenses = sorted(name if name in HUB_LICENSES else "other" for name in names)
    content = {
        "pretty_name": " ".join(title.split()),
        "license": licenses[0] if len(set(licenses)) == 1 else sorted(set(licenses)),
        "task_categories": ["object-detection"],
        "tags": ["image-compression", "visual-artifacts", "neural-codec"],
        "size_categories": [
            next((word for word, most in SIZES.items() if stats["triplets"] < most), "n>1M")
        ],
        "configs": [
            {"config_name": "artifacts", "data_files": ARTIFACTS, "default": True},
            {"config_name": "triplets", "data_files": TRIPLETS},
        ],
    }
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _rows(summary: Any) -> list[tuple[str, str]]:
    """Names and values of nested objects; lists stay out, they are in the settings."""
    return [
        (name.replace(".", ", "), str(value))
        for name, value in leaves(summary).items()
        if isinstance(value, str | int | float)
    ]


def _making(settings: Mapping[str, Any]) -> Table:
    rows = []
    for run in settings.get("runs", ()):
        for side in SIDES:
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
    return Table(("what", "name", "version", "parameters"), rows, "Runs")
