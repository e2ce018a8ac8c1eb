"""Whole or nothing, on this machine and on S3."""

import errno
import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import faulty_s3
import pytest
from faulty_s3 import FAULTS, FaultyS3

from vitrine import files
from vitrine.errors import InputError


def names(folder):
    return [path.name for path in folder.iterdir()]


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    return str(tmp_path / "place") if request.param == "local" else f"{request.getfixturevalue('bucket')}/place"


def test_writes_and_reads_back(place):
    uri = files.join(place, "a/b.txt")
    assert not files.exists(uri)
    files.write_bytes(uri, b"one")
    files.write_bytes(uri, b"two")
    assert files.exists(uri)
    assert files.read_bytes(uri) == b"two"


def test_a_prefix_of_a_name_is_no_file(place):
    files.write_bytes(files.join(place, "catalog.parquet.old"), b"")
    assert not files.exists(files.join(place, "catalog.parquet"))


def test_reading_what_is_not_there(place):
    files.write_bytes(files.join(place, "a"), b"")
    with pytest.raises(FileNotFoundError):
        files.read_bytes(files.join(place, "b"))


def test_lists_every_file_once_in_order(place):
    for name in ["b.txt", "a/2.txt", "a/1.txt", "a/x/3.txt"]:
        files.write_bytes(files.join(place, name), b"")
    assert files.list_folder(place) == ["a/1.txt", "a/2.txt", "a/x/3.txt", "b.txt"]


def test_more_objects_than_one_answer_of_s3_holds(bucket):
    for i in range(25):  # the server answers with 10 at a time
        files.write_bytes(f"{bucket}/many/{i:04}", b"")
    assert len(files.list_folder(f"{bucket}/many")) == 25


@pytest.mark.parametrize(
    "call", [files.exists, files.list_folder, files.read_bytes, lambda uri: files.write_bytes(uri, b"")]
)
def test_a_bucket_that_is_not_there_is_an_input_error(s3_environment, call):
    with pytest.raises(InputError, match="s3://not-there/a: no such bucket"):
        call("s3://not-there/a")


def test_an_s3_that_does_not_answer_is_an_input_error(s3_environment, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(InputError, match="s3://some/key"):
        files.exists("s3://some/key")


def test_an_s3_uri_needs_a_bucket():
    with pytest.raises(InputError, match="s3://bucket/key"):
        files.read_bytes("s3:///key")


def test_a_link_back_to_a_folder_above_ends_the_walk(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/photo").write_bytes(b"")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert files.list_folder(str(tmp_path)) == ["a/photo"]


def test_follows_a_link_to_a_folder_elsewhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/photo").write_bytes(b"")
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere")
    assert files.list_folder(str(tmp_path / "here")) == ["link/photo"]


def test_two_links_to_one_folder_are_two_folders(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/photo").write_bytes(b"")
    (tmp_path / "here").mkdir()
    for name in ("boots", "shoes"):
        (tmp_path / "here" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "here")  # from which the walk does not set out again
    assert files.list_folder(f"{tmp_path}/here/") == ["boots/photo", "shoes/photo"]


def test_listing_no_folder(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        files.list_folder(str(tmp_path / "none"))


def test_copies_a_folder_to_s3_and_back(bucket, tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub/a").write_bytes(b"a")
    (source / "b").write_bytes(b"b")
    files.copy_folder(source, f"{bucket}/copy")
    # S3 consoles leave such an object for every folder somebody made with them.
    files.s3_client().put_object(Bucket=bucket.removeprefix("s3://"), Key="copy/sub/", Body=b"")
    files.fetch_folder(f"{bucket}/copy", tmp_path / "back")
    assert (tmp_path / "back/sub/a").read_bytes() == b"a"
    assert (tmp_path / "back/b").read_bytes() == b"b"


def test_an_object_key_cannot_leave_the_folder(bucket, tmp_path):
    files.s3_client().put_object(Bucket=bucket.removeprefix("s3://"), Key="copy/../../evil", Body=b"")
    with pytest.raises(InputError, match="leaves the folder"):
        files.fetch_folder(f"{bucket}/copy", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "bucket",
    [
        "",
        "arn:aws:s3:us-east-1:123456789012:accesspoint:x",
        "user@host",
        "host:80",
        "a b",
        "-a",
        "..",
        "a\0b",
        "ü",
        "a%2fb",
    ],
)
def test_only_a_plain_name_is_a_bucket(bucket):
    for ask in (files.read_bytes, files.exists, files.list_folder, lambda uri: files.write_bytes(uri, b"")):
        with pytest.raises(InputError, match="reads s3://bucket/key"):
            ask(f"s3://{bucket}/key")


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9/x", "https://host/x", "ftp://host/x", "file:///etc/passwd", "file://host/x"]
)
def test_no_other_address_is_asked(uri, monkeypatch):
    monkeypatch.setattr("socket.socket", None)
    with pytest.raises(FileNotFoundError):
        files.read_bytes(uri)
    with pytest.raises(InputError, match="no such folder"):
        files.list_folder(uri)


def test_fetching_an_empty_prefix(bucket, tmp_path):
    with pytest.raises(InputError, match="nothing there"):
        files.fetch_folder(f"{bucket}/none", tmp_path / "back")


def test_a_new_folder_appears_whole(tmp_path):
    out = tmp_path / "deep/out"
    with files.new_folder(out) as folder:
        (folder / "a").write_text("a")
        assert not out.exists()
    assert (out / "a").read_text() == "a"
    assert names(out.parent) == ["out"]


def test_a_failure_leaves_nothing(tmp_path):
    def fail_half_way():
        with files.new_folder(tmp_path / "out") as folder:
            (folder / "a").write_text("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert names(tmp_path) == []


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "out").mkdir()
    with files.new_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("a")
    assert (tmp_path / "out/a").exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_exists_is_not_overwritten(tmp_path, kind):
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("kept")
    else:
        out.mkdir()
        (out / "kept").write_text("")
    with pytest.raises(InputError, match="exists already"), files.new_folder(out):
        pass
    assert out.exists()


def test_a_folder_that_appeared_meanwhile_is_kept(tmp_path):
    out = tmp_path / "out"

    def lose_the_race():
        with files.new_folder(out) as folder:
            (folder / "a").write_text("mine")
            out.mkdir()
            (out / "a").write_text("theirs")

    with pytest.raises(InputError, match="cannot be put in place"):
        lose_the_race()
    assert (out / "a").read_text() == "theirs"
    assert names(tmp_path) == ["out"]


def test_a_parent_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"), files.new_folder(tmp_path / "file/out"):
        pass


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail_half_way():
        with files.atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def as_a_library_says_it():
    """PyTorch's way: the words are the library's, the reason comes before."""
    try:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904


def as_rust_says_it():
    raise ValueError("I/O error: No space left on device (os error 28)")


def as_python_says_it():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("say", [as_a_library_says_it, as_rust_says_it, as_python_says_it])
@pytest.mark.parametrize("writer", [files.atomic_write, files.new_folder])
def test_a_full_disk_is_told_with_the_name_of_what_could_not_be_written(tmp_path, writer, say):
    def fill():
        with writer(tmp_path / "out"):
            say()

    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'out'}'") as caught:
        fill()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "out"))
    assert names(tmp_path) == []


def test_a_disk_that_is_full_keeps_the_old_file(small_disk):
    disk = small_disk("size=1m")
    files.write_json(disk / "a.json", "old")
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.json'"):
        files.write_json(disk / "a.json", "x" * 2_000_000)
    with pytest.raises(OSError, match=r"No space left on device: '.*b'"), files.new_folder(disk / "b") as folder:
        (folder / "c").write_bytes(bytes(2_000_000))
    assert names(disk) == ["a.json"]
    assert files.read_json(disk / "a.json") == "old"


def test_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert files.absolute("a") == str(tmp_path / "a")
    assert files.absolute("s3://bucket/a/") == "s3://bucket/a"
    with pytest.raises(InputError, match=r"^~nobody\.by\.that\.name/a: no such home folder"):
        files.absolute("~nobody.by.that.name/a")


def test_a_user_without_a_home_is_told_where_to_name_one(monkeypatch):
    def unknown(_):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert files.cache_folder() == Path(os.environ["VITRINE_CACHE"])
    monkeypatch.delenv("VITRINE_CACHE")
    with pytest.raises(InputError, match="set VITRINE_CACHE"):
        files.cache_folder()


# What S3 does on a bad day.


@pytest.fixture
def faulty(s3_server, bucket, monkeypatch):
    """A function that puts a server with faults before S3 from now on."""
    with ExitStack() as running:

        def start(*faults, every=2):
            server = running.enter_context(FaultyS3(s3_server, faults, every))
            monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
            files.forget_clients()
            return server

        yield start


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_that_fails_is_tried_again(bucket, faulty, fault):
    files.write_bytes(f"{bucket}/a", b"small")
    server = faulty(fault, every=2)
    for _ in range(4):
        assert files.read_bytes(f"{bucket}/a") == b"small"
    assert server.faults == {"": 4, fault: 3}


def test_a_read_goes_on_where_it_broke_off(bucket, faulty, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    data = random.Random(0).randbytes(5 * files.PART + 1)
    files.write_bytes(f"{bucket}/big", data)
    server = faulty("cut short", every=1)  # each answer ends in its middle, so the last byte never comes
    with pytest.raises(InputError, match="/big: "):
        list(files.read_parts(f"{bucket}/big"))
    begins = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in server.ranges]
    assert begins[0] == len(data) // 2
    assert begins[1] == begins[0] + (len(data) - begins[0]) // 2
    assert begins[-1] == len(data) - 1
    faulty("", "cut short", every=1)
    parts = list(files.read_parts(f"{bucket}/big")) + list(files.read_parts(f"{bucket}/big"))
    assert b"".join(parts) == 2 * data
    assert max(map(len, parts)) <= files.PART


def test_an_object_that_changes_while_it_is_read(bucket, faulty):
    files.write_bytes(f"{bucket}/big", bytes(3 * files.PART))
    direct = files.s3_client()
    faulty("cut short", every=1)
    parts = files.read_parts(f"{bucket}/big")
    next(parts)
    direct.put_object(Bucket=bucket.removeprefix("s3://"), Key="big", Body=bytes(2 * files.PART))
    with pytest.raises(InputError, match="big: was changed by somebody while it was being read"):
        list(parts)


def test_a_server_that_cannot_send_a_part(bucket, faulty):
    files.write_bytes(f"{bucket}/big", bytes(3 * files.PART))
    faulty("cut short", "whole", every=1)
    with pytest.raises(InputError, match="big: S3 sent the whole object where the rest was asked for"):
        files.read_bytes(f"{bucket}/big")


def test_a_server_that_stays_ill_is_named_in_one_line(bucket, faulty, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    server = faulty("503", every=1)
    with pytest.raises(InputError, match="/a: S3 answered SlowDown"):
        files.read_bytes(f"{bucket}/a")
    assert server.faults == {"503": 3}


def test_what_will_not_pass_is_not_tried_again(bucket, faulty):
    server = faulty("403", every=1)
    with pytest.raises(InputError, match=r"/a: S3 refuses \(AccessDenied\)"):
        files.read_bytes(f"{bucket}/a")
    assert server.faults == {"403": 1}


def test_a_clock_that_is_wrong_is_told(bucket, faulty, monkeypatch):
    monkeypatch.setitem(faulty_s3.CODES, "403", "RequestTimeTooSkewed")
    faulty("403", every=1)
    with pytest.raises(InputError, match="/a: S3 refuses: this machine's clock is wrong"):
        files.read_bytes(f"{bucket}/a")


def test_no_credentials(s3_environment, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(InputError, match="s3://some/key: Unable to locate credentials"):
        files.read_bytes("s3://some/key")


def test_threads_share_one_client_and_a_forked_process_makes_its_own(s3_environment):
    with ThreadPoolExecutor(4) as pool:
        assert len({id(client) for client in pool.map(lambda _: files.s3_client(), range(8))}) == 1
    mine = id(files.s3_client())
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, b"own" if id(files.s3_client()) != mine and len(files._clients) == 1 else b"parent's")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 10) == b"own"
    assert id(files.s3_client()) == mine


def test_two_processes_of_one_number_do_not_write_one_temporary_file(tmp_path):
    with files.atomic_write(tmp_path / "a") as one, files.atomic_write(tmp_path / "a") as other:
        assert one != other
        one.write_bytes(b"1")
        other.write_bytes(b"2")


def test_links_out_of_a_folder_are_not_copied(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("key")
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "inside").symlink_to("sub")
    files.refuse_links_out(source)
    for name, target in (("a", tmp_path / "secret"), ("sub/b", "../../secret/key"), ("c", "/nowhere")):
        (source / name).symlink_to(target)
        with pytest.raises(InputError, match=f"{name}: a link that leads out"):
            files.copy_folder(source, str(tmp_path / "copy"))
        (source / name).unlink()
    assert not (tmp_path / "copy").exists()
