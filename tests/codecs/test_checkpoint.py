"""Checkpoints as people have them, and the entropy coder's tables that lie in them."""

import argparse
import io
import struct
import zipfile

import numpy as np
import pytest
import torch
from checks import fails
from torch import nn

from nacd_bench.errors import CodecError
from nacd_bench.registry import CODECS

IMAGE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)


class Coder(nn.Module):
    """An entropy coder whose table has as many entries as its weight says; stale ones stay."""

    def __init__(self, entries=4.0):
        super().__init__()
        self.entries = nn.Parameter(torch.tensor(entries))
        self.register_buffer("_quantized_cdf", torch.zeros(0, dtype=torch.int32))

    def update(self, force=False):
        if self._quantized_cdf.numel() and not force:
            return False
        self._quantized_cdf = torch.arange(int(self.entries), dtype=torch.int32)
        return True


class Forced(nn.Module):
    """A codec with two coders, as a hyperprior has, whose string is as long as their tables."""

    def __init__(self, entries=4.0):
        super().__init__()
        self.transform = nn.Conv2d(3, 2, 1)
        self.y, self.z = Coder(entries), nn.Sequential(Coder(entries))

    def update(self, force=False):
        return self.y.update(force) | self.z[0].update(force=force)

    def compress(self, x):
        length = len(self.y._quantized_cdf) + len(self.z[0]._quantized_cdf)
        return [bytes(length) for _ in x]

    def decompress(self, strings):
        return torch.zeros(len(strings), 3, 8, 8)


class WithScales(Forced):
    def update(self, scale_table=None, force=False):
        return super().update(force)


class WithKeywords(Forced):
    def update(self, **options):
        return super().update(**options)


class WithoutArguments(Forced):
    def update(self):
        return super().update(force=True)


class Lazy(Forced):
    """Its update() takes nothing and leaves tables alone that are there."""

    def update(self):
        return super().update()


class Late(Forced):
    """Buffers that are not there before update()."""

    def __init__(self, entries=4.0):
        super().__init__(entries)
        for coder in (self.y, self.z[0]):
            del coder._quantized_cdf

    def update(self, force=False):
        for coder in (self.y, self.z[0]):
            table = torch.arange(int(coder.entries), dtype=torch.int32)
            coder.register_buffer("_quantized_cdf", table)


class Wrapped(nn.Module):
    """Without an update() of its own."""

    def __init__(self, entries=4.0):
        super().__init__()
        self.net = Forced(entries)
        self.compress, self.decompress = self.net.compress, self.net.decompress


class WithoutTables(nn.Module):
    """Coded by hand: nothing to update."""

    def __init__(self, entries=4.0):
        super().__init__()
        self.entries = nn.Parameter(torch.tensor(entries))

    def compress(self, x):
        return [bytes(2 * int(self.entries)) for _ in x]

    decompress = Forced.decompress


KINDS = [Forced, WithScales, WithKeywords, WithoutArguments, Lazy, Late, Wrapped, WithoutTables]


def weights_of(kind, stale):
    """Of a codec that was trained from 4 entries to 9, with the tables of before or after."""
    torch.manual_seed(0)
    module = kind()
    coded = getattr(module, "net", module)
    if stale and hasattr(coded, "update"):
        coded.update()
    for name, weight in module.named_parameters():
        if name.endswith("entries"):
            weight.data.fill_(9.0)
    if not stale and hasattr(coded, "update"):
        coded.update()
    return module.state_dict()


def codec_of(kind, path, **options):
    return CODECS.get("torch")(kind, checkpoint=path, multiple=8, **options)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_tables_are_those_of_the_weights_whatever_the_checkpoint_holds(tmp_path, kind):
    codecs = []
    for name in ("stale", "fresh"):
        torch.save(weights_of(kind, stale=name == "stale"), tmp_path / name)
        codecs.append(codec_of(kind, tmp_path / name))
    header = len(codecs[0].encode(IMAGE, 1)) - 18
    assert 0 < header < 12
    assert [len(codec.encode(IMAGE, 1)) - header for codec in codecs] == [18, 18]
    assert codecs[0].version() == codecs[1].version()
    assert codecs[0].decode(codecs[1].encode(IMAGE, 1)).shape == IMAGE.shape


def test_an_update_that_cannot_be_called_is_named(tmp_path):
    class Asking(Forced):
        def update(self, quantiles):
            raise NotImplementedError

    torch.save(Asking().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(CodecError, match=r"Asking\.update\(quantiles\) is to make .* tables"):
        codec_of(Asking, tmp_path / "weights.pt")


def test_results_with_other_tables_are_told_apart():
    """Tables that nobody makes anew, in a buffer that a state dict may not hold."""

    class Fixed(WithoutTables):
        def __init__(self, entry, kept):
            super().__init__()
            self.register_buffer("table", torch.tensor([1, entry]), persistent=kept)

    for kept in (True, False):
        # 2^24 and 2^24 + 1 are the same in float32
        codecs = [CODECS.get("torch")(Fixed(2**24 + i, kept), multiple=8) for i in range(2)]
        assert codecs[0].version() != codecs[1].version()
        assert codecs[0].parameters["weights_sha256"] != codecs[1].parameters["weights_sha256"]


def under(prefix, weights):
    return {prefix + name: value for name, value in weights.items()}


def other(weights):
    return {name: torch.zeros_like(value) for name, value in weights.items()}


LAYOUTS = {
    "top": lambda w: w,
    "state_dict": lambda w: {"epoch": 3, "state_dict": w, "loss": torch.tensor(1.0)},
    "model": lambda w: {"model": w, "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
    "net": lambda w: {"net": under("module.", w)},
    "network": lambda w: {"network": {"generator": w}},
    "params": lambda w: {"params": w},
    "params_ema": lambda w: {"params": other(w), "params_ema": w},
    "ema": lambda w: {"model": other(w), "ema": under("module.", w)},
    "compiled": lambda w: under("module._orig_mod.", w),
    "lightning": lambda w: {
        "pytorch-lightning_version": "2.4.0",
        "hyper_parameters": {"lr": 1e-4},
        "state_dict": under("model.", w) | {"lpips.net.0.weight": torch.zeros(3)},
    },
    "lightning_ema": lambda w: {"state_dict": under("net.", other(w)) | under("ema.net.", w)},
    "two_networks": lambda w: {
        "state_dict": under("teacher.", w | {"transform.weight": torch.ones(9, 3, 1, 1)})
        | under("a_long_name_of_the_student.", w)
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_are_found_wherever_they_lie(tmp_path, layout):
    weights = weights_of(Forced, stale=True)
    torch.save(LAYOUTS[layout](weights), tmp_path / "checkpoint.ckpt")
    module = codec_of(Forced, tmp_path / "checkpoint.ckpt").module(1)
    assert torch.equal(module.transform.weight, weights["transform.weight"])
    assert len(module.y._quantized_cdf) == 9


def saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def zipped(name):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"nothing")
    return file.getvalue()


WEIGHTS = weights_of(Forced, stale=False)
FEWER = {name: value for name, value in WEIGHTS.items() if not name.startswith("transform")}
WIDER = WEIGHTS | {"transform.weight": torch.zeros(5, 3, 1, 1)}
FAULTS = {
    "missing": (saved(FEWER), r"missing: transform\.weight, transform\.bias\. Give"),
    "unexpected": (saved(WEIGHTS | {"g_a.0.w": torch.ones(1)}), r"unexpected: g_a\.0\.w\. Give"),
    "shape": (saved(WIDER), r"transform\.weight \(5 x 3 x 1 x 1, expected 2 x 3 x 1 x 1\)"),
    "others": (
        saved({"model": under("g_a.", {f"{i}.w": torch.ones(1) for i in range(9)})}),
        r"do not fit .* expected transform\.weight, .* got model: g_a\.0\.w, .* and 3 more",
    ),
    "no tensors": (saved({"epoch": 3}), "no weights at all"),
    "a tensor": (saved(torch.ones(3)), "no weights at all"),
    "objects": (saved({"args": argparse.Namespace(lr=1)}), r"Python objects \(argparse\.Namespace"),
    "empty": (b"", "an empty file"),
    "cut short": (saved(WEIGHTS)[:-900], "torch.save wrote"),
    "text": (b"weights: none\n", "torch.save wrote"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "torch.save wrote"),
    "another archive": (zipped("a.txt"), "torch.save wrote"),
    "safetensors": (struct.pack("<Q", 2) + b"{}", "safetensors"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_named(tmp_path, fault):
    content, message = FAULTS[fault]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CodecError, match=message) as caught:
        codec_of(Forced, path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 1000


def test_no_such_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        fails(CodecError, r"expected weights in .*, got: \[Errno", codec_of, Forced, path)


class TestCompressAI:
    """Its own models, with random weights."""

    @pytest.fixture
    def model(self, zoo):
        torch.manual_seed(0)
        return zoo.model_architectures["mbt2018-mean"](8, 12)

    def codec(self, path):
        return CODECS.get("compressai")("mbt2018-mean", checkpoint=path)

    def test_stale_tables_are_made_anew(self, model, tmp_path):
        model.update()
        model.entropy_bottleneck.quantiles.data *= 3
        torch.save({"net": under("module.", model.state_dict())}, tmp_path / "stale.pth")
        stale = model.entropy_bottleneck._quantized_cdf.clone()
        module = self.codec(tmp_path / "stale.pth").module(1)
        model.update(force=True)
        assert torch.equal(
            module.entropy_bottleneck._quantized_cdf, model.entropy_bottleneck._quantized_cdf
        )
        assert module.entropy_bottleneck._quantized_cdf.shape != stale.shape

    def test_another_architecture_is_named(self, zoo, tmp_path):
        other_model = zoo.model_architectures["bmshj2018-factorized"](8, 12)
        torch.save(other_model.state_dict(), tmp_path / "other.pth")
        with pytest.raises(CodecError, match=r"missing: h_a\.0\.weight.* and \d+ more"):
            self.codec(tmp_path / "other.pth")
