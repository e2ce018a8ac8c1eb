"""Model versions and the champion of each task, in a folder or under an S3 prefix.

    <root>/<task>/versions/<version>/   a model folder, whole or not listed; never changed afterwards
    <root>/<task>/champion.json         which version is in use, and why; which versions are being deleted
    <root>/<task>/history.jsonl         every promotion, rollback and refusal, one line each

A promotion first copies the model, then replaces `champion.json` in one step, by a conditional write. Whatever is
interrupted before that step leaves the old champion in use. Deleting goes through the same file: a version is first
named there as retired, so that of a rollback to it and its deletion, at once, only one succeeds.
"""

import contextlib
import hashlib
import json
import math
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vitrine import files, tasks
from vitrine.errors import InputError
from vitrine.registry import pointer
from vitrine.untrusted import parse_json

WEIGHTS = "model.safetensors"
RECORD = "version.json"  # in a version's folder: what is known of it, as of its champion
NEW = timedelta(hours=1)  # a version that young is never deleted
ATTEMPTS = 20  # of retiring versions while others promote
MODEL_FILES = (WEIGHTS, "config.json", "metrics.json", "card.md")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Champion:
    """The model in use for a task.

    Attributes:
        task: What it answers.
        version: Its folder's name; later versions sort later.
        model: Where the model folder is: a local path or an S3 URI.
        content: Hash of the weights and settings (see `content_hash`).
        metrics: What the gate saw when it was promoted.
        promoted_at: UTC, ISO 8601.
        reason: The gate's sentence, or a person's.
        data_version: The data it was trained on, from its settings.
        previous: The version that a rollback goes to, or "".
    """

    task: str
    version: str
    model: str
    content: str
    metrics: Mapping[str, float]
    promoted_at: str
    reason: str
    data_version: str = ""
    previous: str = ""


class Registry:
    """Reads and writes the versions of models under one root, a folder or `s3://` prefix that need not exist yet."""

    def __init__(self, root: str | Path) -> None:
        self.root = files.absolute(root)

    def champion(self, task: str) -> Champion | None:
        """The model in use, or None before the first promotion.

        Raises:
            InputError: if `champion.json` cannot be read.
        """
        return self._state(task).champion

    def promote(
        self,
        task: str,
        model: Path,
        metrics: Mapping[str, float],
        reason: str,
        version: str | None = None,
        extra: Mapping[str, Path] | None = None,
        about: Mapping[str, Any] | None = None,
        compared_with: str | None = None,
    ) -> Champion:
        """Stores a model as a new version and makes it the champion.

        Args:
            task: What the model answers.
            model: Local model folder.
            metrics: What the gate saw.
            reason: The gate's sentence.
            version: Name of the version; by default the UTC time and the start of the content hash.
            extra: Local folders to store inside the version under these names, such as the drift reference.
            about: What the line of the history says besides.
            compared_with: The version that the gate compared with, "" where there was none; None = no gate did.

        Raises:
            InputError: if the folder is no model of this task, the version exists or was deleted, or another champion
                was promoted since the gate compared, or in the meantime (what was stored stays then, as a version).
        """
        extra = extra or {}
        config = check_model(model, task)
        content = content_hash(model)
        now = datetime.now(UTC)
        version = _checked(version or f"{now:%Y%m%dT%H%M%S%f}Z-{content[:8]}", "version")
        for name, folder in extra.items():
            if (model / _checked(name, "folder")).exists() or not folder.is_dir():
                raise InputError(f"{folder}: not a folder that can stand beside the model as {name!r}")
        state = self._state(task)
        current = state.champion.version if state.champion else ""
        if compared_with is not None and current != compared_with:
            raise InputError(
                f"{self.root}: {current or 'no model'} is the champion of {task} now, but the gate compared with "
                f"{compared_with or 'none'}; run again"
            )
        target = self._version(task, version)
        if version in state.retired:  # whoever deletes it may not have ended
            raise InputError(f"{target}: this version was deleted; give the model another name")
        if version in self.versions(task):
            raise InputError(f"{target}: this version exists already")
        champion = Champion(
            task=task,
            version=version,
            model=target,
            content=content,
            metrics=_finite(metrics),
            promoted_at=now.isoformat(timespec="microseconds"),
            reason=reason,
            data_version=str(config.get("data_version", "")),
            previous=current,
        )
        _store(model, extra, target, champion)
        self._crown(champion, state, "promoted", about)
        return champion

    def bring_back(self, task: str, version: str, reason: str) -> Champion:
        """Makes a stored version the champion, after checking that it is whole.

        Args:
            task: What it answers.
            version: One of `versions`.
            reason: A person's.

        Raises:
            InputError: if there is no such version, it is the champion, it is not what was stored, or another champion
                was promoted in the meantime.
        """
        state = self._state(task)
        self._check_known(task, version, state)
        if state.champion and state.champion.version == version:
            raise InputError(f"{self._file(task, 'champion.json')}: {version} is the champion already")
        before = state.champion.version if state.champion else ""
        champion = replace(self.version(task, version), promoted_at=_now(), reason=reason, previous=before)
        self._check_whole(champion)
        self._crown(champion, state, "promoted")
        return champion

    def rollback(self, task: str, reason: str) -> Champion:
        """Makes the champion before this one the champion again. Another rollback goes to the one before that.

        Raises:
            InputError: if there is none before, it is no longer there or not what was stored, or another champion was
                promoted in the meantime.
        """
        state = self._state(task)
        if state.champion is None or not state.champion.previous:
            now = f"{state.champion.version} is the first" if state.champion else "there is no champion"
            raise InputError(f"{self._file(task, 'champion.json')}: nothing to go back to ({now})")
        version = state.champion.previous
        self._check_known(task, version, state)
        champion = replace(self.version(task, version), promoted_at=_now(), reason=reason)
        self._check_whole(champion)
        self._crown(champion, state, "rolled back")
        return champion

    def prune(self, task: str, keep: int, now: datetime | None = None) -> list[str]:
        """Deletes all but the newest versions.

        The champion, the one a rollback goes to, and whatever was stored within the last hour (a promotion may be at
        work on it) stay in any case. A deletion that was interrupted is taken up again; what promotions that were
        killed had copied goes too.

        Args:
            task: Whose versions.
            keep: How many of the newest stay; 0 = all of them.
            now: For tests.

        Returns:
            What was deleted, oldest first.

        Raises:
            InputError: for a negative number, or if a version cannot be deleted.
        """
        if keep < 0:
            raise InputError(f"keep={keep}: a number of versions, or 0 for all")
        since = (now or datetime.now(UTC)) - NEW
        self._remove_left(task, since)
        for _ in range(ATTEMPTS):
            state = self._state(task)
            if state.champion is None:
                return []
            left = [name for name in state.retired if files.exists(files.join(self._version(task, name), RECORD))]
            kept_versions = [version for version in self.stored(task) if version.version not in left]
            spare = {state.champion.version, state.champion.previous}
            old = kept_versions[:-keep] if keep else []
            doomed = [
                version.version
                for version in old
                if version.version not in spare and datetime.fromisoformat(version.promoted_at) < since
            ]
            if not doomed and not left:
                return []
            try:
                self._write(task, _State(state.champion, (*left, *doomed), state.tag))
            except pointer.ChangedError:
                continue
            for name in (*left, *doomed):
                _delete(self._version(task, name))
            return [*left, *doomed]
        raise InputError(f"{self._file(task, 'champion.json')}: changed {ATTEMPTS} times while versions were retired")

    def refuse(
        self, task: str, reason: str, metrics: Mapping[str, float], about: Mapping[str, Any] | None = None
    ) -> None:
        """Records that a candidate was not promoted; see `promote`."""
        self._note(task, _now(), {"decision": "refused", **(about or {})}, reason, metrics)

    def history(self, task: str) -> list[dict[str, Any]]:
        """Every decision, oldest first."""
        uri = self._file(task, "history.jsonl")
        data, _ = pointer.read(uri)
        by_time: dict[Any, dict[str, Any]] = {}
        try:
            for number, text in enumerate((data or b"").decode().split("\n")):
                if not text:
                    continue
                line = parse_json(text)
                if not all(isinstance(line[name], str) for name in ("at", "decision", "reason")):
                    raise ValueError("a decision without its time or reason")
                _check_figures(line["metrics"])
                if not isinstance(line.get("version", ""), str):
                    raise ValueError("a version that is no name")
                # The next promotion adds a line that it misses; the one it is of may only have been slow.
                key = (line["version"], line["at"]) if "version" in line else number
                if key not in by_time or "replaced" in line:
                    by_time[key] = line
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{uri}: cannot be read ({error})") from error
        return list(by_time.values())

    def version(self, task: str, version: str) -> Champion:
        """What is known of a stored version: what its champion was, when it was first promoted.

        Raises:
            InputError: if it cannot be read.
        """
        found = self._found(task, version)
        if found is None:
            raise InputError(f"{files.join(self._version(task, version), RECORD)}: no such version")
        return found

    def stored(self, task: str) -> list[Champion]:
        """What is known of each version, in the order they were promoted, without those that are deleted meanwhile.

        Raises:
            InputError: if one cannot be read.
        """
        found = (self._found(task, name) for name in self.versions(task))
        return sorted(filter(None, found), key=lambda version: (version.promoted_at, version.version))

    def versions(self, task: str) -> list[str]:
        """The versions that are stored whole, by name, which sorts the oldest first unless they were named by hand."""
        folder = self._file(task, "versions")
        if not files.is_s3(folder):
            return sorted(path.parent.name for path in Path(folder).glob(f"[!.]*/{WEIGHTS}"))
        from botocore.exceptions import BotoCoreError, ClientError

        bucket, prefix = files.split_s3(folder)
        try:
            pages = files.s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
            keys = [item["Key"].removeprefix(f"{prefix}/") for page in pages for item in page.get("Contents", [])]
        except (BotoCoreError, ClientError) as error:
            raise InputError(f"{folder}: cannot be listed ({error})") from error
        return sorted(key.partition("/")[0] for key in keys if key.partition("/")[2] == WEIGHTS)

    def fetch(self, champion: Champion, into: Path) -> Path:
        """Copies a version with everything beside it to a new local folder, and returns that folder.

        Raises:
            InputError: if it is not there, or is not what was promoted.
        """
        with files.new_folder(into) as temporary:
            try:
                if files.is_s3(champion.model):
                    temporary.rmdir()
                    files.fetch_folder(champion.model, temporary)
                elif Path(champion.model).is_dir():
                    files.refuse_links_out(Path(champion.model))
                    shutil.copytree(champion.model, temporary, dirs_exist_ok=True)
                else:
                    raise InputError(f"{champion.model}: no such model folder")
            except (FileNotFoundError, shutil.Error) as error:
                if files.exists(files.join(champion.model, WEIGHTS)):
                    raise
                raise InputError(f"{champion.model}: was deleted while it was being copied") from error
            check_model(temporary, champion.task)
            if (content := content_hash(temporary)) != champion.content:
                raise InputError(f"{champion.model}: holds model {content}, not the promoted {champion.content}")
        return into

    def _crown(
        self, champion: Champion, state: "_State", decision: str, about: Mapping[str, Any] | None = None
    ) -> None:
        """Replaces the champion in one step, and adds the line of it to the history.

        The line of the one before is added too where its promotion was killed before it could.
        """
        task, uri = champion.task, self._file(champion.task, "champion.json")
        try:
            self._write(task, replace(state, champion=champion))
        except pointer.ChangedError as error:
            raise InputError(
                f"{uri}: another champion was promoted while {champion.version} was being stored; compare with that one"
            ) from error
        before = state.champion
        if before and not any(_is_of(line, before) for line in self.history(task)):
            self._record(before, "promoted", {})
        self._record(champion, decision, {**(about or {}), "replaced": before.version if before else ""})

    def _state(self, task: str) -> "_State":
        uri = self._file(task, "champion.json")
        data, tag = pointer.read(uri)
        if data is None:
            return _State(None, (), tag)
        champion = self._parsed(task, data, uri)
        retired = parse_json(data).get("retired", [])
        if not isinstance(retired, list):
            raise InputError(f"{uri}: retired is not a list of versions")
        if champion.version in retired:
            raise InputError(f"{uri}: names the version in use among those to be deleted")
        return _State(champion, tuple(_checked(name, "version") for name in retired), tag)

    def _write(self, task: str, state: "_State") -> None:
        assert state.champion is not None
        retired = {"retired": state.retired} if state.retired else {}
        pointer.replace(self._file(task, "champion.json"), _json(asdict(state.champion) | retired), state.tag)

    def _found(self, task: str, version: str) -> Champion | None:
        uri = files.join(self._version(task, version), RECORD)
        data, _ = pointer.read(uri)
        return None if data is None else self._parsed(task, data, uri)

    def _parsed(self, task: str, data: bytes, uri: str) -> Champion:
        try:
            fields = parse_json(data)
            fields = {key: value for key, value in fields.items() if key != "retired"}
            model = self._version(task, fields["version"])  # the root may be mounted elsewhere than when promoted
            champion = Champion(**{**fields, "task": task, "model": model})
            for name, value in asdict(champion).items():
                if name != "metrics" and not isinstance(value, str):
                    raise ValueError(f"{name} is no text")
            _check_figures(champion.metrics)
            if datetime.fromisoformat(champion.promoted_at).tzinfo is None:
                raise ValueError("promoted_at is in no time zone")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{uri}: does not describe a champion ({error})") from error
        return champion

    def _check_known(self, task: str, version: str, state: "_State") -> None:
        existing = [name for name in self.versions(task) if name not in state.retired]
        if version not in existing:
            raise InputError(
                f"{self._file(task, 'versions')}: has no {version} (it has: {', '.join(existing[-10:]) or 'none'})"
            )

    def _remove_left(self, task: str, since: datetime) -> None:
        """Deletes half-made copies from before; on S3 those have no name that could be told from one in the making."""
        if files.is_s3(self.root):
            return
        for copy in Path(self._file(task, "versions")).glob(".*.tmp"):
            with contextlib.suppress(OSError):  # whose promotion was only slow
                if datetime.fromtimestamp(copy.stat().st_mtime, UTC) < since:
                    shutil.rmtree(copy)

    def _check_whole(self, champion: Champion) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.fetch(champion, Path(folder) / "copy")

    def _record(self, champion: Champion, decision: str, about: Mapping[str, Any]) -> None:
        entry = {"decision": decision, "version": champion.version, "previous": champion.previous, **about}
        self._note(champion.task, champion.promoted_at, entry, champion.reason, champion.metrics)

    def _note(self, task: str, at: str, entry: dict[str, Any], reason: str, metrics: Mapping[str, float]) -> None:
        line = {"at": at, **entry, "reason": reason, "metrics": _finite(metrics)}
        pointer.append(self._file(task, "history.jsonl"), json.dumps(line, ensure_ascii=False))

    def _version(self, task: str, version: str) -> str:
        return files.join(self._file(task, "versions"), _checked(version, "version"))

    def _file(self, task: str, name: str) -> str:
        return files.join(files.join(self.root, _checked(task, "task")), name)


@dataclass(frozen=True)
class _State:
    """What `champion.json` says, and the tag of that state of it."""

    champion: Champion | None
    retired: tuple[str, ...]
    tag: str


def headline(registry: str) -> list[str]:
    """The first figure of each champion: `TASK macro_top1 0.912`."""
    champions = [Registry(registry).champion(task) for task in tasks.names()]
    return [f"{best.task} {figure(best)}" for best in champions if best and figure(best)]


def figure(champion: Champion) -> str:
    """The figure that stands for a model, such as `macro_top1 0.912`; "" if it has none."""
    key = tasks.get(champion.task).decides if champion.task in tasks.names() else ""
    return f"{key} {champion.metrics[key]:.3f}" if key in champion.metrics else ""


def promote_folder(
    registry: Registry, task: str, model: Path, evaluation: Path | None, reference: Path | None, reason: str
) -> Champion:
    """Stores a model folder and makes it the champion without a gate, by its evaluation's figures.

    Raises:
        InputError: if there is no evaluation, or as `Registry.promote` says.
    """
    if evaluation is None:
        raise InputError(f"{model}: name what `vitrine evaluate` wrote about it with --evaluation")
    metrics = files.read_json(evaluation / "metrics.json")
    return registry.promote(task, model, metrics, reason, extra={"drift": reference} if reference else None)


def content_hash(model: Path) -> str:
    """16 hex digits that name a model by its weights and settings: the same for every copy of it."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, "config.json"):
        with (model / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def check_model(model: Path, task: str) -> dict[str, Any]:
    """The settings of a model folder, after checking that it is whole and made for `task`.

    Raises:
        InputError: if it is not.
    """
    if missing := [name for name in MODEL_FILES if not (model / name).is_file()]:
        raise InputError(f"{model}: not a model folder (no {', '.join(missing)})")
    try:
        config = parse_json((model / "config.json").read_bytes())
    except ValueError as error:
        raise InputError(f"{model / 'config.json'}: is not JSON ({error})") from error
    if not isinstance(config, dict) or config.get("task", task) != task:
        raise InputError(f"{model}: is not a model for {task!r}")
    return config


def _store(model: Path, extra: Mapping[str, Path], target: str, champion: Champion) -> None:
    """Copies everything; on S3 the weights come last, because a version without them is not listed."""
    record = _json(asdict(champion))
    for folder in (model, *extra.values()):
        files.refuse_links_out(folder)
    if not files.is_s3(target):
        with files.new_folder(Path(target)) as temporary:
            shutil.copytree(model, temporary, dirs_exist_ok=True)
            for name, folder in extra.items():
                shutil.copytree(folder, temporary / name)
            (temporary / RECORD).write_bytes(record)
        return
    for name, folder in extra.items():
        files.copy_folder(folder, files.join(target, name))
    files.write_bytes(files.join(target, RECORD), record)
    paths = [path for path in sorted(model.rglob("*")) if path.is_file() and path != model / RECORD]
    for path in sorted(paths, key=lambda path: path == model / WEIGHTS):
        files.write_bytes(files.join(target, path.relative_to(model).as_posix()), path.read_bytes())


def _delete(target: str) -> None:
    """Deletes a version: the weights first, by which it is listed, and its record last, by which it is found again.

    Another process may be deleting it too: what is gone is deleted.
    """
    local = not files.is_s3(target)
    try:
        names = [path.name for path in Path(target).iterdir()] if local else files.list_folder(target)
    except FileNotFoundError:
        return
    for name in sorted(names, key=lambda name: (name != WEIGHTS, name == RECORD)):
        if local and Path(target, name).is_dir() and not Path(target, name).is_symlink():
            shutil.rmtree(Path(target, name), ignore_errors=True)  # which follows no links
        else:
            files.delete(files.join(target, name))
    if local:
        shutil.rmtree(target, ignore_errors=True)


def _is_of(line: Mapping[str, Any], champion: Champion) -> bool:
    return bool(line.get("version") == champion.version and line.get("at") == champion.promoted_at)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _check_figures(metrics: Any) -> None:
    if not isinstance(metrics, dict) or not all(isinstance(value, int | float) for value in metrics.values()):
        raise ValueError("metrics are not figures by name")


def _checked(name: Any, what: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(f"{what} {name!r}: letters, digits, '.', '_' and '-' only")
    return name


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without figures that are not numbers: JSON has no NaN."""
    return {key: value for key, value in metrics.items() if math.isfinite(value)}


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
