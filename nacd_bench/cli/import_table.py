"""``nacd-bench import``: somebody else's table to a manifest."""

from __future__ import annotations

from collections import Counter

from nacd_bench.cli.printing import console
from nacd_bench.settings import Name, checked


@checked
def run(*, source: Name, mapping: Name, output: Name) -> int:
    from nacd_bench.triplets.foreign import import_records
    from nacd_bench.triplets.manifest import write_manifest

    records = import_records(source, mapping)
    write_manifest(output, records)
    labels = Counter(label.artifact_type for record in records for label in record.labels)
    counts = [f"{count} {name}" for name, count in sorted(labels.items())]
    free = sum(bool(record.artifact_free) for record in records)
    console().print(
        f"{len(records)} triplets, labels: {', '.join(counts) or 'none'}; {free} free of "
        f"artifacts. Written: {output}. Images were not opened: nacd-bench validate {output}",
        markup=False,
    )
    return 0
