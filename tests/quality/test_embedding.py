"""Vectors of the published net: those of the baseline, once for each content, and no torch before they are asked for."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrine.errors import InputError
from vitrine.quality.embedding import EDGE, NET, embedder
from vitrine.quality.scan import scan_photos


@pytest.fixture
def source(make):
    catalog = make([{"image": f"images/{n}.jpg"} for n in range(6)] + [{"image": "images/broken.jpg"}])
    Path(catalog.uri("images/broken.jpg")).write_bytes(b"no photo")
    return catalog


def test_vectors_are_the_mean_of_the_last_map(source):
    import torch

    from vitrine.blocks.backbones import build_backbone
    from vitrine.catalog.photos import open_photo
    from vitrine.data.augment import normalise
    from vitrine.data.photo_store import fit_square

    found = embedder(source, scan_photos(source))(np.array([4, 6, 1]))
    assert found.shape == (3, 1280)
    assert not found[1].any()  # cannot be read
    net = build_backbone(NET, EDGE, "auto")[0].eval()
    for row, own in ((4, found[0]), (1, found[2])):
        pixels = torch.tensor(fit_square(open_photo(source.uri(f"images/{row}.jpg"), EDGE), EDGE))
        with torch.inference_mode():
            expected = net(normalise(pixels.permute(2, 0, 1)[None])).mean(dim=(2, 3))[0].numpy()
        assert np.abs(own - expected).max() < 4e-3  # kept in half precision


def test_a_photo_is_embedded_once_whatever_it_is_called(source, monkeypatch):
    from vitrine.data import feature_store

    computed = []
    compute = feature_store.FeatureStore._compute

    def counted(self, rows, copies):
        computed.append(len(rows))
        return compute(self, rows, copies)

    monkeypatch.setattr(feature_store.FeatureStore, "_compute", counted)
    Image.open(source.uri("images/0.jpg")).rotate(90).save(source.uri("images/0.jpg"))  # not seen by other tests
    photos = scan_photos(source)
    told = []
    first = embedder(source, photos, progress=lambda done, total: told.append((done, total)))(np.arange(7))
    assert told[-1] == (6, 6)
    before = sum(computed)
    again = embedder(source, photos)(np.arange(6)[::-1])
    assert sum(computed) == before
    assert (again == first[:6][::-1]).all()


def test_a_photo_that_was_replaced_since_the_scan_is_refused(source):
    photos = scan_photos(source)
    Image.new("RGB", (40, 40), "red").save(source.uri("images/2.jpg"))
    with pytest.raises(InputError, match=r"images/2\.jpg"):
        embedder(source, photos)(np.arange(6))


def test_weights_that_cannot_be_had_are_named(source):
    with pytest.raises(InputError, match="weights=/nowhere"):
        embedder(source, scan_photos(source), weights="/nowhere")(np.arange(2))


@pytest.mark.slow
def test_torch_waits_until_vectors_are_asked_for():
    code = "import sys, vitrine.quality.validate, vitrine.quality.clean; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
