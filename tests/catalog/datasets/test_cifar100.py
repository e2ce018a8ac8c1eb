"""CIFAR-100's binary files become photos and a catalog."""

import shutil

import numpy as np
import publishers
import pytest
from PIL import Image

from vitrine.catalog import read_catalog
from vitrine.catalog.datasets import cifar100
from vitrine.catalog.ingest import ingest


def test_photos_are_written_pixel_for_pixel(root, tmp_path):
    records = publishers.cifar100(root)
    account = ingest(root, tmp_path / "out", "cifar100")
    table = read_catalog(tmp_path / "out").table
    assert list(zip(table["image"], table["category"], table["split"], strict=True)) == [
        ("images/train/apple/00000.png", "aquatic_mammals/apple", "train"),
        ("images/train/beaver/00001.png", "aquatic_mammals/beaver", "train"),
        ("images/train/ray/00002.png", "fish/ray", "train"),
        ("images/train/apple/00003.png", "aquatic_mammals/apple", "train"),
        ("images/test/apple/00000.png", "aquatic_mammals/apple", "test"),
        ("images/test/beaver/00001.png", "aquatic_mammals/beaver", "test"),
    ]
    for record, image in zip(records, table["image"], strict=False):
        photo = np.asarray(Image.open(tmp_path / "out" / image))
        assert photo.shape == (32, 32, 3)
        for y, x in [(0, 0), (0, 31), (17, 5), (31, 31)]:  # 1,024 bytes of red, then green, then blue, row by row
            assert photo[y, x].tolist() == [record[2 + plane * 1024 + y * 32 + x] for plane in range(3)]
    assert account.lines()[0] == "Rows: 6."


def test_the_catalog_may_be_moved(root, tmp_path):
    publishers.cifar100(root)
    ingest(root, tmp_path / "out", "cifar100")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    catalog = read_catalog(tmp_path / "elsewhere")
    assert Image.open(catalog.uri(catalog.table["image"][0])).size == (32, 32)


def test_many_photos_are_written_in_several_processes(root, table, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar100, "BATCH", 20)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    records = publishers.cifar100(root, train=130)
    rows = table("cifar100")
    assert (rows["split"] == "train").sum() == 130
    for record, image in zip(records, rows["image"], strict=False):
        photo = np.asarray(Image.open(tmp_path / "out" / image))
        assert np.array_equal(photo.transpose(2, 0, 1).ravel(), record[2:])


def test_the_pickled_version_is_not_read(root, refused):
    for name in ("train", "test", "meta"):
        (root / name).write_bytes(b"\x80\x02.")
    refused("cifar100", "no train.bin there", "cifar-100-binary.tar.gz", "its pickled version is not read")


def test_a_missing_file(root, refused):
    publishers.cifar100(root)
    (root / "test.bin").unlink()
    refused("cifar100", "no test.bin there", "unpack cifar-100-binary.tar.gz")


@pytest.mark.parametrize("size", [0, 3073, 3075, 2 * 3074 - 1])
def test_a_file_that_is_cut_short_leaves_nothing_behind(root, refused, size):
    publishers.cifar100(root)
    data = (root / "test.bin").read_bytes()
    (root / "test.bin").write_bytes((data + data)[:size])
    refused("cifar100", "test.bin: has", f"{size} bytes")


@pytest.mark.parametrize(("at", "kind"), [(3074, "super-class 9"), (3075, "class 9")])
def test_a_label_without_a_name(root, refused, at, kind):
    publishers.cifar100(root)
    data = bytearray((root / "train.bin").read_bytes())
    data[at] = 9
    (root / "train.bin").write_bytes(data)
    refused("cifar100", f"train.bin: photo 2: {kind} has no name")


def test_a_name_that_would_leave_the_folder(root, refused, replace):
    publishers.cifar100(root)
    replace("fine_label_names.txt", "apple", "../apple")
    refused("cifar100", "fine_label_names.txt: '../apple' cannot be the name of a folder")
