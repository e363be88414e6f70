"""The networks of PP-OCR in RapidOCR's wheel: where their files are, and how they are run."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import distribution, version
from pathlib import Path

import numpy as np

from nacd_bench.errors import TextFinderError


def network_file(model: str | Path, kind: str) -> Path:
    """A network by its path, or by its file name in RapidOCR's wheel.

    Args:
        model: the path or name.
        kind: what it is, as its file name says it: ``det`` or ``rec``.

    Raises:
        TextFinderError: there is none.
    """
    path = Path(model)
    if path.is_file():
        return path
    folder = Path(str(distribution("rapidocr").locate_file("rapidocr/models")))
    if path.parent == Path() and (folder / path).is_file():
        return folder / path
    models = sorted(file.name for file in folder.glob(f"*{kind}*.onnx"))
    raise TextFinderError(
        f"expected text finder rapidocr's network '{path}' as a file or in the wheel of "
        f"rapidocr {version('rapidocr')}, which has {', '.join(models) or 'none'}. "
        "Give the path of a PP-OCR network as model, or reinstall rapidocr."
    )


def open_network(path: Path, threads: int | None) -> Callable[[np.ndarray, bool], np.ndarray]:
    """The network's first output of its one input, on the CPU.

    The second argument says whether the memory of this input and those before it is given back, all
    but what the output lies in, or kept for the next one.

    Raises:
        TextFinderError: the file is no network.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it would report to its makers
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or 0
    options.enable_mem_pattern = False  # one more block, of all that a size needs, beside the rest
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime has a class per failure, none of them public
        raise TextFinderError(
            f"expected a PP-OCR network as ONNX, got {path}: {error!s:.200}"
        ) from error
    name, back = session.get_inputs()[0].name, onnxruntime.RunOptions()
    # Without an arena every plane is fresh memory, whose page faults cost more than the
    # convolutions on it, and one that never shrinks keeps the largest image's.
    back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return lambda pixels, gives: session.run(None, {name: pixels}, back if gives else None)[0]
