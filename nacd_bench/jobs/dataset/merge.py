"""``nacd-bench dataset merge``: several data sets as one, whatever their order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nacd_bench import __version__
from nacd_bench.errors import DataError
from nacd_bench.jobs.dataset.assemble import Assembled, Options, Sources, assemble, begin
from nacd_bench.jobs.dataset.build import options_from_config
from nacd_bench.jobs.dataset.content import (
    ARTIFACTS,
    HASHES,
    TRIPLETS,
    DataSet,
    read_dataset,
)
from nacd_bench.jobs.dataset.images import ImageFile
from nacd_bench.jobs.dataset.unite import content_key
from nacd_bench.runs.folder import new_run_id, run_lock
from nacd_bench.triplets.files import sha256

PLAIN = Options()


def merge(folders: Sequence[str | Path], folder: str | Path, options: Options = PLAIN) -> Assembled:
    """Merge data sets; one that was stopped goes on.

    Args:
        folders: two or more, in any order.
        folder: where the merged one goes.
        options: how it is put together.

    Raises:
        DataError: one of them is no data set, or the folder holds something else.
    """
    folder = Path(folder)
    places = sorted({Path(each).resolve() for each in folders})
    if len(places) < 2 or folder.resolve() in places:
        raise DataError(
            f"expected two or more data sets and another folder to merge them into, got "
            f"{', '.join(map(str, folders)) or 'none'} into {folder}. Name them all."
        )
    datasets = [read_dataset(place) for place in places]
    hashes = [
        [sha256((place / name).read_bytes()) for name in (TRIPLETS, ARTIFACTS)] for place in places
    ]
    settings = {
        "nacd_bench": __version__,
        "job": "dataset merge",
        **options.settings,
        "inputs": sorted(hashes),
        "runs": _each_once(datasets, "runs"),
        "verification": _each_once(datasets, "verification"),
    }
    with run_lock(folder, new_run_id()):
        begin(folder, settings)
        parts = [(each.records, each.artifacts) for each in datasets]
        return assemble(folder, parts, _sources(datasets), (), settings, options)


def merge_from_config(config: Mapping[str, Any]) -> Assembled:
    """:func:`merge` with the settings of ``conf/dataset_merge.yaml``, as plain dictionaries."""
    given = config["datasets"]
    folders = [given] if isinstance(given, str) else list(given)
    return merge(folders, config["folder"], options_from_config(config))


def _sources(datasets: Iterable[DataSet]) -> Sources:
    """The images of the data sets; of those that several have, the first by path."""
    found: dict[str, dict[str, ImageFile]] = {}
    originals: dict[str, str] = {}
    for dataset in datasets:
        for record in dataset.records:
            image = str(record.extra["image_sha256"])
            originals[image] = min(record.original, originals.get(image, record.original))
            own = found.setdefault(content_key(record), {})
            for role, column in HASHES.items():
                path, is_decode = getattr(record, role), role != "original"
                if role not in own or path < own[role].source:
                    own[role] = ImageFile("", None, path, str(record.extra[column]), is_decode)
    return {
        key: {
            role: ImageFile("", None, originals[file.sha256], file.sha256)
            if role == "original"
            else file
            for role, file in own.items()
        }
        for key, own in found.items()
    }


def _each_once(datasets: Iterable[DataSet], name: str) -> list[Any]:
    """What the settings of data sets list under a name, in an order of its own."""
    found = {
        json.dumps(each, sort_keys=True): each
        for dataset in datasets
        for each in dataset.settings.get(name) or ()
    }
    return [found[key] for key in sorted(found)]
