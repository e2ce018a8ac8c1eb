"""Objects are known to be sound without being read; folders appear whole and are mended; one process at a time."""

import fcntl
import hashlib
import os
import shutil
import threading
from pathlib import Path

import pytest

from vitrine.catalog.dvc_file import DVC_2, DVC_3
from vitrine.catalog.node_cache import NodeCache, has_md5, is_marked, seal
from vitrine.errors import InputError

VERSION = f"{'0' * 32}.dir"


@pytest.fixture
def cache(tmp_path):
    return NodeCache(tmp_path / "cache")


def md5_of(data):
    return hashlib.md5(data).hexdigest()


def keep(cache, data):
    """Puts an object into the cache as fetching does; returns its hash."""
    cache.home.mkdir(exist_ok=True)
    with (cache.home / "new").open("wb") as file:
        file.write(data)
        seal(file, len(data))
    cache.keep(cache.home / "new", md5_of(data))
    return md5_of(data)


def lay_out(cache, entries):
    with cache.one_at_a_time(VERSION) as work:
        cache.lay_out(VERSION, cache.unsound(VERSION, entries), DVC_3, work)
    return cache.home / VERSION


def overwrite(path, data):
    path.chmod(0o644)
    path.write_bytes(data)


def append(path):
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b"x")
    os.utime(path, ns=(path.stat().st_mtime_ns, 0))


def cut(path):
    time = path.stat().st_mtime_ns
    os.truncate(path, 1)
    os.utime(path, ns=(time, time))


def swap_a_byte(path):
    overwrite(path, b"X" + path.read_bytes()[1:])


@pytest.mark.parametrize("data", [b"photo", b"", bytes(3_000_000)])
def test_what_was_kept_is_held_and_read_only(cache, data):
    md5 = keep(cache, data)
    path = cache.path(md5)
    assert path == cache.home / "files/md5" / md5[:2] / md5[2:]
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o444
    assert is_marked(path)
    assert cache.holds(md5)
    assert not cache.holds("0" * 32)


@pytest.mark.parametrize("damage", [append, cut, swap_a_byte])
def test_damage_is_noticed(cache, damage):
    md5 = keep(cache, b"a whole photo")
    damage(cache.path(md5))
    assert not is_marked(cache.path(md5))
    assert not cache.holds(md5)


def test_the_empty_object_too(cache):
    md5 = keep(cache, b"")
    overwrite(cache.path(md5), b"not empty")
    assert not cache.holds(md5)


def test_a_sound_object_without_a_mark_is_read_once(cache):
    md5 = keep(cache, b"photo")
    os.utime(cache.path(md5))
    assert not is_marked(cache.path(md5))
    assert cache.holds(md5)
    assert is_marked(cache.path(md5))


def test_a_folder_in_the_place_of_an_object_is_none(cache):
    cache.path("0" * 32).mkdir(parents=True)
    assert not cache.holds("0" * 32)


def test_text_of_dvc_2_is_hashed_with_its_line_ends_alike(tmp_path):
    path = tmp_path / "catalog.csv"
    path.write_bytes(b"image\r\na.jpg\r\n" * 100_000)  # more than one part
    unix = md5_of(path.read_bytes().replace(b"\r\n", b"\n"))
    assert has_md5(path, unix, DVC_2)
    assert not has_md5(path, unix, DVC_3)
    for layout in (DVC_2, DVC_3):
        assert has_md5(path, md5_of(path.read_bytes()), layout)
        assert not has_md5(path, md5_of(b""), layout)


def test_a_folder_is_links_to_its_objects(cache):
    entries = {"a.jpg": keep(cache, b"a"), "deep/er/b.jpg": keep(cache, b"b"), "again.jpg": md5_of(b"a")}
    tree = lay_out(cache, entries)
    assert {name: (tree / name).read_bytes() for name in entries} == dict(zip(entries, (b"a", b"b", b"a"), strict=True))
    assert all((tree / name).samefile(cache.path(md5)) for name, md5 in entries.items())
    assert cache.unsound(VERSION, entries) == {}
    assert sorted(path.name for path in cache.home.iterdir()) == [f".{VERSION}.lock", VERSION, "files"]


def test_a_volume_without_hard_links_gets_marked_copies(cache, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("no links here")))
    entries = {"a.jpg": keep(cache, b"a")}
    tree = lay_out(cache, entries)
    assert not (tree / "a.jpg").samefile(cache.path(entries["a.jpg"]))
    assert (tree / "a.jpg").stat().st_mode & 0o777 == 0o444
    assert cache.unsound(VERSION, entries) == {}


def test_a_standing_folder_is_mended_file_by_file(cache):
    entries = {f"{i}.jpg": keep(cache, bytes([i])) for i in range(4)}
    tree = lay_out(cache, entries)
    (tree / "0.jpg").unlink()
    (tree / "1.jpg").unlink()
    (tree / "1.jpg").write_bytes(b"somebody's own")  # not the shared object
    before = (tree / "3.jpg").stat().st_ino
    assert list(cache.unsound(VERSION, entries)) == ["0.jpg", "1.jpg"]
    lay_out(cache, entries)
    assert [(tree / name).read_bytes() for name in entries] == [bytes([i]) for i in range(4)]
    assert (tree / "3.jpg").stat().st_ino == before


def test_files_of_which_only_the_time_changed_are_mended_to_themselves(cache):
    entries = {f"{i}.jpg": keep(cache, bytes([i])) for i in range(3)}
    tree = lay_out(cache, entries)
    for name in entries:
        os.utime(tree / name)
    assert list(cache.unsound(VERSION, entries)) == list(entries)
    assert all(cache.holds(md5) for md5 in entries.values())
    with cache.one_at_a_time(VERSION) as work:
        cache.lay_out(VERSION, entries, DVC_3, work)
    assert [(tree / name).read_bytes() for name in entries] == [bytes([i]) for i in range(3)]
    assert all(cache.verify(md5) for md5 in entries.values())


def test_nothing_is_copied_into_a_file_that_is_there(cache):
    first, second = keep(cache, b"first"), keep(cache, b"second")
    with cache.one_at_a_time(VERSION) as work:
        (work / "folder").mkdir()
        os.link(cache.path(first), work / "folder/a.jpg")
        with pytest.raises(FileExistsError):
            cache.lay_out(VERSION, {"a.jpg": second}, DVC_3, work)
    assert cache.verify(first)


def test_a_name_that_is_a_file_and_a_folder(cache):
    md5 = keep(cache, b"a")
    with pytest.raises(InputError, match="cannot be written"):
        lay_out(cache, {"a": md5, "a/b": md5})
    assert not (cache.home / VERSION).exists()
    assert not list(cache.home.glob(".*.tmp"))


def test_one_process_at_a_time_for_a_revision(cache, caplog):
    caplog.set_level("INFO")
    order, entered = [], threading.Event()

    def second():
        with cache.one_at_a_time(VERSION) as work:
            order.append(("second", work.is_dir()))

    with cache.one_at_a_time(VERSION):
        other = threading.Thread(target=second)
        other.start()
        with cache.one_at_a_time(f"{'1' * 32}.dir"):  # another revision need not wait
            pass
        while "another process is fetching it; waiting" not in caplog.text:
            assert not entered.wait(0.01)
        order.append(("first", True))
    other.join()
    assert order == [("first", True), ("second", True)]


def test_what_a_killed_process_left_is_removed(cache):
    left, of_another = cache.home / f".{VERSION}.abc.tmp", cache.home / f".{'1' * 32}.dir.abc.tmp"
    for folder in (left, of_another):
        (folder / "folder").mkdir(parents=True)
    with cache.one_at_a_time(VERSION) as work:
        assert not left.exists()
        assert work.parent == cache.home
    assert of_another.exists()
    assert not work.exists()


def test_a_volume_without_locks_works_without(cache, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(38, "Function not implemented")))
    cache.home.mkdir()
    others = cache.home / f".{VERSION}.abc.tmp"  # may be in use
    others.mkdir()
    entries = {"a.jpg": keep(cache, b"a")}
    with cache.one_at_a_time(VERSION) as work, cache.one_at_a_time(VERSION) as other:
        assert others.exists()
        assert len({work, other, others}) == 3
        rename = Path.rename

        def late(path, target):
            monkeypatch.setattr(Path, "rename", rename)
            cache.lay_out(VERSION, entries, DVC_3, other)
            return path.rename(target)

        monkeypatch.setattr(Path, "rename", late)
        cache.lay_out(VERSION, entries, DVC_3, work)
    assert cache.unsound(VERSION, entries) == {}


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"file/cache: cannot be written \(Not a directory\)"),
        NodeCache(tmp_path / "file/cache").one_at_a_time(VERSION),
    ):
        pass


def test_removing_a_revision_and_what_only_it_used(cache):
    """The two commands of docs/data.md."""
    shared, own = keep(cache, b"shared"), keep(cache, b"own")
    lay_out(cache, {"a": shared, "b": own})
    with cache.one_at_a_time("other") as work:
        cache.lay_out("other", {"a": shared}, DVC_3, work)
    shutil.rmtree(cache.home / VERSION)
    unused = [path for path in (cache.home / "files").rglob("*") if path.is_file() and path.stat().st_nlink == 1]
    assert unused == [cache.path(own)]
