"""Many small photos that DVC pushed to S3, fetched where neither git nor DVC nor a cache is: whole, on bad days too.

Many: far more than the connections that fetch them, the pages that S3 lists and the faults of each kind.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from faulty_s3 import FAULTS, FaultyS3
from tracked import photo_catalog, push

from vitrine.catalog import read_catalog
from vitrine.catalog.dvc_file import object_name

pytestmark = pytest.mark.slow

PHOTOS = 300
WITHOUT_DVC = "import sys; sys.modules['dvc'] = None; from vitrine.cli import main; main()"


def md5s(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def pushed(s3_server, tmp_path_factory):
    """A project that pushed its photos: the remote, the version, the photos' hashes, and how to fetch them."""
    root = tmp_path_factory.mktemp("pushed")
    photo_catalog(root / "repo/data", PHOTOS)
    bucket = f"b{uuid.uuid4().hex[:12]}"
    access = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in access.items():
            patch.setenv(name, value)
        client = boto3.session.Session().client("s3")
        client.create_bucket(Bucket=bucket)
        version = push(root / "repo", f"s3://{bucket}/dvc")
    (root / "nothing").mkdir()

    def start(server: FaultyS3, out: Path, cache: Path) -> subprocess.Popen[str]:
        """Fetches in a new process that finds no program, no repository and no DVC."""
        command = [sys.executable, "-c", WITHOUT_DVC, "fetch", str(root / "repo/data.dvc"), str(out)]
        path = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path if folder)
        own = {"PATH": str(root / "nothing"), "PYTHONPATH": path, "VITRINE_CACHE": str(cache)}
        return subprocess.Popen(
            [*command, "--remote", f"s3://{bucket}/dvc"],
            cwd=root / "nothing",
            env={**access, **own, "AWS_ENDPOINT_URL": server.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return SimpleNamespace(
        client=client, bucket=bucket, version=version, start=start, whole=md5s(root / "repo/data"), server=s3_server
    )


def ended(process):
    out, err = process.communicate(timeout=300)
    return SimpleNamespace(code=process.returncode, out=out, err=err)


@pytest.fixture(scope="module")
def fetched(pushed, tmp_path_factory):
    """One fetch into an empty cache, with one request in five failing."""
    root = tmp_path_factory.mktemp("fetched")
    with FaultyS3(pushed.server, FAULTS, every=5) as server:
        done = ended(pushed.start(server, root / "out", root / "cache"))
    return SimpleNamespace(done=done, server=server, out=root / "out", cache=root / "cache")


def test_all_photos_arrive_though_one_request_in_five_fails(pushed, fetched):
    assert fetched.done.code == 0, fetched.done.err
    catalog = read_catalog(fetched.out)
    assert (len(catalog), catalog.data_version) == (PHOTOS, pushed.version)
    assert catalog.root == str(fetched.cache / "data" / pushed.version)
    assert len(pushed.whole) == PHOTOS + 1
    assert md5s(Path(catalog.root)) == pushed.whole
    faults, asked = fetched.server.faults, sum(fetched.server.read.values())
    assert asked // 5 == sum(faults[fault] for fault in FAULTS)
    assert min(faults[fault] for fault in FAULTS) > PHOTOS // 50
    assert len(fetched.server.read) == PHOTOS + 2  # the table and the list
    assert (
        f"fetched {PHOTOS + 1:,} of {PHOTOS + 1:,} objects, {sum_of_sizes(catalog.root):.1f} MB (" in fetched.done.err
    )


def sum_of_sizes(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6


def test_a_killed_fetch_goes_on_without_what_it_has(pushed, tmp_path):
    with FaultyS3(pushed.server) as server:
        process = pushed.start(server, tmp_path / "out", tmp_path / "cache")
        while sum(server.read.values()) < PHOTOS // 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "cache/data" / pushed.version).exists()
    objects = [path for path in (tmp_path / "cache/data/files").rglob("*") if path.is_file()]
    assert PHOTOS // 4 < len(objects) < PHOTOS
    assert list((tmp_path / "cache/data").glob(".*.tmp"))  # it was in the middle of something
    with FaultyS3(pushed.server) as server:
        done = ended(pushed.start(server, tmp_path / "out", tmp_path / "cache"))
    assert done.code == 0, done.err
    assert sum(server.read.values()) == PHOTOS + 2 - len(objects)
    finished = {f"/{path.relative_to(tmp_path / 'cache/data').as_posix()}" for path in objects}
    assert not {name for name in server.read if name.partition("/dvc")[2].partition("?")[0] in finished}
    assert md5s(tmp_path / "cache/data" / pushed.version) == pushed.whole
    assert not list((tmp_path / "cache/data").glob(".*.tmp"))


def test_two_fetches_at_once_share_the_work(pushed, tmp_path):
    with FaultyS3(pushed.server) as server:
        both = [pushed.start(server, tmp_path / name, tmp_path / "cache") for name in ("one", "two")]
        done = [ended(process) for process in both]
    assert [one.code for one in done] == [0, 0], done
    assert sum("another process is fetching it; waiting" in one.err for one in done) == 1
    assert set(server.read.values()) == {1}
    assert len(server.read) == PHOTOS + 2
    for name in ("one", "two"):
        assert md5s(Path(read_catalog(tmp_path / name).root)) == pushed.whole


def test_a_corrupted_object_is_named_and_nothing_is_laid_out(pushed, fetched, tmp_path):
    """With most objects in the cache already, as on a node that knows the revision before."""
    cache = tmp_path / "cache/data"
    shutil.copytree(fetched.cache / "data/files", cache / "files")
    names = sorted(pushed.whole)[100:120]
    for name in names:
        (cache / object_name(pushed.whole[name])).unlink()
    key = f"dvc/{object_name(pushed.whole[names[3]])}"
    sound = pushed.client.get_object(Bucket=pushed.bucket, Key=key)["Body"].read()
    pushed.client.put_object(Bucket=pushed.bucket, Key=key, Body=sound[:-1] + b"!")
    try:
        with FaultyS3(pushed.server) as server:
            done = ended(pushed.start(server, tmp_path / "out", tmp_path / "cache"))
    finally:
        pushed.client.put_object(Bucket=pushed.bucket, Key=key, Body=sound)
    assert done.code == 2
    said = done.err.splitlines()[-1]
    assert f"1 of 20 objects are damaged; the first is {names[3]} (s3://{pushed.bucket}/{key}: should have" in said
    assert not (tmp_path / "out").exists()
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == ["files"]
    with FaultyS3(pushed.server) as server:
        assert ended(pushed.start(server, tmp_path / "out", tmp_path / "cache")).code == 0
    assert sum(server.read.values()) == 1
    assert md5s(cache / pushed.version) == pushed.whole
