"""``nacd-bench dataset merge``: several data sets as one."""

from __future__ import annotations

from typing import Any

from nacd_bench.cli.dataset_build import print_assembled


def run(**config: Any) -> int:
    from nacd_bench.jobs.dataset.merge import merge_from_config

    return print_assembled(merge_from_config(config))
