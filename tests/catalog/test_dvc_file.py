"""Which hash a .dvc file tracks, what its list of files may name, and what is refused in one line."""

import json

import pytest
from tracked import dvc

from vitrine.catalog.dvc_file import DVC_2, as_version, object_name, parse_listing, read_dvc_file
from vitrine.errors import InputError

VERSION = "d41d8cd98f00b204e9800998ecf8427e.dir"


def refusal(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("rest", ["hash: md5", "size: 3, nfiles: 1", "hash: md5, remote: other, desc: photos"])
def test_the_hash_of_dvc_3_and_of_dvc_2(tmp_path, rest):
    (tmp_path / "data.dvc").write_text(f"outs: [{{md5: {VERSION}, path: data, {rest}}}]")
    assert read_dvc_file(str(tmp_path / "data.dvc")).version == VERSION


def test_a_hash_on_s3(bucket, tmp_path):
    from vitrine import files

    files.write_bytes(f"{bucket}/data.dvc", f"outs: [{{md5: {VERSION}, hash: md5, path: data}}]".encode())
    assert read_dvc_file(f"{bucket}/data.dvc").version == VERSION
    assert refusal(read_dvc_file, f"{bucket}/none.dvc") == f"{bucket}/none.dvc: cannot be read (no such file)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("outs: [{md5: d41d8cd98f00b204e9800998ecf8427e, hash: md5, path: a.jpg}]", "tracks the single file 'a.jpg'"),
        ("outs: [{md5: 1.dir, hash: md5, path: data}]", "revision '1.dir': not the hash of a folder"),
        ("outs: [{md5: ../../x.dir, hash: md5, path: data}]", "not the hash of a folder"),
        ("outs: [{etag: x, hash: etag, path: data}]", "has no MD5"),
        (f"outs: [{{md5: {VERSION}, hash: blake3, path: data}}]", "has no MD5"),
        ("outs: []", "does not track one folder"),
        ("stages: {}", "does not track one folder"),
        ("- 1", "does not track one folder"),
        ("", "does not track one folder"),
        ("a: [", "is not YAML"),
        ("\0", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        (f"deps: [{{path: d, repo: {{url: u}}}}]\nouts: [{{md5: {VERSION}, hash: md5, path: d}}]", "is an import"),
        ("outs: [{path: d, hash: md5, files: [{relpath: a, md5: b, version_id: c}]}]", "is cloud-versioned"),
        (f"outs: [{{path: d, md5: {VERSION}, cloud: {{s3: {{version_id: c}}}}}}]", "is cloud-versioned"),
    ],
)
def test_what_tracks_no_folder_by_its_md5(tmp_path, content, message):
    (tmp_path / "data.dvc").write_text(content)
    assert message in refusal(read_dvc_file, str(tmp_path / "data.dvc"))


@pytest.mark.slow
def test_what_dvc_imports_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.jpg").write_bytes(b"a")
    (tmp_path / "repo").mkdir()
    dvc(tmp_path / "repo", ("init", "--no-scm"), ("import-url", str(tmp_path / "elsewhere"), "data"))
    assert "is an import" in refusal(read_dvc_file, str(tmp_path / "repo/data.dvc"))


def test_no_file(tmp_path):
    assert "none.dvc: cannot be read (No such file" in refusal(read_dvc_file, str(tmp_path / "none.dvc"))


def test_a_version_ends_in_dir():
    assert as_version(VERSION) == as_version(VERSION.removesuffix(".dir")) == VERSION
    for text in ("", "main", "v1.0", VERSION.upper(), VERSION + "x", VERSION + "\n", "../" + VERSION):
        refusal(as_version, text)


def listing(*entries):
    return json.dumps([{"md5": md5, "relpath": name} for name, md5 in entries]).encode()


def test_a_list_of_files():
    md5 = VERSION.removesuffix(".dir")
    entries = {"a.jpg": md5, "images/b b.jpg": "0" * 32, "images/é.jpg": md5}
    assert parse_listing(listing(*entries.items()), VERSION) == entries


@pytest.mark.parametrize("name", ["~$catalog.xlsx", "notes: week 47.txt", "a\\b.txt", "..a/b..", "a\nb"])
def test_an_odd_name_costs_no_revision(name):
    assert parse_listing(listing((name, "0" * 32)), VERSION) == {name: "0" * 32}


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "a/../../evil", "..", "s3://bucket/evil", "", ".", "./", "a/./b", "a//b", "a/", "a\0b"],
)
def test_a_path_that_leaves_the_folder(name):
    assert "would be written outside its folder" in refusal(parse_listing, listing((name, "0" * 32)), VERSION)


@pytest.mark.parametrize("md5", ["../../../../etc/passwd", "", "0" * 31, f"{'0' * 32}\n", VERSION])
def test_a_hash_that_is_none(md5):
    assert "'a.jpg' has no MD5 but" in refusal(parse_listing, listing(("a.jpg", md5)), VERSION)


@pytest.mark.parametrize("content", [b"{}x", b"[1]", b"null", b'[{"relpath": "a"}]', b"\xff", b'{"relpath": 1}', b""])
def test_what_is_no_list(content):
    assert "is not a DVC list of files" in refusal(parse_listing, content, VERSION)


def test_where_objects_lie():
    assert object_name("ab" + "0" * 30) == f"files/md5/ab/{'0' * 30}"
    assert object_name(VERSION, DVC_2) == f"d4/{VERSION[2:]}"
