"""Promotion, refusal, interruption and races, in a folder and on S3."""

import json
import os
import re
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from faulty_s3 import FaultyS3

from vitrine import files
from vitrine.errors import InputError
from vitrine.registry import MODEL_FILES, Registry, content_hash, pointer, store

METRICS = {"macro_top1": 0.6, "count": 100.0}


def test_an_empty_registry_has_no_champion(root):
    registry = Registry(root)
    assert registry.champion("taxonomy") is None
    assert registry.versions("taxonomy") == []
    assert registry.history("taxonomy") == []


def test_promotion_stores_the_model_and_says_why(root, model, tmp_path):
    drift = tmp_path / "reference"
    drift.mkdir()
    (drift / "reference.json").write_text("{}")
    registry = Registry(root)
    folder = model("first")
    first = registry.promote("taxonomy", folder, METRICS, "Promoted: the first.", extra={"drift": drift})
    assert first == registry.champion("taxonomy")
    assert first.metrics == METRICS
    assert first.data_version == "v-7"
    assert first.previous == ""
    assert first.content == content_hash(folder)
    assert re.fullmatch(r"\d{8}T\d{12}Z-[0-9a-f]{8}", first.version)
    got = registry.fetch(first, tmp_path / "copy")
    assert {path.relative_to(got).as_posix() for path in got.rglob("*") if path.is_file()} == {
        *MODEL_FILES,
        "drift/reference.json",
        "version.json",
    }
    second = registry.promote("taxonomy", model("second", b"other"), METRICS, "Promoted: better.")
    assert second.previous == first.version
    assert registry.versions("taxonomy") == [first.version, second.version]
    assert registry.champion("taxonomy") == second
    assert registry.fetch(first, tmp_path / "old").joinpath("model.safetensors").read_bytes() == b"weights"


def test_every_decision_is_one_line_of_history(root, model):
    registry = Registry(root)
    champion = registry.promote("taxonomy", model("m"), METRICS, "Promoted: the first.")
    registry.refuse("taxonomy", "Refused: a tie keeps the champion.", {"macro_top1": 0.6})
    registry.refuse("attributes", "Refused: größer ist besser.", {"recall@1": float("nan")})
    lines = registry.history("taxonomy")
    assert [line["decision"] for line in lines] == ["promoted", "refused"]
    assert lines[0]["version"] == champion.version
    assert lines[1]["reason"] == "Refused: a tie keeps the champion."
    assert lines[1]["metrics"] == {"macro_top1": 0.6}
    assert registry.history("attributes")[0]["reason"] == "Refused: größer ist besser."
    assert registry.history("attributes")[0]["metrics"] == {}  # JSON has no NaN
    assert registry.champion("taxonomy") == champion


def test_a_failure_between_copy_and_pointer_keeps_the_champion_whole(root, model, monkeypatch, tmp_path):
    registry = Registry(root)
    first = registry.promote("taxonomy", model("first"), METRICS, "Promoted.")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pointer, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.promote("taxonomy", model("second", b"other"), METRICS, "Promoted.")
    assert registry.champion("taxonomy") == first
    registry.fetch(first, tmp_path / "copy")
    assert len(registry.history("taxonomy")) == 1
    assert len(registry.versions("taxonomy")) == 2  # stored whole, in use by nobody
    third = registry.promote("taxonomy", model("third", b"third"), METRICS, "Promoted.")
    assert third.previous == first.version


def test_a_failure_during_the_copy_leaves_no_version(root, model, monkeypatch):
    registry = Registry(root)
    first = registry.promote("taxonomy", model("first"), METRICS, "Promoted.")

    def broken(*_, **__):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        if files.is_s3(root):
            patch.setattr(files, "write_bytes", _unless_named("model.safetensors", files.write_bytes, broken))
        else:
            patch.setattr(store.shutil, "copytree", broken)
        with pytest.raises(OSError, match="disk full"):
            registry.promote("taxonomy", model("second", b"other"), METRICS, "Promoted.")
    assert registry.versions("taxonomy") == [first.version]
    assert registry.champion("taxonomy") == first


def _unless_named(name, write, broken):
    return lambda uri, data: broken() if uri.endswith(name) else write(uri, data)


def test_a_killed_process_leaves_the_champion_whole(tmp_path, model):
    registry = Registry(tmp_path / "registry")
    first = registry.promote("taxonomy", model("first"), METRICS, "Promoted.")
    code = (
        "import os, sys; from pathlib import Path; from vitrine.registry import Registry, pointer;"
        "pointer.replace = lambda *_: os.kill(os.getpid(), 9);"
        "Registry(sys.argv[1]).promote('taxonomy', Path(sys.argv[2]), {}, 'x')"
    )
    path = os.pathsep.join([str(Path(store.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code, registry.root, str(model("second", b"other"))]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert done.returncode == -9
    assert registry.champion("taxonomy") == first
    assert registry.promote("taxonomy", model("third", b"3"), METRICS, "x").previous == first.version


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "503", "dropped", "cut short", "lost", "slow"])
@pytest.mark.parametrize("first", [1, 2])
def test_promotions_through_an_s3_that_fails_every_second_time(
    s3_server, bucket, model, monkeypatch, tmp_path, fault, first
):
    registry = Registry(f"{bucket}/registry")
    with FaultyS3(s3_server, [fault], every=2) as server:
        for _ in range(first):
            server.next_fault()
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: None))  # between two tries
        files.forget_clients()
        promoted = [registry.promote("taxonomy", model(name, name.encode()), METRICS, name) for name in "ab"]
        assert registry.champion("taxonomy") == promoted[1]
        assert promoted[1].previous == promoted[0].version
        assert [line["version"] for line in registry.history("taxonomy")] == [own.version for own in promoted]
        assert (registry.fetch(promoted[1], tmp_path / "copy") / "model.safetensors").read_bytes() == b"b"
        assert server.faults[fault]


def test_an_s3_that_stays_ill_is_one_line_and_the_champion_stays(s3_server, bucket, model, monkeypatch):
    registry = Registry(f"{bucket}/registry")
    first = registry.promote("taxonomy", model("first"), METRICS, "Promoted.")
    with monkeypatch.context() as patch, FaultyS3(s3_server, ["cut short"], every=1) as server:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        files.forget_clients()
        with pytest.raises(InputError, match=rf"{bucket}/registry/taxonomy/champion.json: ") as caught:
            registry.promote("taxonomy", model("second", b"other"), METRICS, "Promoted.")
        assert "\n" not in str(caught.value)
    files.forget_clients()
    assert registry.champion("taxonomy") == first
    assert registry.versions("taxonomy") == [first.version]


def test_a_promotion_that_was_overtaken_is_refused(root, model, monkeypatch):
    registry = Registry(root)
    registry.promote("taxonomy", model("first"), METRICS, "Promoted.")
    late, early = model("late", b"late"), model("early", b"early")
    keep = store._store

    def overtaken(*stored):
        monkeypatch.setattr(store, "_store", keep)
        registry.promote("taxonomy", early, METRICS, "Promoted: came first.")
        keep(*stored)

    monkeypatch.setattr(store, "_store", overtaken)
    with pytest.raises(InputError, match="another champion was promoted while"):
        registry.promote("taxonomy", late, METRICS, "Promoted.")
    assert registry.champion("taxonomy").reason == "Promoted: came first."
    assert len(registry.history("taxonomy")) == 2


def test_two_first_promotions_at_once_leave_one_champion(root, model, monkeypatch):
    registry = Registry(root)
    keep = store._store

    def overtaken(*stored):
        monkeypatch.setattr(store, "_store", keep)
        registry.promote("taxonomy", early, METRICS, "Promoted: came first.")
        keep(*stored)

    early = model("early", b"early")
    monkeypatch.setattr(store, "_store", overtaken)
    with pytest.raises(InputError, match="another champion"):
        registry.promote("taxonomy", model("late", b"late"), METRICS, "Promoted.")
    assert registry.champion("taxonomy").reason == "Promoted: came first."


def test_what_was_compared_with_another_champion_than_that_in_use_is_refused(root, model):
    registry = Registry(root)
    with pytest.raises(InputError, match=r"no model is the champion of taxonomy now, but .* with v0; run again"):
        registry.promote("taxonomy", model("zeroth"), METRICS, "x", version="v1", compared_with="v0")
    registry.promote("taxonomy", model("first"), METRICS, "x", version="v1", compared_with="")
    with pytest.raises(InputError, match=r"v1 is the champion of taxonomy now, but .* with none; run again"):
        registry.promote("taxonomy", model("late", b"late"), METRICS, "x", version="v2", compared_with="")
    assert registry.versions("taxonomy") == ["v1"]  # nothing was copied
    registry.promote("taxonomy", model("second", b"second"), METRICS, "x", version="v2", compared_with="v1")
    assert registry.champion("taxonomy").version == "v2"


def test_lines_of_several_writers_are_all_kept(tmp_path):
    registry = Registry(tmp_path / "registry")
    threads = [threading.Thread(target=registry.refuse, args=("taxonomy", f"Refused: {i}", {})) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line["reason"] for line in registry.history("taxonomy")) == [f"Refused: {i}" for i in range(8)]


def test_a_server_without_conditional_writes_still_works(s3_environment, monkeypatch):
    from botocore.exceptions import ClientError

    client = files.s3_client()
    client.create_bucket(Bucket="plain")
    put = client.put_object

    def old_server(**request):
        if "IfMatch" in request or "IfNoneMatch" in request:
            raise ClientError({"Error": {"Code": "NotImplemented", "Message": ""}}, "PutObject")
        return put(**request)

    monkeypatch.setattr(client, "put_object", old_server)
    registry = Registry("s3://plain/models")
    registry.refuse("taxonomy", "Refused: 1", {})
    registry.refuse("taxonomy", "Refused: 2", {})
    assert len(registry.history("taxonomy")) == 2


@pytest.mark.parametrize("missing", MODEL_FILES)
def test_a_folder_that_is_no_model_is_refused(tmp_path, model, missing):
    folder = model("m")
    (folder / missing).unlink()
    with pytest.raises(InputError, match=re.escape(missing)):
        Registry(tmp_path / "registry").promote("taxonomy", folder, METRICS, "x")
    assert not (tmp_path / "registry").exists()


def test_what_cannot_be_stored_is_refused(tmp_path, model):
    registry = Registry(tmp_path / "registry")
    folder = model("m")
    with pytest.raises(InputError, match="is not a model for 'attributes'"):
        registry.promote("attributes", folder, METRICS, "x")
    with pytest.raises(InputError, match=r"version '\.\./up'"):
        registry.promote("taxonomy", folder, METRICS, "x", version="../up")
    with pytest.raises(InputError, match=r"task '\.\./up'"):
        registry.champion("../up")
    with pytest.raises(InputError, match=r"as 'card\.md'"):
        registry.promote("taxonomy", folder, METRICS, "x", extra={"card.md": tmp_path})
    with pytest.raises(InputError, match="as 'drift'"):
        registry.promote("taxonomy", folder, METRICS, "x", extra={"drift": tmp_path / "nowhere"})
    registry.promote("taxonomy", folder, METRICS, "x", version="v1")
    with pytest.raises(InputError, match="exists already"):
        registry.promote("taxonomy", folder, METRICS, "x", version="v1")


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": 5}, {"metrics": {"top1": "high"}}, {"version": 5}, {"version": "../up"}, {"reason": None},
        {"promoted_at": "soon"}, {"promoted_at": "2026-01-01"}, {"previous": ["v0"]}, {"retired": 5},
        {"retired": ["../../up"]}, {"retired": ["v1"]}, {"more": 1},
    ],
)  # fmt: skip
def test_a_champion_that_is_none_is_refused(tmp_path, model, change):
    registry = Registry(tmp_path / "registry")
    registry.promote("taxonomy", model("m"), METRICS, "x", version="v1")
    path = tmp_path / "registry/taxonomy/champion.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    for ask in (registry.champion, lambda task: registry.prune(task, 1), lambda task: registry.rollback(task, "x")):
        with pytest.raises(InputError, match=r"champion\.json|version '|\.\./up"):
            ask("taxonomy")
    assert registry.versions("taxonomy") == ["v1"]


@pytest.mark.parametrize(
    "line", ["[]", "{}", "5", "[" * 99_999, '{"at": 5, "decision": "x", "reason": "x", "metrics": {}}']
)
def test_a_history_that_is_none_is_refused(tmp_path, line):
    (tmp_path / "taxonomy").mkdir()
    (tmp_path / "taxonomy/history.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match=r"history\.jsonl: cannot be read"):
        Registry(tmp_path).history("taxonomy")


def test_a_model_changed_after_its_promotion_is_not_fetched(root, model, tmp_path):
    registry = Registry(root)
    champion = registry.promote("taxonomy", model("m"), METRICS, "x")
    files.write_bytes(files.join(champion.model, "model.safetensors"), b"something else")
    with pytest.raises(InputError, match="not the promoted"):
        registry.fetch(champion, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_registry_can_be_mounted_elsewhere(tmp_path, model):
    Registry(tmp_path / "here").promote("taxonomy", model("m"), METRICS, "x")
    (tmp_path / "here").rename(tmp_path / "there")
    registry = Registry(tmp_path / "there")
    assert (registry.fetch(registry.champion("taxonomy"), tmp_path / "copy") / "card.md").is_file()


def test_an_unreadable_pointer_is_an_input_error(tmp_path):
    (tmp_path / "taxonomy").mkdir()
    (tmp_path / "taxonomy" / "champion.json").write_text('{"version": 3}')
    with pytest.raises(InputError, match="does not describe a champion"):
        Registry(tmp_path).champion("taxonomy")


def test_a_bucket_that_is_not_there_is_an_input_error(s3_environment):
    with pytest.raises(InputError, match="S3 answered NoSuchBucket"):
        Registry("s3://no-such-bucket-here/x").champion("taxonomy")


def test_links_out_of_a_model_are_neither_stored_nor_fetched(root, model, tmp_path):
    (tmp_path / "secret").write_text("secret")
    registry, folder = Registry(root), model("m")
    (folder / "notes").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="notes: a link that leads out"):
        registry.promote("taxonomy", folder, METRICS, "x")
    assert registry.versions("taxonomy") == []
    (folder / "notes").unlink()
    champion = registry.promote("taxonomy", folder, METRICS, "x")
    if root.startswith("s3://"):
        return
    (Path(champion.model) / "notes").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="notes: a link that leads out"):
        registry.fetch(champion, tmp_path / "copy")


def test_deleting_a_version_follows_no_links(model, tmp_path):
    registry = Registry(tmp_path / "registry")
    home = tmp_path / "home"
    home.mkdir()
    (home / "work").write_text("work")
    for i in range(3):
        champion = registry.promote("taxonomy", model(f"m{i}", weights=bytes([i])), METRICS, "x", version=f"v{i}")
        (Path(champion.model) / "link").symlink_to(home)
    assert registry.prune("taxonomy", 1, now=datetime.now(UTC) + timedelta(days=1)) == ["v0"]
    assert (home / "work").read_text() == "work"
    assert registry.versions("taxonomy") == ["v1", "v2"]
