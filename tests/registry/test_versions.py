"""Going back, bringing back, deleting, and what happens when several do so at once or are killed."""

import json
import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vitrine import files
from vitrine.errors import InputError
from vitrine.registry import Registry, content_hash, pointer, store
from vitrine.registry.listing import list_versions

LATER = datetime.now(UTC) + timedelta(days=2)  # when nothing that a test stores is new any more
METRICS = {"macro_top1": 0.6}


@pytest.fixture
def filled(root, model):
    """A registry with versions a, b and c, the last in use."""
    registry = Registry(root)
    for name in "abc":
        registry.promote("taxonomy", model(name, name.encode()), METRICS, f"Promoted: {name}.", version=name)
    return registry


def weights(registry, tmp_path, name):
    """What the champion holds, after checking that it is what was promoted."""
    return (registry.fetch(registry.champion("taxonomy"), tmp_path / name) / "model.safetensors").read_bytes()


def decisions(registry):
    return [(line["decision"], line["version"]) for line in registry.history("taxonomy")]


def test_a_rollback_goes_back_one_at_a_time(filled, tmp_path):
    for version, previous in [("b", "a"), ("a", "")]:
        back = filled.rollback("taxonomy", "It was better.")
        assert (back.version, back.previous, back.reason) == (version, previous, "It was better.")
        assert filled.champion("taxonomy") == back
        assert weights(filled, tmp_path, f"copy-{version}") == version.encode()
    with pytest.raises(InputError, match=r"nothing to go back to \(a is the first\)"):
        filled.rollback("taxonomy", "Again.")
    assert decisions(filled)[3:] == [("rolled back", "b"), ("rolled back", "a")]
    assert [line["replaced"] for line in filled.history("taxonomy")] == ["", "a", "b", "c", "b"]


def test_any_version_can_be_brought_back(filled, tmp_path):
    back = filled.bring_back("taxonomy", "a", "The others confuse boots.")
    assert (back.version, back.previous) == ("a", "c")
    assert weights(filled, tmp_path, "copy") == b"a"
    assert filled.rollback("taxonomy", "No.").version == "c"
    assert filled.rollback("taxonomy", "No.").version == "b"
    for version, said in [("b", "b is the champion already"), ("x", r"has no x \(it has: a, b, c\)")]:
        with pytest.raises(InputError, match=said):
            filled.bring_back("taxonomy", version, "Why not.")
    with pytest.raises(InputError, match="there is no champion"):
        filled.rollback("attributes", "No.")


def test_a_version_that_is_damaged_is_not_brought_back(filled):
    files.write_bytes(files.join(filled.version("taxonomy", "b").model, "model.safetensors"), b"other")
    for go in (lambda: filled.rollback("taxonomy", "x"), lambda: filled.bring_back("taxonomy", "b", "x")):
        with pytest.raises(InputError, match=r"holds model .*, not the promoted"):
            go()
    assert filled.champion("taxonomy").version == "c"


def test_the_newest_versions_stay_and_so_do_the_champion_and_the_one_before(filled, model):
    assert filled.prune("taxonomy", keep=1) == []  # all are new
    assert filled.prune("taxonomy", keep=0, now=LATER) == []
    assert filled.prune("taxonomy", keep=5, now=LATER) == []
    assert filled.prune("taxonomy", keep=1, now=LATER) == ["a"]
    assert filled.versions("taxonomy") == ["b", "c"]
    assert not files.exists(files.join(filled.root, "taxonomy/versions/a/version.json"))
    for name in "de":
        filled.promote("taxonomy", model(name, name.encode()), METRICS, "Promoted.", version=name)
    filled.bring_back("taxonomy", "b", "Best.")
    assert filled.prune("taxonomy", keep=1, now=LATER) == ["c", "d"]
    assert filled.versions("taxonomy") == ["b", "e"]
    with pytest.raises(InputError, match="keep=-1"):
        filled.prune("taxonomy", keep=-1)
    assert Registry(filled.root).prune("attributes", keep=1) == []


def test_a_rollback_to_what_was_deleted_says_so(filled):
    filled.bring_back("taxonomy", "a", "x")
    filled.rollback("taxonomy", "x")  # c again, before which was b
    assert filled.prune("taxonomy", keep=1, now=LATER) == ["a"]
    filled.rollback("taxonomy", "x")  # b
    with pytest.raises(InputError, match=r"has no a \(it has: b, c\)"):
        filled.rollback("taxonomy", "x")
    assert filled.champion("taxonomy").version == "b"


def test_a_deletion_that_was_killed_is_taken_up_again(filled, monkeypatch):
    def killed(uri):
        raise KeyboardInterrupt

    for allowed in (0, 1):  # nothing deleted yet; only the weights
        with monkeypatch.context() as patch:
            left = [allowed]
            real = files.delete

            def some(uri, left=left, real=real):
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1
                real(uri)

            patch.setattr(files, "delete", some)
            with pytest.raises(KeyboardInterrupt):
                filled.prune("taxonomy", keep=1, now=LATER)
        assert filled.champion("taxonomy").version == "c"
        with pytest.raises(InputError, match="has no a"):  # it may be gone at any moment
            filled.bring_back("taxonomy", "a", "x")
    filled.rollback("taxonomy", "x")
    assert "a" in json.loads(files.read_bytes(files.join(filled.root, "taxonomy/champion.json")))["retired"]
    assert filled.prune("taxonomy", keep=5, now=LATER) == ["a"]
    assert filled.versions("taxonomy") == ["b", "c"]
    assert filled.prune("taxonomy", keep=5, now=LATER) == []


def before_the_next_write(monkeypatch, happens):
    """Lets something happen between what is read and the write that rests on it."""
    real = pointer.replace

    def overtaken(uri, data, tag):
        monkeypatch.setattr(pointer, "replace", real)
        happens()
        real(uri, data, tag)

    monkeypatch.setattr(pointer, "replace", overtaken)


@pytest.mark.parametrize("years", [1, -1])
def test_a_clock_that_jumps_between_promotions(filled, model, monkeypatch, tmp_path, years):
    class Jumped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=365 * years)

    with monkeypatch.context() as patch:
        patch.setattr(store, "datetime", Jumped)
        jumped = filled.promote("taxonomy", model("d", b"d"), METRICS, "Promoted: d.")
        filled.prune("taxonomy", 1)
    last = filled.promote("taxonomy", model("e", b"e"), METRICS, "Promoted: e.")
    assert (filled.champion("taxonomy"), last.previous) == (last, jumped.version)
    filled.prune("taxonomy", 1)
    assert {last.version, jumped.version} <= set(filled.versions("taxonomy"))
    assert decisions(filled)[-2:] == [("promoted", jumped.version), ("promoted", last.version)]
    filled.rollback("taxonomy", "Back.")
    assert weights(filled, tmp_path, "back") == b"d"


def test_what_a_killed_promotion_had_copied_goes_after_an_hour(tmp_path, model):
    registry = Registry(tmp_path / "registry")
    registry.promote("taxonomy", model("a"), METRICS, "Promoted.", version="a")
    code = (
        "import os, sys; from pathlib import Path; from vitrine.registry import Registry, store;"
        "store.shutil.copytree = lambda *_, **__: os.kill(os.getpid(), 9);"
        "Registry(sys.argv[1]).promote('taxonomy', Path(sys.argv[2]), {}, 'x', version='b')"
    )
    path = os.pathsep.join([str(Path(store.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code, registry.root, str(model("b"))]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode == -9
    stored = tmp_path / "registry/taxonomy/versions"
    assert len(list(stored.iterdir())) == 2
    assert registry.versions("taxonomy") == ["a"]
    registry.prune("taxonomy", 10)
    assert len(list(stored.iterdir())) == 2  # it may be in the making
    registry.prune("taxonomy", 10, now=LATER)
    assert [path.name for path in stored.iterdir()] == ["a"]


def test_what_is_brought_back_meanwhile_is_not_deleted(filled, monkeypatch, tmp_path):
    before_the_next_write(monkeypatch, lambda: filled.bring_back("taxonomy", "a", "First."))
    assert filled.prune("taxonomy", keep=1, now=LATER) == ["b"]  # it looked again
    assert weights(filled, tmp_path, "copy") == b"a"


def test_what_is_deleted_meanwhile_is_not_brought_back(filled, monkeypatch, tmp_path):
    before_the_next_write(monkeypatch, lambda: filled.prune("taxonomy", keep=1, now=LATER))
    with pytest.raises(InputError, match="another champion was promoted"):
        filled.bring_back("taxonomy", "a", "Second.")
    assert weights(filled, tmp_path, "copy") == b"c"


@pytest.mark.parametrize(("where", "name"), [(Registry, "_found"), (store, "_delete")])
def test_two_deletions_at_once_both_end(filled, monkeypatch, where, name):
    """One does it all when the other is about to read what is known of a version, or to list its files."""
    real, gone = getattr(where, name), []

    def overtaken(*given):
        monkeypatch.setattr(where, name, real)
        gone.append(filled.prune("taxonomy", keep=1, now=LATER))
        return real(*given)

    monkeypatch.setattr(where, name, overtaken)
    filled.prune("taxonomy", keep=1, now=LATER)
    assert gone == [["a"]]
    assert filled.versions("taxonomy") == ["b", "c"]


def test_what_is_deleted_while_it_is_copied_is_one_line(filled, monkeypatch):
    name = "list_folder" if files.is_s3(filled.root) else "refuse_links_out"  # just before the copying
    real = getattr(files, name)

    def overtaken(*given):
        found = real(*given)
        monkeypatch.setattr(files, name, real)
        filled.prune("taxonomy", keep=1, now=LATER)
        return found

    monkeypatch.setattr(files, name, overtaken)
    with pytest.raises(InputError, match="versions/a: was deleted while it was being copied"):
        filled.bring_back("taxonomy", "a", "x")
    assert filled.champion("taxonomy").version == "c"


def test_a_list_leaves_out_what_is_deleted_meanwhile(filled, monkeypatch):
    names = filled.versions("taxonomy")
    filled.prune("taxonomy", keep=1, now=LATER)
    monkeypatch.setattr(Registry, "versions", lambda *_: names)
    assert [line.split()[-1] for line in list_versions(filled.root, "taxonomy")] == ["b.", "c."]


def test_the_name_of_a_version_that_was_deleted_is_not_given_again(filled, model):
    """Whoever deletes the old one may not have ended; and nothing that is named as deleted can be in use."""
    filled.prune("taxonomy", keep=1, now=LATER)
    with pytest.raises(InputError, match="versions/a: this version was deleted"):
        filled.promote("taxonomy", model("again", b"again"), METRICS, "Promoted.", version="a")
    assert filled.champion("taxonomy").version == "c"


def test_a_promotion_meanwhile_keeps_what_is_being_deleted_in_mind(filled, model, monkeypatch):
    def killed(uri):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            filled.prune("taxonomy", keep=1, now=LATER)
    filled.promote("taxonomy", model("d", b"d"), METRICS, "Promoted.", version="d")
    with pytest.raises(InputError, match="has no a"):
        filled.bring_back("taxonomy", "a", "x")


def test_the_history_is_whole_though_a_promotion_was_killed_before_its_line(filled, model, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pointer, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            filled.promote("taxonomy", model("d", b"d"), METRICS, "Promoted: d.", version="d")
    assert filled.champion("taxonomy").version == "d"
    filled.promote("taxonomy", model("e", b"e"), METRICS, "Promoted: e.", version="e")
    assert decisions(filled)[-2:] == [("promoted", "d"), ("promoted", "e")]
    assert [line["reason"] for line in filled.history("taxonomy")][-2:] == ["Promoted: d.", "Promoted: e."]


PROMOTE = """
import os, sys, time
from pathlib import Path
from vitrine.errors import InputError
from vitrine.registry import Registry, pointer
root, model, die = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
registry, replace, writes = Registry(root), pointer.replace, 0
def counted(*arguments):
    global writes
    if writes == die:
        os.kill(os.getpid(), 9)
    writes += 1
    replace(*arguments)
pointer.replace = counted
registry.champion("taxonomy")  # what is loaded late is loaded
print("ready", flush=True)
sys.stdin.readline()
try:
    print(registry.promote("taxonomy", model, {}, "Promoted.", version=model.name).version)
except InputError as error:
    print(error)
"""


def start(root, model, die=-1):
    path = os.pathsep.join([str(store.Path(store.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", PROMOTE, root, str(model), str(die)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_processes_that_promote_at_once_leave_one_champion_and_it_is_whole(root, model, tmp_path):
    registry = Registry(root)
    models = {f"m{i}": model(f"m{i}", os.urandom(2**20)) for i in range(4)}
    processes = [start(root, folder) for folder in models.values()]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    promoted = [line for line in said if line in models]
    refused = [line for line in said if "another champion was promoted while" in line]
    assert len(promoted) >= 1
    assert len(promoted) + len(refused) == 4, said
    champion = registry.champion("taxonomy")
    assert champion.version in promoted
    assert champion.content == content_hash(models[champion.version])
    registry.fetch(champion, tmp_path / "copy")
    assert registry.versions("taxonomy") == sorted(models)  # the others are there, whole
    chain = [champion.version]  # each promoted one replaced the one before it
    while previous := registry.version("taxonomy", chain[-1]).previous:
        chain.append(previous)
    assert sorted(chain) == sorted(promoted)
    assert sorted(line["version"] for line in registry.history("taxonomy")) == sorted(promoted)


@pytest.mark.slow
@pytest.mark.parametrize(("die", "winner"), [(0, "first"), (1, "second")])
def test_a_process_killed_between_its_writes_leaves_one_champion_and_it_is_whole(root, model, tmp_path, die, winner):
    registry = Registry(root)
    registry.promote("taxonomy", model("first", b"1"), METRICS, "Promoted.", version="first")
    process = start(root, model("second", b"2"), die)
    process.communicate("go\n", timeout=60)
    assert process.returncode == -9
    assert registry.champion("taxonomy").version == winner
    registry.fetch(registry.champion("taxonomy"), tmp_path / "copy")
    assert registry.promote("taxonomy", model("third", b"3"), METRICS, "x", version="third").previous == winner
    assert [line["version"] for line in registry.history("taxonomy")] == (
        ["first", "third"] if winner == "first" else ["first", "second", "third"]
    )


@pytest.mark.slow
def test_threads_that_promote_and_delete_at_once_never_leave_a_champion_that_is_gone(root, model, tmp_path):
    registry = Registry(root)
    models = [model(f"m{i}", bytes([i])) for i in range(6)]
    registry.promote("taxonomy", models[0], METRICS, "Promoted.", version="m0")

    def promote(folder):
        for _ in range(20):
            try:
                registry.promote(
                    "taxonomy", folder, METRICS, "Promoted.", version=f"{folder.name}-{os.urandom(3).hex()}"
                )
            except (
                InputError,
                shutil.Error,
                FileNotFoundError,
            ):  # at LATER, what is being copied looks like a copy that died
                continue
            return

    def prune():
        for _ in range(5):
            registry.prune("taxonomy", keep=1, now=LATER)

    threads = [threading.Thread(target=promote, args=(folder,)) for folder in models[1:]]
    threads += [threading.Thread(target=prune)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry.fetch(registry.champion("taxonomy"), tmp_path / "copy")
