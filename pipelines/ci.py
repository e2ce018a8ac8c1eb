"""What CI does with the pipelines: a run for a commit, and what it came to as a comment on the pull request.

    python -m pipelines.ci retrain      submit, wait, comment; exit code 1: the run failed
    python -m pipelines.ci monitor      submit, wait

Everything comes from the environment, as .github/workflows set it: KF_PIPELINES_ENDPOINT and KF_PIPELINES_SA_TOKEN_PATH
(read by kfp), VITRINE_IMAGE (by its digest), VITRINE_CATALOG, VITRINE_REMOTE, VITRINE_REGISTRY, VITRINE_REPORTS,
VITRINE_NAMESPACE, VITRINE_ACCOUNT (the runs' service account), VITRINE_SETTINGS (a YAML mapping of further parameters),
VITRINE_DATA (the commit's .dvc file; data.dvc by default), PULL_REQUEST (its number; empty on a branch: then what
passes the gate is promoted), and GitHub's own GITHUB_REPOSITORY, GITHUB_TOKEN, GITHUB_API_URL.

A pull request's versions are published as another pipeline, which drift never starts: nobody has reviewed them.
"""

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.submit import submit
from vitrine import tasks
from vitrine.errors import InputError
from vitrine.registry import Registry
from vitrine.untrusted import parse_yaml

MARK = "<!-- vitrine -->"  # by which the comment is found again
HOURS = 24.0
TIMES = ("count", "seconds_per_1000_images")  # figures that are no measure of a model
SHOWN = 12  # figures a task


def main(what: str, environment: Mapping[str, str] = os.environ) -> int:
    """One of the above; returns the exit code.

    Raises:
        InputError: if something is missing or cannot be reached.
    """
    given = settings(what, environment)
    overrides = tuple(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in given.items()
    )
    image, namespace = environment.get("VITRINE_IMAGE", ""), environment.get("VITRINE_NAMESPACE", "")
    started, cluster = submit(
        what, image, "", "", "", namespace, "ci", environment.get("VITRINE_ACCOUNT", ""), None, overrides,
        start=True, tell=print, under=f"{what}-pull-requests" if environment.get("PULL_REQUEST") else "",
    )  # fmt: skip
    assert started is not None
    ended = cluster.wait(started, HOURS * 3600, print)
    if what == "retrain" and environment.get("PULL_REQUEST"):
        text = comment(str(given.get("out_registry", "")), started.run_id, started.url, ended=ended)
        post(text, environment)
    return 0 if ended else 1


def settings(what: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """A run's parameters.

    The data are those that `data.dvc` of the commit names. On a pull request nothing is promoted.

    Raises:
        InputError: if VITRINE_SETTINGS is no mapping, or `data.dvc` cannot be read.
    """
    given: dict[str, Any] = {}
    for name in ("data_catalog", "data_remote", "out_registry", "out_reports"):
        if value := environment.get(f"VITRINE_{name.partition('_')[2].upper()}", ""):
            given[name] = value
    try:
        from_environment = parse_yaml(environment.get("VITRINE_SETTINGS", "")) or {}
    except ValueError as error:
        raise InputError(f"VITRINE_SETTINGS: no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(from_environment, dict):
        raise InputError("VITRINE_SETTINGS: one `name: value` a line")
    if what == "retrain":
        if str(given.get("data_catalog", "")).endswith(".dvc"):
            given["data_revision"] = revision(Path(environment.get("VITRINE_DATA", "data.dvc")))
        if environment.get("PULL_REQUEST"):
            given["only_compare"] = True
    return given | from_environment


def revision(data: Path) -> str:
    """DVC's hash in a `.dvc` file.

    Raises:
        InputError: if there is none.
    """
    try:
        (out,) = parse_yaml(data.read_text(encoding="utf-8"))["outs"]
        return str(out["md5"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{data}: names no data ({error})") from error


def comment(registry: str, run_id: str, url: str, *, ended: bool) -> str:
    """Markdown: per task what the gate said, and each figure beside the champion's on the same photos.

    Raises:
        InputError: if the registry cannot be read.
    """
    lines = [MARK, f"### Vitrine: [run]({url}) {'succeeded' if ended else 'failed'}"]
    for task in tasks.names():
        for entry in Registry(registry).history(task):
            if entry.get("run") == run_id:
                lines += ["", f"**{task}**: {_plain(entry['reason'])}", "", *_table(task, entry)]
    if len(lines) == 2:
        lines += ["", "No model reached the gate."]
    return "\n".join(lines) + "\n"


def _table(task: str, entry: Mapping[str, Any]) -> list[str]:
    metrics, against = entry["metrics"], entry.get("against") or {}
    names = [name for name in metrics if name not in TIMES]
    names.sort(
        key=lambda name: (name != tasks.get(task).decides, -abs(metrics[name] - against.get(name, metrics[name])))
    )
    rows = ["| figure | this commit | in use | difference |", "| --- | --- | --- | --- |"]
    for name in names[:SHOWN]:
        there = name in against
        rows.append(
            f"| {_plain(name)} | {metrics[name]:.4f} | {f'{against[name]:.4f}' if there else '-'} | "
            f"{f'{metrics[name] - against[name]:+.4f}' if there else '-'} |"
        )
    return [*rows, *([f"\n{len(names) - SHOWN} more figures moved less."] if len(names) > SHOWN else [])]


def _plain(text: str) -> str:
    """Names come from a catalog: none of their characters is Markdown or HTML."""
    return " ".join(re.sub(r"[\\`*_|<>\[\]@#&]", lambda matched: f"&#{ord(matched[0])};", text).split())


def post(text: str, environment: Mapping[str, str]) -> None:
    """Writes the comment on the pull request, or replaces the one written before.

    Raises:
        InputError: if GitHub cannot be reached or refuses.
    """
    missing = [name for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN") if not environment.get(name)]
    if missing:
        raise InputError(f"{' and '.join(missing)}: not set; there is nowhere to comment")
    root = environment.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
    root = f"{root}/repos/{environment['GITHUB_REPOSITORY']}/issues"
    token, page = environment["GITHUB_TOKEN"], 1
    where = f"{root}/{environment['PULL_REQUEST']}/comments"
    while comments := _github("GET", f"{where}?per_page=100&page={page}", token):
        for other in comments:
            if str(other.get("body", "")).startswith(MARK):
                _github("PATCH", f"{root}/comments/{other['id']}", token, {"body": text})
                return
        page += 1
    _github("POST", where, token, {"body": text})


def _github(method: str, address: str, token: str, body: Mapping[str, str] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        raise InputError(f"{address}: {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{address}: cannot be reached ({error})") from error


if __name__ == "__main__":
    try:
        if sys.argv[1:] not in (["retrain"], ["monitor"]):
            raise InputError("python -m pipelines.ci retrain|monitor")
        sys.exit(main(sys.argv[1]))
    except InputError as failed:
        print(failed, file=sys.stderr)
        sys.exit(2)
