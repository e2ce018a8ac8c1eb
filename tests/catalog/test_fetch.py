"""What DVC pushes is what is fetched: whole, verified, without DVC and without git."""

import hashlib
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from vitrine import files
from vitrine.catalog import Catalog, read_catalog, write_catalog
from vitrine.catalog.fetch import fetch
from vitrine.errors import InputError

PHOTOS = {"images/a.jpg": b"a", "images/deep/b b.jpg": b"b", "images/é.jpg": b"a", "empty.jpg": b""}


def dvc(folder, *arguments, env=None):
    environment = {**(env or os.environ), "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / "site")}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "-q", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def write_data(folder, images):
    for name, content in PHOTOS.items():
        if not (folder / name).exists():  # DVC keeps what it tracks read-only
            files.write_bytes(str(folder / name), content)
    write_catalog(Catalog("/where/it/was/made", pd.DataFrame({"image": images})), folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A DVC project in repo/ that pushed two revisions of data/ to remote/; their .dvc files: first.dvc and data.dvc."""
    root = tmp_path_factory.mktemp("project")
    repo = root / "repo"
    repo.mkdir()
    dvc(repo, "init", "--no-scm")
    dvc(repo, "remote", "add", "-d", "local", str(root / "remote"))
    images = sorted(PHOTOS)
    for name in ("first.dvc", "data.dvc"):
        write_data(repo / "data", images)
        dvc(repo, "add", "data")
        dvc(repo, "push")
        (root / name).write_text((repo / "data.dvc").read_text())
        if name == "first.dvc":
            images.append("images/new.jpg")
            (repo / "data/images/new.jpg").write_bytes(b"new")
    return root


def tracked_hash(path):
    return yaml.safe_load(path.read_text())["outs"][0]["md5"]


@pytest.fixture
def remote(tmp_path):
    """A remote of our own making, to damage: (folder, function that adds an object and returns its hash)."""
    folder = tmp_path / "remote"

    def add(data, ending=""):
        md5 = hashlib.md5(data).hexdigest() + ending
        files.write_bytes(files.join(str(folder), f"files/md5/{md5[:2]}/{md5[2:]}"), data)
        return md5

    return folder, add


def track(tmp_path, entries, add):
    """A .dvc file of a folder with these (relpath, md5) entries."""
    version = add(json.dumps([{"md5": md5, "relpath": name} for name, md5 in entries]).encode(), ".dir")
    path = tmp_path / "data.dvc"
    path.write_text(yaml.safe_dump({"outs": [{"md5": version, "hash": "md5", "path": "data"}]}))
    return str(path), version


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


def test_what_dvc_pushed_to_s3(project, bucket, s3_environment, tmp_path):
    dvc(project / "repo", "remote", "add", "-f", "s3", f"{bucket}/dvc")
    dvc(project / "repo", "push", "-r", "s3", env=s3_environment)
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


def test_a_killed_fetch_goes_on(project, tmp_path, monkeypatch):
    fetched = []
    read_bytes = files.read_bytes

    def counting(uri):
        if "/remote/" in uri:
            if len(fetched) == 4:
                raise KeyboardInterrupt
            fetched.append(uri)
        return read_bytes(uri)

    monkeypatch.setattr("vitrine.catalog.fetch.THREADS", 1)
    monkeypatch.setattr(files, "read_bytes", counting)
    arguments = {"remote": str(project / "remote"), "cache": tmp_path / "cache"}
    with pytest.raises(KeyboardInterrupt):
        fetch(str(project / "data.dvc"), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["files"]
    before, fetched[:] = set(fetched), []
    fetch(str(project / "data.dvc"), tmp_path / "out", **arguments)
    assert fetched
    assert not before & set(fetched)


def test_volumes_without_hard_links(project, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    catalog = fetch(
        str(project / "first.dvc"), tmp_path / "out", remote=str(project / "remote"), cache=tmp_path / "cache"
    )
    check_first_revision(catalog, tmp_path / "out", tmp_path / "cache", tracked_hash(project / "first.dvc"))


def test_two_fetches_at_once(project, tmp_path, monkeypatch):
    from vitrine.catalog import fetch as module

    lay_out = module._lay_out

    def late(entries, cache, folder):
        monkeypatch.setattr(module, "_lay_out", lay_out)
        fetch(str(project / "first.dvc"), tmp_path / "other", remote=str(project / "remote"), cache=cache)
        lay_out(entries, cache, folder)

    monkeypatch.setattr(module, "_lay_out", late)
    catalog = fetch(
        str(project / "first.dvc"), tmp_path / "out", remote=str(project / "remote"), cache=tmp_path / "cache"
    )
    check_first_revision(catalog, tmp_path / "out", tmp_path / "cache", tracked_hash(project / "first.dvc"))


def refuse(message, source, tmp_path, **arguments):
    with pytest.raises(InputError, match=message) as caught:
        fetch(str(source), tmp_path / "out", cache=tmp_path / "cache", **arguments)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_damaged_object_is_named(tmp_path, remote):
    folder, add = remote
    md5 = add(b"good")
    source, version = track(tmp_path, [("images/a.jpg", md5)], add)
    (folder / f"files/md5/{md5[:2]}/{md5[2:]}").write_bytes(b"bad")
    refuse(f"damaged: images/a.jpg should have the MD5 {md5}", source, tmp_path, remote=str(folder))
    assert not (tmp_path / "cache" / version).exists()


def test_a_damaged_list_is_named(tmp_path, remote):
    folder, add = remote
    source, version = track(tmp_path, [], add)
    (folder / f"files/md5/{version[:2]}/{version[2:]}").write_bytes(b"[ ]")
    refuse("damaged: the list of files", source, tmp_path, remote=str(folder))


def test_an_object_that_was_not_pushed_is_named(tmp_path, remote):
    folder, add = remote
    source, _ = track(tmp_path, [("images/a.jpg", "0" * 32)], add)
    refuse(r"not on the remote; it is images/a\.jpg", source, tmp_path, remote=str(folder))


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "s3://bucket/evil", ""])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, remote, name):
    folder, add = remote
    source, _ = track(tmp_path, [(name, add(b"evil"))], add)
    refuse("would be written outside its folder", source, tmp_path, remote=str(folder))


def test_a_hash_that_is_a_path_is_refused(tmp_path, remote):
    folder, add = remote
    source, _ = track(tmp_path, [("a.jpg", "../../../../etc/passwd")], add)
    refuse("has no MD5 but", source, tmp_path, remote=str(folder))


def test_a_name_that_is_also_a_folder(tmp_path, remote):
    folder, add = remote
    source, _ = track(tmp_path, [("a", add(b"1")), ("a/b", add(b"2"))], add)
    refuse("cannot be written", source, tmp_path, remote=str(folder))


@pytest.mark.parametrize("content", [b"{}", b"[1]", b"null", b'[{"relpath": "a"}]', b"\xff"])
def test_what_is_no_list_is_refused(tmp_path, remote, content):
    folder, add = remote
    source, _ = track(tmp_path, [], add)
    version = add(content, ".dir")
    arguments = {"remote": str(folder), "revision": version}
    refuse("is not a DVC list of files|no such folder|holds neither", source, tmp_path, **arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("outs: [{md5: d41d8cd98f00b204e9800998ecf8427e, hash: md5, path: a.jpg}]", "tracks the single file 'a.jpg'"),
        ("outs: [{md5: d41d8cd98f00b204e9800998ecf8427e.dir, path: data}]", "no MD5 of DVC 3"),
        ("outs: [{etag: x, hash: md5, path: data}]", "no MD5 of DVC 3"),
        ("outs: [{md5: ../../x.dir, hash: md5, path: data}]", "not the hash of a folder"),
        ("outs: []", "does not track one folder"),
        ("stages: {}", "does not track one folder"),
        ("- 1", "does not track one folder"),
        ("a: [", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_unusable_dvc_files(tmp_path, content, message):
    (tmp_path / "data.dvc").write_text(content)
    refuse(message, tmp_path / "data.dvc", tmp_path, remote=str(tmp_path))


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


def test_a_missing_bucket(project, s3_environment, tmp_path):
    refuse("no such bucket", project / "data.dvc", tmp_path, remote="s3://not-there/dvc")


def test_a_catalog_folder_is_not_copied(tmp_path):
    write_catalog(Catalog("", pd.DataFrame({"image": ["a.jpg"], "split": ["wrong"]})), tmp_path / "data")
    catalog = fetch(str(tmp_path / "data"), tmp_path / "out")
    assert catalog.root == str(tmp_path / "data")
    assert catalog.data_version.startswith("table-")
    assert read_catalog(tmp_path / "out", check_rows=False).data_version == catalog.data_version
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["catalog.parquet"]


def test_a_catalog_on_s3(bucket, tmp_path):
    files.write_bytes(f"{bucket}/data/catalog.csv", b"image\na.jpg\n")
    catalog = fetch(f"{bucket}/data/", tmp_path / "out")
    assert read_catalog(tmp_path / "out").uri("a.jpg") == f"{bucket}/data/a.jpg"
    assert fetch(f"{bucket}/data", tmp_path / "again", catalog.data_version).data_version == catalog.data_version
    version = f"{'0' * 32}.dir"
    files.write_bytes(f"{bucket}/data.dvc", f"outs: [{{md5: {version}, hash: md5, path: data}}]".encode())
    assert fetch(f"{bucket}/data", tmp_path / "tracked").data_version == version


def test_a_folder_beside_its_dvc_file_has_that_version(project, tmp_path):
    version = tracked_hash(project / "data.dvc")
    for number, revision in enumerate(["", version, version.removesuffix(".dir")]):
        assert fetch(str(project / "repo/data"), tmp_path / f"out{number}", revision).data_version == version
    refuse(f"is at {version}, not at {'0' * 32}", project / "repo/data", tmp_path, revision="0" * 32)
