"""Photos that lie on S3 one by one are read so once; who looks at them afterwards reads a few packs in sequence."""

import json
import multiprocessing
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faulty_s3 import FaultyS3
from tracked import store

from vitrine import files
from vitrine.catalog import Catalog, packs, read_catalog, write_catalog
from vitrine.catalog.fetch import at_hand
from vitrine.catalog.node_cache import NodeCache
from vitrine.errors import InputError
from vitrine.quality.scan import parse_shard, shard_images
from vitrine.steps.data import keep_table

pytestmark = pytest.mark.slow

COUNT = 60
STATE = "0123456789abcdef"


def content(number):
    return bytes([number]) * (1000 + number)


@pytest.fixture
def catalog(bucket, monkeypatch):
    """A catalog on S3, one of whose photos is gone and one another's copy, and where a run keeps its table."""
    monkeypatch.setattr(packs, "PACK_BYTES", 20_000)
    images = [f"images/{number:03}/é {number}.jpg" for number in range(COUNT)]
    for number, image in enumerate(images):
        files.write_bytes(files.join(f"{bucket}/data", image), content(0 if number == 7 else number))
    write_catalog(Catalog(f"{bucket}/data", pd.DataFrame({"image": [*images, "images/gone.jpg"]})), f"{bucket}/data")
    return f"{bucket}/data"


def keep(catalog, bucket, states=3, state=STATE, remote=""):
    table = f"{bucket}/reports/tables/{state}"
    keep_table(catalog, "", remote, table, f"{bucket}/reports/run", states)
    return table


def look(table, shards=1, cache=None):
    """What the scanning pods do before they look, each on a node of its own."""
    from vitrine.catalog.fetch import pack

    found = read_catalog(table, check_rows=False)
    for number in range(1, shards + 1):
        part = parse_shard(f"{number}/{shards}")
        pack(found, shard_images(found, part), part, cache and cache / str(number))


def arrived(catalog):
    root = Path(catalog.root)
    return {image: (root / image).read_bytes() for image in catalog.table["image"] if (root / image).exists()}


def photos_asked_for(server):
    return sum(count for path, count in server.read.items() if "/data/images" in path)


def test_each_photo_is_read_once_and_then_only_packs_are(catalog, bucket, s3_server, tmp_path, monkeypatch):
    with FaultyS3(s3_server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        files.forget_clients()
        table = keep(catalog, bucket)
        look(table, shards=3, cache=tmp_path / "scans")
        assert COUNT - 1 <= photos_asked_for(server) <= COUNT  # one is the copy of another
        server.read.clear()
        found = at_hand(read_catalog(table), tmp_path / "node")
        assert photos_asked_for(server) == 0
        tars = [path for path in server.read if ".tar" in path]
        assert 6 <= len(tars) <= COUNT / 6  # of 20 kB and a little more
        assert {server.read[path] for path in tars} == {1}
        assert (
            sum(server.read.values()) <= len(tars) + 3 + 2 + 2
        )  # the indexes, the table and whether it is there, a listing in pages of ten
        server.read.clear()
        at_hand(read_catalog(table), tmp_path / "node")  # what is here is not asked for
        assert not [path for path in server.read if ".tar" in path]
    assert list(arrived(found).values()) == [content(0 if number == 7 else number) for number in range(COUNT)]
    assert found.address == catalog
    assert found.root == str(tmp_path / "node" / STATE)


def test_only_what_is_wanted_is_taken(catalog, bucket, tmp_path):
    table = keep(catalog, bucket)
    look(table, cache=tmp_path / "scans")
    found = read_catalog(table)
    some = found.table["image"].tolist()[5:8]
    assert list(arrived(at_hand(found, tmp_path / "node", some))) == some


def test_until_all_shards_are_packed_photos_are_read_where_they_are(catalog, bucket, tmp_path):
    table = keep(catalog, bucket)
    found = read_catalog(table, check_rows=False)
    assert at_hand(found, tmp_path).root == catalog
    from vitrine.catalog.fetch import pack

    pack(found, shard_images(found, (1, 2)), (1, 2), tmp_path / "scan")
    assert at_hand(found, tmp_path).root == catalog


@pytest.mark.parametrize("fault", ["gone", "garbled"])
def test_what_a_pack_does_not_give_is_fetched_from_where_it_was(catalog, bucket, tmp_path, fault):
    table = keep(catalog, bucket)
    look(table, cache=tmp_path / "scans")
    address = f"{table}/photos"
    first = next(name for name in sorted(files.list_objects(address)) if name.endswith(".tar"))
    if fault == "gone":
        files.delete(files.join(address, first))
    else:
        data = bytearray(files.read_bytes(files.join(address, first)))
        data[700:800] = b"x" * 100
        files.write_bytes(files.join(address, first), bytes(data))
    assert len(arrived(at_hand(read_catalog(table), tmp_path / "node"))) == COUNT


def test_an_index_that_is_none_is_one_line(catalog, bucket, tmp_path):
    table = keep(catalog, bucket)
    files.write_bytes(f"{table}/photos/1-of-1.parquet", b"PAR1")
    with pytest.raises(InputError, match=r"1-of-1.parquet: cannot be read as an index of packs"):
        at_hand(read_catalog(table), tmp_path)


@pytest.mark.parametrize(
    "row",
    [("../a.jpg", "0" * 32, "1-of-1-000.tar"), ("a.jpg", "../../x", "1-of-1-000.tar"), ("a.jpg", "0" * 32, "../a.tar")],
)
def test_an_index_leads_out_of_no_folder(tmp_path, row):
    pq.write_table(pa.table([[value] for value in row], schema=packs.SCHEMA), tmp_path / "1-of-1.parquet")
    with pytest.raises(InputError, match="cannot be read as an index of packs"):
        packs.read_index(str(tmp_path))


def take(table, cache, barrier, answers):
    files.forget_clients()
    barrier.wait(timeout=60)
    found = at_hand(read_catalog(table), Path(cache))
    answers.put((os.getpid(), len(arrived(found)), found.root))


@pytest.mark.parametrize("locks", [True, False])
def test_several_pods_fill_one_volume_at_once(catalog, bucket, tmp_path, monkeypatch, locks):
    """On a volume without locks all do the work, and each finds everything whole."""
    table = keep(catalog, bucket)
    look(table, cache=tmp_path / "scans")
    if not locks:
        monkeypatch.setattr("vitrine.catalog.node_cache._locked", lambda *_: False)
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(4), context.Queue()
    pods = [context.Process(target=take, args=(table, tmp_path / "volume", barrier, answers)) for _ in range(4)]
    for pod in pods:
        pod.start()
    found = [answers.get(timeout=120) for _ in pods]
    for pod in pods:
        pod.join()
    assert {(count, root) for _, count, root in found} == {(COUNT, str(tmp_path / "volume" / STATE))}
    objects = [path for path in (tmp_path / "volume/files").rglob("*") if path.is_file()]
    assert len(objects) == COUNT - 1  # one photo is another's copy
    assert not list((tmp_path / "volume").glob(".*.tmp"))


def test_dvcs_photos_are_packed_too(bucket, s3_server, tmp_path, monkeypatch):
    for number in range(COUNT):
        files.write_bytes(str(tmp_path / f"data/images/{number}.jpg"), content(number))
    table = pd.DataFrame({"image": [f"images/{number}.jpg" for number in range(COUNT)]})
    write_catalog(Catalog("/where/it/was", table), tmp_path / "data")
    version = store(tmp_path / "data", tmp_path / "remote")
    files.copy_folder(tmp_path / "remote", f"{bucket}/dvc")
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {version}\n  hash: md5\n  path: data\n")
    monkeypatch.setenv("VITRINE_PHOTOS", str(tmp_path / "start"))
    kept = keep(str(tmp_path / "data.dvc"), bucket, remote=f"{bucket}/dvc")
    look(kept, shards=2, cache=tmp_path / "scans")
    with FaultyS3(s3_server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        files.forget_clients()
        found = at_hand(read_catalog(kept), tmp_path / "node")
        objects = [path for path in server.read if "/dvc/" in path]
    assert len(arrived(found)) == COUNT
    assert len(objects) == 2  # the list of files, and the table beside the photos
    assert found.address == str(tmp_path / "data.dvc")


def test_only_the_newest_states_keep_their_packs(catalog, bucket, tmp_path):
    for state in ("1", "2", "3"):
        look(keep(catalog, bucket, 2, state), cache=tmp_path / state)
    tables = f"{bucket}/reports/tables"
    assert {state: bool(files.list_objects(f"{tables}/{state}/photos")) for state in ("1", "2", "3")} == {
        "1": False,
        "2": True,
        "3": True,
    }
    assert json.loads(files.read_bytes(f"{tables}/packed.json")) == ["3", "2"]
    keep(catalog, bucket, 2, "2")
    assert json.loads(files.read_bytes(f"{tables}/packed.json")) == ["2", "3"]
    assert at_hand(read_catalog(f"{tables}/1"), tmp_path / "node").root == catalog  # and is read one by one


@pytest.mark.parametrize("states", [0, 3])
def test_what_is_on_this_machine_or_not_to_be_packed_is_not(catalog, bucket, tmp_path, states):
    if states:
        files.fetch_folder(catalog, tmp_path / "data")
        write_catalog(Catalog(str(tmp_path / "data"), read_catalog(catalog).table), tmp_path / "data")
        catalog = str(tmp_path / "data")
    table = keep(catalog, bucket, states)
    look(table, cache=tmp_path / "scans")
    assert read_catalog(table).packs == ""
    assert [name for name in files.list_objects(table) if "photos" in name] == []


def test_packing_again_gives_the_same_bytes(tmp_path):
    entries = {}
    for number in range(5):
        files.write_bytes(str(tmp_path / f"photos/{number}.jpg"), content(number))
        entries[f"{number}.jpg"] = f"{number:032}"
    for name in ("one", "two"):
        assert packs.write_packs(tmp_path / "photos", entries, str(tmp_path / name), (1, 1)) == 1
        os.utime(tmp_path / "photos/0.jpg", (1, 1))
    assert packs.write_packs(tmp_path / "photos", entries, str(tmp_path / "two"), (1, 1)) == 0
    one, two = ((tmp_path / name / "1-of-1-000.tar").read_bytes() for name in ("one", "two"))
    assert one == two
    index = packs.read_index(str(tmp_path / "one"))
    assert index == {image: (md5, "1-of-1-000.tar") for image, md5 in entries.items()}
    with NodeCache(tmp_path / "cache").one_at_a_time("x") as work:
        assert packs.unpack(
            str(tmp_path / "one"), index, set(entries.values()), NodeCache(tmp_path / "cache"), work
        ) == (
            set()  # none has the MD5 that the index says
        )
