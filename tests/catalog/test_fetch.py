"""What DVC pushes is what is fetched: whole, verified, without DVC and without git."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from faulty_s3 import FaultyS3
from tracked import dvc, push, tracked_hash

from vitrine import files
from vitrine.catalog import Catalog, read_catalog, write_catalog
from vitrine.catalog.dvc_file import DVC_2, DVC_3, object_name, version_of
from vitrine.catalog.fetch import at_hand, fetch
from vitrine.errors import InputError

PHOTOS = {"images/a.jpg": b"a", "images/deep/b b.jpg": b"b", "images/é.jpg": b"a", "empty.jpg": b""}


def write_data(folder, images):
    for name, content in PHOTOS.items():
        if not (folder / name).exists():  # DVC keeps what it tracks read-only
            files.write_bytes(str(folder / name), content)
    write_catalog(Catalog("/where/it/was/made", pd.DataFrame({"image": images})), folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A DVC project in repo/ that pushed two revisions of data/ to remote/; their .dvc files: first.dvc and data.dvc."""
    root = tmp_path_factory.mktemp("project")
    images = sorted(PHOTOS)
    for name in ("first.dvc", "data.dvc"):
        write_data(root / "repo/data", images)
        push(root / "repo", str(root / "remote"))
        shutil.copy(root / "repo/data.dvc", root / name)
        if name == "first.dvc":
            images.append("images/new.jpg")
            (root / "repo/data/images/new.jpg").write_bytes(b"new")
    return root


@pytest.fixture
def remote(tmp_path):
    """A remote of our own making, to damage: (folder, function that adds an object and returns its hash)."""
    folder = tmp_path / "remote"

    def add(data, ending="", layout=DVC_3):
        md5 = hashlib.md5(data).hexdigest() + ending
        files.write_bytes(files.join(str(folder), object_name(md5, layout)), data)
        return md5

    return folder, add


def track(tmp_path, entries, add, **layout):
    """A .dvc file of a folder with these (relpath, md5) entries."""
    version = add(json.dumps([{"md5": md5, "relpath": name} for name, md5 in entries]).encode(), ".dir", **layout)
    path = tmp_path / "data.dvc"
    path.write_text(yaml.safe_dump({"outs": [{"md5": version, "hash": "md5", "path": "data"}]}))
    return str(path), version


def table_of(*images):
    """The bytes of a small table, to track beside photos."""
    return "\n".join(["image", *images, ""]).encode()


def bytes_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def left_over(cache):
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def check_first_revision(catalog, out, cache, version):
    assert catalog.data_version == version
    assert catalog.root == str(cache / version)
    for name, content in PHOTOS.items():
        assert (cache / version / name).read_bytes() == content
    assert not (cache / version / "images/new.jpg").exists()
    again = read_catalog(out)
    assert (again.root, again.data_version) == (catalog.root, version)
    assert [path.name for path in out.iterdir()] == ["catalog.parquet"]
    assert again.table["image"].tolist() == sorted(PHOTOS)


def test_what_dvc_pushed_to_a_folder(project, tmp_path):
    catalog = fetch(
        str(project / "first.dvc"), tmp_path / "out", remote=str(project / "remote"), cache=tmp_path / "cache"
    )
    check_first_revision(catalog, tmp_path / "out", tmp_path / "cache", tracked_hash(project / "first.dvc"))


@pytest.mark.slow
def test_what_dvc_pushed_to_s3(project, bucket, s3_environment, tmp_path):
    commands = ("remote", "add", "-f", "s3", f"{bucket}/dvc"), ("push", "-r", "s3")
    dvc(project / "repo", *commands, env=s3_environment)
    files.write_bytes(f"{bucket}/data.dvc", (project / "data.dvc").read_bytes())
    catalog = fetch(f"{bucket}/data.dvc", tmp_path / "out", remote=f"{bucket}/dvc/", cache=tmp_path / "cache")
    assert (tmp_path / "cache" / tracked_hash(project / "data.dvc") / "images/new.jpg").read_bytes() == b"new"
    assert len(catalog) == len(PHOTOS) + 1


def test_another_revision_by_its_hash(project, tmp_path):
    version = tracked_hash(project / "first.dvc")
    for number, revision in enumerate([version, version.removesuffix(".dir")]):
        out = tmp_path / f"out{number}"
        catalog = fetch(str(project / "data.dvc"), out, revision, str(project / "remote"), tmp_path / "cache")
        check_first_revision(catalog, out, tmp_path / "cache", version)


def test_revisions_share_their_objects(project, tmp_path):
    for number, name in enumerate(["first", "data"]):
        fetch(
            str(project / f"{name}.dvc"),
            tmp_path / f"out{number}",
            remote=str(project / "remote"),
            cache=tmp_path / "cache",
        )
    one, two = (
        tmp_path / "cache" / tracked_hash(project / f"{name}.dvc") / "images/deep/b b.jpg" for name in ("first", "data")
    )
    assert one.samefile(two)
    assert not os.access(one, os.W_OK) or os.geteuid() == 0


def test_the_cache_is_named_by_the_environment(project, tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "elsewhere"))
    catalog = fetch(str(project / "first.dvc"), tmp_path / "out", remote=str(project / "remote"))
    assert catalog.root.startswith(str(tmp_path / "elsewhere"))


def test_a_complete_revision_needs_no_remote_again(project, tmp_path):
    fetch(str(project / "first.dvc"), tmp_path / "one", remote=str(project / "remote"), cache=tmp_path / "cache")
    fetch(str(project / "first.dvc"), tmp_path / "two", remote=str(tmp_path / "gone"), cache=tmp_path / "cache")
    assert (tmp_path / "two/catalog.parquet").is_file()


def refuse(message, source, tmp_path, **arguments):
    with pytest.raises(InputError, match=message) as caught:
        fetch(str(source), tmp_path / "out", cache=tmp_path / "cache", **arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_damaged_objects_are_counted_and_the_first_is_named(tmp_path, remote):
    folder, add = remote
    good = {f"images/{name}.jpg": add(name.encode()) for name in "cab"}
    source, _ = track(tmp_path, [("catalog.csv", add(table_of(*good))), *good.items()], add)
    damaged = [good["images/c.jpg"], good["images/b.jpg"]]
    for md5 in damaged:
        (folder / object_name(md5)).write_bytes(b"bad")
    is_bad = f"should have the MD5 {damaged[1]}, has {hashlib.md5(b'bad').hexdigest()}"
    first = rf"2 of 4 objects are damaged; the first is images/b.jpg \({folder / object_name(damaged[1])}: {is_bad}\)"
    refuse(first, source, tmp_path, remote=str(folder))
    assert left_over(tmp_path / "cache") == ["files"]  # no folder, and nothing begun
    assert len(bytes_of(tmp_path / "cache/files")) == 3  # the list, the table and the sound photo are there
    for md5, content in zip(damaged, (b"c", b"b"), strict=True):
        (folder / object_name(md5)).write_bytes(content)
    assert len(fetch(source, tmp_path / "out", remote=str(folder), cache=tmp_path / "cache")) == 3


def test_missing_objects_are_counted_and_the_first_is_named(tmp_path, remote):
    folder, add = remote
    photos = [(f"images/{i}.jpg", f"{i}" * 32) for i in range(5)]
    source, _ = track(tmp_path, [("catalog.csv", add(table_of("images/0.jpg"))), *photos], add)
    where = folder / "files/md5/00" / ("0" * 30)
    first = rf"5 of 6 objects are not there \(was the revision pushed\?\); the first is images/0.jpg \({where}\)"
    refuse(first, source, tmp_path, remote=str(folder))
    assert left_over(tmp_path / "cache") == ["files"]


def test_missing_and_damaged_at_once(tmp_path, remote):
    folder, add = remote
    source, _ = track(tmp_path, [("a.jpg", "0" * 32), ("b.jpg", md5 := add(b"b"))], add)
    (folder / object_name(md5)).write_bytes(b"B")
    refuse(r"1 of 2 objects are not there .*; 1 of 2 objects are damaged", source, tmp_path, remote=str(folder))


def test_a_damaged_list_is_named(tmp_path, remote):
    folder, add = remote
    source, version = track(tmp_path, [], add)
    (folder / object_name(version)).write_bytes(b"[ ]")
    refuse(f"the list of files is damaged: .*{version[2:]}: should have", source, tmp_path, remote=str(folder))


def test_a_revision_that_was_not_pushed(tmp_path, remote):
    folder, add = remote
    source, _ = track(tmp_path, [], add)
    message = f"{folder / object_name('0' * 32)}.dir: no list of files of this revision on the remote"
    refuse(message, source, tmp_path, remote=str(folder), revision="0" * 32)


def test_bytes_that_were_garbled_on_their_way_are_read_again(tmp_path, s3_server, bucket, remote, monkeypatch):
    folder, add = remote
    source, _ = track(tmp_path, [("catalog.csv", add(table_of("a.jpg", "b.jpg"))), ("a.jpg", add(b"photo"))], add)
    files.copy_folder(folder, f"{bucket}/dvc")
    with FaultyS3(s3_server, ["garbled"], every=3) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        files.forget_clients()
        catalog = fetch(source, tmp_path / "out", remote=f"{bucket}/dvc", cache=tmp_path / "cache")
    assert server.faults == {"": 3, "garbled": 1}
    assert bytes_of(Path(catalog.root))["a.jpg"] == b"photo"


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "s3://bucket/evil"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, remote, name):
    folder, add = remote
    source, _ = track(tmp_path, [(name, add(b"evil"))], add)
    refuse("would be written outside its folder", source, tmp_path, remote=str(folder))


def test_a_remote_of_dvc_2(tmp_path, remote):
    """As DVC 2.58 pushes it: another layout, no `hash`, and text hashed with its line ends alike."""
    folder, add = remote
    table = b"image\r\na.jpg\r\n"
    md5 = add(table.replace(b"\r\n", b"\n"), layout=DVC_2)
    (folder / object_name(md5, DVC_2)).write_bytes(table)
    entries = [("catalog.csv", md5), ("a.jpg", add(b"photo", layout=DVC_2))]
    _, version = track(tmp_path, entries, add, layout=DVC_2)
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {version}\n  size: 9\n  nfiles: 2\n  path: data\n")
    for out in ("out", "again"):
        catalog = fetch(str(tmp_path / "data.dvc"), tmp_path / out, remote=str(folder), cache=tmp_path / "cache")
        assert bytes_of(Path(catalog.root)) == {"catalog.csv": table, "a.jpg": b"photo"}
        shutil.rmtree(folder, ignore_errors=True)
    overwrite(Path(catalog.root) / "a.jpg", b"other")
    with pytest.raises(InputError, match="1 of 1 objects are not there"):
        at_hand(catalog, tmp_path / "cache")


def overwrite(path, data):
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.fixture
def read(monkeypatch):
    """The objects that were read from a remote, in order."""
    read, read_parts = [], files.read_parts

    def counting(uri):
        if "/files/md5/" in uri:
            read.append(uri)
        return read_parts(uri)

    monkeypatch.setattr(files, "read_parts", counting)
    return read


def test_what_is_damaged_in_the_cache_is_fetched_again(project, tmp_path, read):
    arguments = {"remote": str(project / "remote"), "cache": tmp_path / "cache"}
    tree = Path(fetch(str(project / "data.dvc"), tmp_path / "one", **arguments).root)
    whole = bytes_of(tree)
    overwrite(tree / "images/new.jpg", b"NEW")
    os.truncate(tree / "images/deep/b b.jpg", 0)
    read.clear()
    fetch(str(project / "data.dvc"), tmp_path / "two", **arguments)
    assert bytes_of(tree) == whole
    assert len(read) == 2


def test_what_is_missing_in_a_folder_is_linked_again_without_the_remote(project, tmp_path):
    arguments = {"remote": str(project / "remote"), "cache": tmp_path / "cache"}
    tree = Path(fetch(str(project / "data.dvc"), tmp_path / "one", **arguments).root)
    whole = bytes_of(tree)
    shutil.rmtree(tree / "images")
    (tree / "catalog.parquet").unlink()
    fetch(str(project / "data.dvc"), tmp_path / "two", **arguments | {"remote": str(tmp_path / "gone")})
    assert bytes_of(tree) == whole


def test_a_list_that_is_damaged_in_the_cache_is_fetched_again(project, tmp_path, read):
    arguments = {"remote": str(project / "remote"), "cache": tmp_path / "cache"}
    version = fetch(str(project / "data.dvc"), tmp_path / "one", **arguments).data_version
    overwrite(tmp_path / "cache" / object_name(version), b"[]")
    read.clear()
    fetch(str(project / "data.dvc"), tmp_path / "two", **arguments)
    assert len(read) == 1


def test_a_fetch_that_was_broken_off_goes_on(project, tmp_path, monkeypatch, read):
    counting = files.read_parts

    def broken_off(uri):
        if len(read) == 3:
            raise KeyboardInterrupt
        return counting(uri)

    monkeypatch.setattr("vitrine.catalog.fetch.THREADS", 1)
    monkeypatch.setattr(files, "read_parts", broken_off)
    arguments = {"remote": str(project / "remote"), "cache": tmp_path / "cache"}
    with pytest.raises(KeyboardInterrupt):
        fetch(str(project / "data.dvc"), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()
    assert left_over(tmp_path / "cache") == ["files"]
    monkeypatch.setattr(files, "read_parts", counting)
    before, read[:] = set(read), []
    fetch(str(project / "data.dvc"), tmp_path / "out", **arguments)
    assert len(before) == 3
    assert read
    assert not before & set(read)


def test_another_node_fetches_the_photos_of_a_table(project, tmp_path, read):
    arguments = {"remote": str(project / "remote"), "cache": tmp_path / "here"}
    fetch(str(project / "first.dvc"), tmp_path / "out", **arguments)
    catalog = read_catalog(tmp_path / "out")
    write_catalog(catalog.with_table(catalog.table[:1]), tmp_path / "cleaned")
    there = at_hand(read_catalog(tmp_path / "cleaned"), tmp_path / "there")
    assert there.root == str(tmp_path / "there" / catalog.data_version)
    assert (there.data_version, len(there)) == (catalog.data_version, 1)
    assert Path(there.uri(there.table["image"][0])).read_bytes() == b""  # empty.jpg is the first
    read.clear()
    assert at_hand(there, tmp_path / "there").root == there.root
    assert not read


def test_a_step_fetches_the_photos_it_looks_at(project, tmp_path, read):
    version, cache = tracked_hash(project / "first.dvc"), tmp_path / "cache"
    catalog = fetch(
        str(project / "first.dvc"), tmp_path / "out", remote=str(project / "remote"), cache=cache, photos=False
    )
    assert (catalog.root, catalog.remote) == (str(cache / version), str(project / "remote"))
    (name,) = bytes_of(cache / version)
    assert (name, len(read)) == ("catalog.parquet", 2)  # the list and the table
    first, *others = sorted(PHOTOS)
    table = read_catalog(tmp_path / "out")
    assert at_hand(table, cache, [f"./{first}", "images/unknown.jpg", "../x.jpg"]).root == catalog.root
    assert bytes_of(cache / version).keys() == {name, first}
    at_hand(table, cache)
    assert {name: bytes_of(cache / version)[name] for name in PHOTOS} == PHOTOS
    read.clear()
    at_hand(table, cache, others)
    assert not read


def test_a_catalog_that_came_from_no_remote_is_at_hand_as_it_is(tmp_path):
    catalog = Catalog(str(tmp_path), pd.DataFrame({"image": ["a.jpg"]}), "v")
    assert at_hand(catalog, tmp_path / "cache") is catalog
    assert not (tmp_path / "cache").exists()


def test_a_tracked_table_may_name_the_photos_of_an_older_revision(project, tmp_path, remote):
    """Labels that were corrected need not be tracked with the photos: `dvc add` of a derived table is enough."""
    folder, add = remote
    arguments = {"remote": str(project / "remote"), "cache": tmp_path / "cache"}
    first = fetch(str(project / "first.dvc"), tmp_path / "out", **arguments)
    write_catalog(read_catalog(tmp_path / "out").with_table(first.table[:2]), tmp_path / "data")
    source, version = track(tmp_path, [("catalog.parquet", add((tmp_path / "data/catalog.parquet").read_bytes()))], add)
    labels = fetch(source, tmp_path / "two", remote=str(folder), cache=tmp_path / "cache")
    assert (labels.data_version, labels.root, labels.remote) == (version, first.root, first.remote)
    assert at_hand(labels, tmp_path / "there").root == str(tmp_path / "there" / first.data_version)


def test_progress_is_lines_in_a_log(project, tmp_path, caplog):
    caplog.set_level("INFO")
    fetch(str(project / "data.dvc"), tmp_path / "out", remote=str(project / "remote"), cache=tmp_path / "cache")
    version = tracked_hash(project / "data.dvc")
    assert caplog.messages[0] == f"{version}: 5 of 5 objects are not in {tmp_path / 'cache'}"  # two photos are one
    assert caplog.messages[-1].startswith("fetched 5 of 5 objects, 0.0 MB (")


# As a command: one line and exit code 2.


def run(*arguments, terminal=False, limit=None):
    """`vitrine fetch` in a process; its files may be no larger than `limit` bytes."""
    command = [sys.executable, "-m", "vitrine.cli", "fetch", *map(str, arguments)]

    def restrict():
        if limit:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=restrict)


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_one_line(tmp_path, remote, monkeypatch):
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    folder, add = remote
    source, _ = track(tmp_path, [("catalog.csv", add(table_of("a.jpg"))), ("a.jpg", add(bytes(300_000)))], add)
    done = run(source, tmp_path / "out", "--remote", folder, limit=100_000)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == f"{tmp_path / 'cache/data'}: cannot be written (File too large)"
    assert not (tmp_path / "out").exists()
    assert left_over(tmp_path / "cache/data") == ["files"]
    assert all(len(data) < 100_000 for data in bytes_of(tmp_path / "cache/data/files").values())
    assert run(source, tmp_path / "out", "--remote", folder).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("403", "S3 refuses (AccessDenied): not for these credentials, or not there and they cannot list it"),
        ("garbled", "the list of files is damaged"),
    ],
)
def test_what_s3_refuses_is_one_line(tmp_path, s3_server, bucket, remote, monkeypatch, fault, message):
    folder, add = remote
    source, _ = track(tmp_path, [("catalog.csv", add(table_of("a.jpg"))), ("a.jpg", add(b"photo"))], add)
    files.copy_folder(folder, f"{bucket}/dvc")
    with FaultyS3(s3_server, [fault], every=1) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
        done = run(source, tmp_path / "out", "--remote", f"{bucket}/dvc")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert f"{bucket}/dvc" in done.stderr
    assert left_over(tmp_path / "cache/data") == []


def test_unusable_arguments(project, tmp_path):
    refuse("name the DVC remote", project / "data.dvc", tmp_path)
    refuse("cannot be read", tmp_path / "none.dvc", tmp_path, remote=str(tmp_path))
    refuse(
        "revision 'v1.0': not the hash of a folder",
        project / "data.dvc",
        tmp_path,
        remote=str(tmp_path),
        revision="v1.0",
    )
    refuse("no such folder", tmp_path / "none", tmp_path)
    address = "https://raw.example.org/team/data.dvc"
    refuse(f"{address}: a .dvc file is read from a local path or s3://", address, tmp_path, remote=str(tmp_path))


def test_a_missing_bucket(project, s3_environment, tmp_path):
    refuse("no such bucket", project / "data.dvc", tmp_path, remote="s3://not-there/dvc")


def test_a_catalog_folder_is_not_copied(tmp_path):
    write_catalog(Catalog("", pd.DataFrame({"image": ["a.jpg"], "split": ["wrong"]})), tmp_path / "data")
    catalog = fetch(str(tmp_path / "data"), tmp_path / "out")
    assert catalog.root == str(tmp_path / "data")
    assert catalog.data_version.startswith("data-")
    assert read_catalog(tmp_path / "out", check_rows=False).data_version == catalog.data_version
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["catalog.parquet"]


def test_a_catalog_on_s3(bucket, tmp_path):
    files.write_bytes(f"{bucket}/data/catalog.csv", b"image\na.jpg\n")
    catalog = fetch(f"{bucket}/data/", tmp_path / "out")
    assert read_catalog(tmp_path / "out").uri("a.jpg") == f"{bucket}/data/a.jpg"
    assert fetch(f"{bucket}/data", tmp_path / "again", catalog.data_version).data_version == catalog.data_version


def test_a_tracked_folder_on_s3_has_its_revision_while_its_hashes_agree(project, bucket, tmp_path, caplog):
    files.copy_folder(project / "repo/data", f"{bucket}/data")
    files.write_bytes(f"{bucket}/data.dvc", (project / "data.dvc").read_bytes())
    version = tracked_hash(project / "data.dvc")
    assert fetch(f"{bucket}/data", tmp_path / "before").data_version == version
    photo = f"{bucket}/data/images/new.jpg"
    files.write_bytes(photo, b"wen")  # as long as before
    assert fetch(f"{bucket}/data", tmp_path / "after").data_version.startswith("data-")
    assert "data: has changed since `dvc add` (its files have other hashes)" in caplog.text


def test_a_folder_beside_its_dvc_file_has_that_version(project, tmp_path):
    version = tracked_hash(project / "data.dvc")
    for number, revision in enumerate(["", version, version.removesuffix(".dir")]):
        assert fetch(str(project / "repo/data"), tmp_path / f"out{number}", revision).data_version == version
    refuse(f"is at {version}, not at {'0' * 32}", project / "repo/data", tmp_path, revision="0" * 32)


def test_a_folder_that_changed_since_it_was_added_has_no_revision(project, tmp_path, caplog):
    shutil.copytree(project / "repo/data", tmp_path / "data")
    version = tracked_hash(Path(shutil.copy(project / "data.dvc", tmp_path)))
    assert fetch(str(tmp_path / "data"), tmp_path / "before").data_version == version
    (tmp_path / "data/images/one more.jpg").write_bytes(b"new")
    assert fetch(str(tmp_path / "data"), tmp_path / "after").data_version.startswith("data-")
    assert "data: has changed since `dvc add` (7 files of" in caplog.text
    refuse(f"is at data-.*, not at {version}", tmp_path / "data", tmp_path, revision=version)


@pytest.mark.parametrize(
    ("name", "edited"),
    [("catalog.csv", b"image,attr:kind\na.jpg,boot\nb.jpg,shoe\n"), ("a.jpg", b"B")],
    ids=["two labels swapped", "a photo replaced"],
)
def test_an_edit_that_keeps_size_and_time_is_another_state(tmp_path, caplog, name, edited):
    kept = {"catalog.csv": b"image,attr:kind\na.jpg,shoe\nb.jpg,boot\n", "a.jpg": b"A", "b.jpg": b"B"}
    for file, content in kept.items():
        files.write_bytes(str(tmp_path / "data" / file), content)
    version = version_of({file: hashlib.md5(content).hexdigest() for file, content in kept.items()})
    size = sum(map(len, kept.values()))
    (tmp_path / "data.dvc").write_text(f"outs: [{{md5: {version}, size: {size}, nfiles: 3, hash: md5, path: data}}]")
    assert fetch(str(tmp_path / "data"), tmp_path / "before").data_version == version
    changed = tmp_path / "data" / name
    status = changed.stat()
    changed.write_bytes(edited)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert changed.stat().st_size == status.st_size
    assert fetch(str(tmp_path / "data"), tmp_path / "after").data_version.startswith("data-")
    assert "data: has changed since `dvc add` (its files have other hashes)" in caplog.text
    refuse(f"is at data-.*, not at {version}", tmp_path / "data", tmp_path, revision=version)


def test_a_folder_that_stands_is_refused_before_anything_is_fetched(project, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/kept").write_text("")
    with pytest.raises(InputError, match="out: exists already"):
        fetch(str(project / "data.dvc"), tmp_path / "out", remote=str(project / "remote"), cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
