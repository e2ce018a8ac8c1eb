"""Maps of frozen layers: those the layers make, computed once, found again by content, never half written."""

import hashlib
import os

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from vitrine.blocks.backbones import build_backbone
from vitrine.catalog import Catalog
from vitrine.data import feature_store
from vitrine.data.augment import normalise, transformed
from vitrine.data.feature_store import FeatureStore
from vitrine.data.photo_store import PhotoStore
from vitrine.data.pixels import Pixels

CPU = torch.device("cpu")


@pytest.fixture
def photos(tmp_path):
    """Twelve photos of noise; the last two rows show the first photo again."""
    random = np.random.default_rng(0)
    paths = []
    for number in range(12):
        path = tmp_path / f"{number}.png"
        Image.fromarray(random.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(path)
        paths.append(str(path))
    return PhotoStore([*paths, paths[0], paths[0]], 16, contents=[*paths, paths[0], paths[0]])


def layers(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU())


def rows(store, *wanted):
    ((_, batch),) = store.batches([np.array(wanted)])
    return batch


def test_plain_maps_are_what_the_layers_make(photos, tmp_path):
    own = layers()
    store = FeatureStore(photos, own, 2, tmp_path / "kept")
    wanted = own.eval()(normalise(photos.read(np.array([3, 0, 7])))).detach()
    for _ in range(2):  # computed, then read
        got = store.normalised(rows(store, 3, 0, 7), CPU)
        assert got.shape == (3, 4, 8, 8)
        assert got.is_contiguous(memory_format=torch.channels_last)
        assert torch.allclose(got, wanted, atol=2e-3)  # half precision
    assert store.computed == 3


def test_a_map_is_the_same_to_the_bit_whatever_is_computed_with_it(tmp_path):
    """Else it would depend on what another process had kept: on one thread, MobileNetV2's of 1 photo and of 16 differ."""
    trunk = build_backbone("mobilenet_v2", 128, "auto")[0].to(memory_format=torch.channels_last)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 128, 128, 3), dtype=np.uint8)
    photos = Pixels(pixels)
    photos.contents, photos.name = list(map(str, range(20))), str
    together, alone = (FeatureStore(photos, trunk[:14], 2, tmp_path / name) for name in ("together", "alone"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number in (0, 1):
            whole = together.copy(torch.arange(20), CPU, number)
            for row in range(20):
                assert torch.equal(alone.copy(torch.tensor([row]), CPU, number)[0], whole[row])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("cleaned", [True, False])
def test_a_copy_looks_the_same_wherever_the_photo_lies_and_whenever_it_came_there(tmp_path, cleaned):
    """A clone of the data, or the same objects on S3, are to come to the same model."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 3), dtype=np.uint8)
    maps = []
    for place, time in (("here", 1e9), ("elsewhere", 2e9)):
        path = tmp_path / place / "photo.png"
        path.parent.mkdir()
        Image.fromarray(pixels).save(path)
        os.utime(path, (time, time))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        table = pd.DataFrame({"image": ["photo.png"]} | ({"sha256": [digest]} if cleaned else {}))
        store = FeatureStore(PhotoStore.of_catalog(Catalog(str(path.parent), table), 16), layers(), 1)
        maps.append(store.copy(torch.tensor([0]), CPU, 1))
        assert store.computed == 1  # not taken from what was kept of the other file
    assert torch.equal(*maps)


def test_photos_of_one_name_in_other_folders_are_augmented_in_other_ways(tmp_path):
    """Without a SHA-256: `red/front.png` and `blue/front.png` are two photos."""
    images = ["red/front.png", "blue/front.png"]
    for image in images:
        (tmp_path / image).parent.mkdir()
        Image.fromarray(np.arange(20 * 16 * 3, dtype=np.uint8).reshape(20, 16, 3)).save(tmp_path / image)
    catalog = Catalog(str(tmp_path), pd.DataFrame({"image": images}))
    maps = FeatureStore(PhotoStore.of_catalog(catalog, 16), layers(), 1).copy(torch.arange(2), CPU, 1)
    assert not torch.equal(*maps)


@pytest.mark.parametrize("number", [0, 1])
def test_a_map_is_the_same_inside_of_a_step_in_bfloat16_and_outside(photos, tmp_path, number):
    inside, outside = (FeatureStore(photos, layers(), 1, tmp_path / name) for name in ("inside", "outside"))
    with torch.autocast("cpu", torch.bfloat16):
        got = inside.copy(torch.arange(12), CPU, number)
    assert torch.equal(got, outside.copy(torch.arange(12), CPU, number))


def test_augmented_maps_are_those_of_one_view_a_copy(photos, tmp_path):
    own = layers()
    store = FeatureStore(photos, own, 2, tmp_path / "kept")
    seen = set()
    for step in range(20):
        got = store.augmented(rows(store, 5), CPU, (0, step))
        views = []
        for copy in (1, 2):
            draws = feature_store._draws(feature_store.copy_name(photos.name(5), copy))
            views.append(own(transformed(photos.read(np.array([5])), torch.from_numpy(draws[:, None]))).detach())
        near = [torch.allclose(got, view, atol=2e-3) for view in views]
        assert sum(near) == 1
        seen.add(near.index(True))
    assert seen == {0, 1}
    assert store.computed == 2


def test_what_is_drawn_depends_on_the_seed_alone(photos, tmp_path):
    store = FeatureStore(photos, layers(), 4, tmp_path / "kept")
    batch = rows(store, *range(12))
    first = store.augmented(batch, CPU, (0, 1, 2))
    assert torch.equal(first, store.augmented(batch, CPU, (0, 1, 2)))
    assert not torch.equal(first, store.augmented(batch, CPU, (0, 1, 3)))


def test_without_copies_every_pass_sees_the_photo_as_it_is(photos, tmp_path):
    store = FeatureStore(photos, layers(), 0, tmp_path / "kept")
    assert torch.equal(store.augmented(rows(store, 1), CPU, (9,)), store.normalised(rows(store, 1), CPU))


def test_maps_are_found_again_by_content_layers_and_size(photos, tmp_path):
    def computed(store):
        store.normalised(rows(store, *range(len(store))), CPU)
        return store.computed

    folder = tmp_path / "kept"
    FeatureStore(photos, layers(), 0, folder).normalised(torch.arange(8), CPU)
    assert computed(FeatureStore(photos, layers(), 0, folder)) == 4  # rows 12 and 13 show photo 0
    assert computed(FeatureStore(photos, layers(), 0, folder)) == 0
    assert computed(FeatureStore(photos, layers(1), 0, folder)) == 14  # other tensors; a batch finds no twin in itself
    uris = photos._uris
    other = PhotoStore(uris, 16, contents=[f"{own}, changed" for own in photos.contents])
    assert computed(FeatureStore(other, layers(), 0, folder)) == 14
    larger = PhotoStore(uris, 32, contents=photos.contents)
    assert computed(FeatureStore(larger, layers(), 0, folder)) == 14


def test_a_reordered_catalog_gets_each_photos_own_maps(photos, tmp_path):
    folder, order = tmp_path / "kept", np.random.default_rng(1).permutation(14)
    first = FeatureStore(photos, layers(), 0, folder)
    wanted = first.normalised(torch.arange(14), CPU)
    turned = PhotoStore([photos._uris[i] for i in order], 16, contents=[photos.contents[i] for i in order])
    store = FeatureStore(turned, layers(), 0, folder)
    assert torch.equal(store.normalised(torch.arange(14), CPU), wanted[torch.from_numpy(order)])
    assert store.computed == 0


def test_many_files_are_read_together(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_store, "SHARD_BYTES", 1200)  # two maps of 4 x 8 x 8 a file
    store = FeatureStore(photos, layers(), 0, tmp_path / "kept")
    wanted = store.normalised(torch.arange(12), CPU)
    assert len(list((tmp_path / "kept").iterdir())) == 6
    again = FeatureStore(photos, layers(), 0, tmp_path / "kept")
    assert torch.equal(again.normalised(torch.arange(12), CPU), wanted)
    assert again.computed == 0


def test_a_place_that_was_not_filled_to_its_end_is_no_map(photos, tmp_path):
    store = FeatureStore(photos, layers(), 0, tmp_path / "kept")
    wanted = store.normalised(torch.arange(3), CPU)
    _, slot = store._places[feature_store.copy_name(photos.contents[1], 0)]
    store._shards[0]["filled"][slot] = 0  # killed before this
    again = FeatureStore(photos, layers(), 0, tmp_path / "kept")
    assert torch.equal(again.normalised(torch.arange(3), CPU), wanted)
    assert again.computed == 1


def test_a_file_cut_short_costs_its_maps_only(photos, tmp_path):
    store = FeatureStore(photos, layers(), 0, tmp_path / "kept")
    wanted = store.normalised(torch.arange(3), CPU)
    (path,) = (tmp_path / "kept").iterdir()
    path.write_bytes(path.read_bytes()[:777])
    again = FeatureStore(photos, layers(), 0, tmp_path / "kept")
    assert torch.equal(again.normalised(torch.arange(3), CPU), wanted)
    assert again.computed == 3


def test_a_disk_that_takes_no_more_costs_time_only(photos, small_disk, monkeypatch):
    folder = small_disk("size=1m")
    store = FeatureStore(photos, layers(), 0, folder / "kept")  # a file takes 32 MB
    for _ in range(2):
        assert store.normalised(torch.arange(3), CPU).shape == (3, 4, 8, 8)
    assert store.computed == 6
    assert list(folder.rglob("*.maps")) == []


def test_maps_of_other_photos_of_the_same_net_make_room(photos, tmp_path, monkeypatch):
    """Every catalog's maps of the default net begin with one key: these too are dropped when they are not used."""
    kept = tmp_path / "kept"
    monkeypatch.setattr(feature_store, "SHARD_BYTES", 1)  # a map a file
    FeatureStore(photos, layers(), 0, kept).normalised(torch.arange(6), CPU)
    files = {path.name: path for path in kept.iterdir()}
    for path in files.values():
        os.utime(path, (1, 1))
    monkeypatch.setattr(feature_store, "MAX_CACHE_BYTES", sum(path.stat().st_size for path in files.values()))
    store = FeatureStore(photos, layers(), 0, kept)
    store.normalised(torch.arange(2), CPU)  # two files are used again
    store.normalised(torch.arange(6, 10), CPU)
    left = {path.name for path in kept.iterdir()}
    assert (len(left), len(left & files.keys()), store.computed) == (6, 2, 4)
    wanted = layers().eval()(normalise(photos.read(np.arange(12)))).detach()
    assert torch.allclose(store.normalised(torch.arange(12), CPU), wanted, atol=2e-3)
    assert {path.name for path in kept.iterdir()} == left  # all are in use: the rest is computed each time
    assert torch.allclose(store.normalised(torch.arange(12), CPU), wanted, atol=2e-3)


def test_large_values_stay_finite(photos, tmp_path):
    own = nn.Sequential(nn.Conv2d(3, 1, 1))
    with torch.no_grad():
        own[0].weight.fill_(1e7)
    maps = FeatureStore(photos, own, 0, tmp_path / "kept").normalised(torch.arange(2), CPU)
    assert torch.isfinite(maps).all()
