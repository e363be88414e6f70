"""``compress check=decode``: decoders that depend on the process they run in are found."""

import json
import os

import numpy as np
import pytest
import torch
from checks import csv_rows
from PIL import Image as Pillow
from skimage import data

from nacd_bench.coding.codec import Codec, OperatingPoints
from nacd_bench.coding.sides import CodecSpec
from nacd_bench.errors import UserError
from nacd_bench.jobs.compress.run import compress

TERMS = torch.tensor([1e8, 1, -1e8, 1])
"""In float32 their sum is 1 from left to right, and 0 as the sum of two halves."""


class Summing(Codec):
    """Raw pixels, one of them moved by a sum in as many parts as there are threads."""

    name = "summing"
    points = OperatingPoints("quality", (1, 2))
    in_main_process = True
    fault = "sum"

    def version(self):
        return "1"

    def encode(self, image, point):
        self.encoded = True
        return np.array(image.shape[:2], np.uint16).tobytes() + image.tobytes()

    def decode(self, data):
        image = np.frombuffer(data[4:], np.uint8).reshape(*np.frombuffer(data[:4], np.uint16), 3)
        image = image.copy()
        total = torch.zeros(())
        for part in TERMS.chunk(torch.get_num_threads()):
            subtotal = torch.zeros(())
            for term in part:
                subtotal += term
            total += subtotal
        image[3, 5, 1] = 100 + 20 * total.int()
        return image


class Remembering(Summing):
    """Decodes only where it encoded, as modules do that keep a shape in ``self``."""

    name = "remembering"
    encoded = False

    def __getstate__(self):
        return {}

    def decode(self, data):
        if not self.encoded:
            raise AttributeError("no latent shape")
        return super().decode(data)


class Dying(Remembering):
    name = "dying"

    def decode(self, data):
        if not self.encoded:
            os._exit(11)
        return super().decode(data)


class Unsendable(Remembering):
    name = "unsendable"

    def __getstate__(self):
        raise TypeError("cannot pickle a lock")


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "face.png"
    Pillow.fromarray(data.astronaut()[40:88, 160:224]).save(path)
    return path


def run(photo, neural, traditional="jpeg", **options):
    options = {"points": [1], "workers": 0, "check": "decode", "show_progress": False, **options}
    return compress(photo, neural, traditional, photo.parent / "run", **options)


def test_faults_of_each_kind_are_reported_and_sound_codecs_are_not(photo, one_thread):
    learned = CodecSpec("hyperprior", {"device": "cpu"})
    others = [Remembering(), Dying(), Unsendable(), "jpeg", learned]
    done = run(photo, Summing(), others[0], then=others[1:])
    rows = {row["side"]: row for row in done.decoded_again if "thread" in row["condition"]}
    assert set(rows) == {"neural", "hyperprior", *(other.name for other in others[:3]), "jpeg"}
    found = rows["neural"]
    assert found["condition"] == "2 threads" and not found["error"]
    assert (found["pixels"], found["max_difference"]) == (1, 20)
    assert (found["x"], found["y"]) == (5, 3)
    assert found["share"] == 1 / (48 * 64)
    assert rows["remembering"]["error"] == "AttributeError: no latent shape"
    assert "process that decoded it died" in rows["dying"]["error"]
    assert "cannot pickle a lock" in rows["unsendable"]["error"]
    for sound in ("jpeg", "hyperprior"):
        assert rows[sound]["pixels"] == 0 and not rows[sound]["error"]
    assert not done.failures  # the results themselves are whole
    assert [row["side"] for row in csv_rows(done.folder / "decode_check.csv")] == [
        row["side"] for row in done.decoded_again
    ]
    noted = json.loads((done.folder / "summary.json").read_text())["decode_check"]
    assert noted == {"decodes": len(done.decoded_again), "faults": 4}


def test_another_check_is_refused(photo):
    with pytest.raises(UserError, match="unknown check 'encode'; did you mean 'decode'"):
        run(photo, "jpeg", check="encode")
