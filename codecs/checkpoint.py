"""Checkpoints of PyTorch modules as people have them, read without running code in them.

Weights lie at the top of a file or under ``state_dict``, ``model``, ``net``, ``params_ema``; their
names begin with what held the module while it was trained: ``module.`` (DataParallel), ``model.``
(Lightning), ``_orig_mod.`` (torch.compile). So the weights are what fits the module best, wherever
they lie; of two that fit as well, the average over the training (``ema`` in its name).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nacd_bench.errors import CodecError

if TYPE_CHECKING:
    from torch import Tensor, nn

MOST_NAMES = 6
"""Names of weights in an error message; the rest is counted."""
NESTING = 4
"""Dictionaries in dictionaries that are looked into."""
REMEDY = "Give the checkpoint of this architecture and operating point."


def make_tables(module: Any) -> None:
    """Make the tables of all entropy coders in a module anew: those of a checkpoint may be stale.

    CompressAI's ``update()`` leaves tables alone that are there, unless it is told ``force=True``.

    Raises:
        CodecError: ``update`` fails, or asks for what nobody knows here.
    """
    if hasattr(module, "update"):
        arguments = {"force": True} if _takes_force(module) else {}
        try:
            module.update(**arguments)
        except Exception as error:  # somebody else's code
            raise CodecError(
                f"{type(module).__name__}.update{inspect.signature(module.update)} is to make the "
                f"entropy coder's tables, and fails: {type(error).__name__}: {error}. Give the "
                "module an update() that takes nothing, or force=True."
            ) from error
        if arguments:
            return
    for part in _coders(module):  # an update() without force may leave theirs as they are
        make_tables(part)


def load_weights(module: nn.Module, path: str | Path) -> None:
    """Load a checkpoint into a module.

    Buffers take the size that they have in the file: an entropy coder's tables grow in training.

    Raises:
        CodecError: the file cannot be read, or its weights are not the module's.
    """
    weights = read_weights(path, module.state_dict())
    if weights.keys() - module.state_dict().keys():
        with suppress(CodecError):
            make_tables(module)  # some modules have no buffers for tables before
    for prefix, part in module.named_modules():
        for name, buffer in list(part.named_buffers(recurse=False)):
            saved = weights.get(f"{prefix}.{name}" if prefix else name)
            if saved is not None and saved.shape != buffer.shape:
                setattr(part, name, buffer.new_empty(saved.shape))
    try:
        module.load_state_dict(weights)
    except Exception as error:  # a module may load in a way of its own
        raise unfit(path, weights, module.state_dict(), error) from error


def read_weights(path: str | Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in a file that fit ``expected`` best, under the names that it has.

    Raises:
        CodecError: no such file, one that is no checkpoint, or one without any of the names.
    """
    state_dicts = list(_state_dicts(_content(path)))
    ranked = [
        (_rank(weights, expected, prefix, place), prefix, weights)
        for place, weights in state_dicts
        for prefix in {
            name[:start]
            for name in weights
            for start in (0, *(dot.end() for dot in re.finditer(r"\.", name)))
            if name[start:] in expected
        }
    ]
    if not ranked:
        inside = [f"{place or 'at the top'}: {_some(weights)}" for place, weights in state_dicts]
        raise CodecError(
            f"the weights in {path} do not fit the module: expected {_some(expected)}, got "
            f"{'; '.join(inside) or 'no weights at all'}. {REMEDY}"
        )
    _, prefix, weights = max(ranked, key=lambda entry: entry[0])
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def unfit(
    path: str | Path,
    weights: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    error: Exception,
) -> CodecError:
    """An error that names what is missing, what is too much, and shapes that differ."""
    wrong = {
        "missing": [name for name in expected if name not in weights],
        "unexpected": [name for name in weights if name not in expected],
        "of another shape": [
            f"{name} ({_size(weights[name])}, expected {_size(value)})"
            for name, value in expected.items()
            if name in weights and weights[name].shape != value.shape
        ],
    }
    reasons = [f"{what}: {_some(names)}" for what, names in wrong.items() if names]
    return CodecError(
        f"the weights in {path} do not fit the module, which has {len(expected)} of them. "
        f"{'; '.join(reasons) or error}. {REMEDY}"
    )


def _content(path: str | Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CodecError(f"expected weights in {path}, got: {error}. {REMEDY}") from error
    except Exception as error:  # whatever reading foreign bytes raises
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise CodecError(
            f"expected weights in {path}, got {_kind(Path(path)) or reason}. Give a file that "
            "torch.save wrote from a state dict; whole pickled models are not read."
        ) from error


def _kind(path: Path) -> str:
    """What a file is that torch.load does not take, where that can be told."""
    import torch

    with path.open("rb") as file:
        start = file.read(9)
    if not start:
        return "an empty file"
    if path.suffix == ".safetensors" or start[8:] == b"{":
        return "safetensors (to convert: torch.save(safetensors.torch.load_file(...), ...))"
    try:
        objects = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # not PyTorch's, or cut short
        return ""
    return f"a file with Python objects ({_some(objects)})" if objects else ""


def _state_dicts(content: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every dictionary of tensors in a file, with where it lies."""
    if not isinstance(content, Mapping) or depth > NESTING:
        return
    tensors = {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and hasattr(value, "shape")
    }
    if tensors:
        yield place, tensors
    for name, value in content.items():
        if isinstance(name, str):
            yield from _state_dicts(value, f"{place}.{name}".lstrip("."), depth + 1)


def _rank(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], prefix: str, place: str
) -> tuple[int, int, bool, int]:
    """How well weights fit; larger is better."""
    names = [name for name in expected if prefix + name in weights]
    same = sum(weights[prefix + name].shape == expected[name].shape for name in names)
    path = f"{place}.{prefix}"
    return len(names), same, "ema" in re.split(r"[._]", path), -len(path)


def _takes_force(module: Any) -> bool:
    parameters = inspect.signature(module.update).parameters.values()
    return any(p.name == "force" or p.kind is p.VAR_KEYWORD for p in parameters)


def _coders(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules in one that make their tables anew by force."""
    for part in module.children():
        if hasattr(part, "update") and _takes_force(part):
            yield part
        else:
            yield from _coders(part)


def _some(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _size(value: Tensor) -> str:
    return " x ".join(map(str, value.shape)) or "a number"
