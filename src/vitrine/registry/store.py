"""Model versions and the champion of each task, in a folder or under an S3 prefix.

    <root>/<task>/versions/<version>/   a model folder, whole or not listed; never changed afterwards
    <root>/<task>/champion.json         which version is in use, and why
    <root>/<task>/history.jsonl         every promotion and refusal, one line each

A promotion first copies the model, then replaces `champion.json` in one step. Whatever is interrupted before that step
leaves the old champion in use.
"""

import hashlib
import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vitrine import files
from vitrine.errors import InputError
from vitrine.registry import pointer

WEIGHTS = "model.safetensors"
HEADLINES = {  # per task the figures that stand for a model, the first that it has
    "attributes": ("recall@1",),
    "taxonomy": ("top1",),
    "representation": ("level1/recall@1", "level1/top1"),
    "matching": ("top20", "top1"),
    "authenticity": ("accuracy",),
}
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
        reason: The gate's sentence.
        data_version: The data it was trained on, from its settings.
        previous: The version it replaced, or "".
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
        return self._champion(task)[0]

    def promote(
        self,
        task: str,
        model: Path,
        metrics: Mapping[str, float],
        reason: str,
        version: str | None = None,
        extra: Mapping[str, Path] | None = None,
    ) -> Champion:
        """Stores a model as a new version and makes it the champion.

        Args:
            task: What the model answers.
            model: Local model folder.
            metrics: What the gate saw.
            reason: The gate's sentence.
            version: Name of the version; by default the UTC time and the start of the content hash.
            extra: Local folders to store inside the version under these names, such as the drift reference.

        Raises:
            InputError: if the folder is no model of this task, the version exists, or another champion was promoted in
                the meantime (the gate then compared with the wrong one).
        """
        extra = extra or {}
        config = check_model(model, task)
        content = content_hash(model)
        now = datetime.now(UTC)
        version = _checked(version or f"{now:%Y%m%dT%H%M%S%f}Z-{content[:8]}", "version")
        for name, folder in extra.items():
            if (model / _checked(name, "folder")).exists() or not folder.is_dir():
                raise InputError(f"{folder}: not a folder that can stand beside the model as {name!r}")
        before, tag = self._champion(task)
        target = self._version(task, version)
        if version in self.versions(task):
            raise InputError(f"{target}: this version exists already")
        _store(model, extra, target)
        champion = Champion(
            task=task,
            version=version,
            model=target,
            content=content,
            metrics=_finite(metrics),
            promoted_at=now.isoformat(timespec="seconds"),
            reason=reason,
            data_version=str(config.get("data_version", "")),
            previous=before.version if before else "",
        )
        try:
            pointer.replace(self._file(task, "champion.json"), _json(asdict(champion)), tag)
        except pointer.ChangedError as error:
            raise InputError(
                f"{self._file(task, 'champion.json')}: another champion was promoted while {version} was being stored; "
                "compare with that one"
            ) from error
        self._record(task, {"decision": "promoted", "version": version, "previous": champion.previous}, reason, metrics)
        return champion

    def refuse(self, task: str, reason: str, metrics: Mapping[str, float]) -> None:
        """Records that a candidate was not promoted."""
        self._record(task, {"decision": "refused"}, reason, metrics)

    def history(self, task: str) -> list[dict[str, Any]]:
        """Every decision, oldest first."""
        uri = self._file(task, "history.jsonl")
        data, _ = pointer.read(uri)
        try:
            return [json.loads(line) for line in (data or b"").decode().splitlines()]
        except ValueError as error:
            raise InputError(f"{uri}: cannot be read ({error})") from error

    def versions(self, task: str) -> list[str]:
        """The versions that are stored whole, oldest first."""
        folder = self._file(task, "versions")
        if not files.is_s3(folder):
            return sorted(path.parent.name for path in Path(folder).glob(f"[!.]*/{WEIGHTS}"))
        from botocore.exceptions import BotoCoreError, ClientError

        bucket, _, prefix = folder.removeprefix("s3://").partition("/")
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
            if files.is_s3(champion.model):
                temporary.rmdir()
                files.fetch_folder(champion.model, temporary)
            elif Path(champion.model).is_dir():
                shutil.copytree(champion.model, temporary, dirs_exist_ok=True)
            else:
                raise InputError(f"{champion.model}: no such model folder")
            check_model(temporary, champion.task)
            if (content := content_hash(temporary)) != champion.content:
                raise InputError(f"{champion.model}: holds model {content}, not the promoted {champion.content}")
        return into

    def _champion(self, task: str) -> tuple[Champion | None, str]:
        uri = self._file(task, "champion.json")
        data, tag = pointer.read(uri)
        if data is None:
            return None, tag
        try:
            fields = json.loads(data)
            model = self._version(task, fields["version"])  # the root may be mounted elsewhere than when promoted
            return Champion(**{**fields, "task": task, "model": model}), tag
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{uri}: does not describe a champion ({error})") from error

    def _record(self, task: str, entry: dict[str, str], reason: str, metrics: Mapping[str, float]) -> None:
        uri = self._file(task, "history.jsonl")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"at": at, **entry, "reason": reason, "metrics": _finite(metrics)}, ensure_ascii=False)
        pointer.append(uri, line)

    def _version(self, task: str, version: str) -> str:
        return files.join(self._file(task, "versions"), _checked(version, "version"))

    def _file(self, task: str, name: str) -> str:
        return files.join(files.join(self.root, _checked(task, "task")), name)


def headline(registry: str) -> list[str]:
    """The first figure of each champion: `taxonomy top1 0.912`."""
    found = []
    for task, keys in HEADLINES.items():
        champion = Registry(registry).champion(task)
        figures = [f"{key} {champion.metrics[key]:.3f}" for key in keys if key in champion.metrics] if champion else []
        found += [f"{task} {figures[0]}"] if figures else []
    return found


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
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{model / 'config.json'}: is not JSON ({error})") from error
    if not isinstance(config, dict) or config.get("task", task) != task:
        raise InputError(f"{model}: is not a model for {task!r}")
    return config


def _store(model: Path, extra: Mapping[str, Path], target: str) -> None:
    """Copies everything; on S3 the weights come last, because a version without them is not listed."""
    if not files.is_s3(target):
        with files.new_folder(Path(target)) as temporary:
            shutil.copytree(model, temporary, dirs_exist_ok=True)
            for name, folder in extra.items():
                shutil.copytree(folder, temporary / name)
        return
    for name, folder in extra.items():
        files.copy_folder(folder, files.join(target, name))
    paths = [path for path in sorted(model.rglob("*")) if path.is_file()]
    for path in sorted(paths, key=lambda path: path == model / WEIGHTS):
        files.write_bytes(files.join(target, path.relative_to(model).as_posix()), path.read_bytes())


def _checked(name: str, what: str) -> str:
    if not NAME.fullmatch(name):
        raise InputError(f"{what} {name!r}: letters, digits, '.', '_' and '-' only")
    return name


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without figures that are not numbers: JSON has no NaN."""
    return {key: value for key, value in metrics.items() if math.isfinite(value)}


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
