"""Local runs that are killed at random points and resumed: what is lost, done twice or left behind.

    python benchmarks/tables/faults.py [--work runs/faults] [--kills 20] [--dags retrain authenticate ...]
        [--minutes N] [--seed 0]

Each DAG first runs undisturbed, and once more: what runs in the second run too is what is never reused. Then a run is
started in a process group of its own in a new folder, all of whose processes are killed (SIGKILL) after a time drawn
uniformly over what is left of the undisturbed run's; the same command resumes it, is killed again, and so on, in a
further folder whenever a run came to its end, until the kills are counted. Every folder is brought to its end.

Every run is one line of WORK/results.jsonl; what is there is not run again, so the script may be stopped at any time
(`--minutes` stops it before the next run) and started again. Each time docs/results/faults.md is written from the lines
there are.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image
from safetensors import safe_open

from benchmarks import _markdown as markdown
from vitrine.catalog import read_catalog, write_catalog
from vitrine.registry import Registry
from vitrine.registry.store import RECORD, WEIGHTS, content_hash
from vitrine.steps.gate import evaluate
from vitrine.steps.monitoring import drift_reference
from vitrine.steps.training import train
from vitrine.synth import render_catalog

COLUMNS = {
    "retrain": ["category", "attr:colour"],
    "authenticate": ["view", "verdict", "expert", "user"],
    "represent": ["category"],
    "match": ["category", "domain", "bbox"],
    "monitor": ["category"],
}
SMALL = ("image_size=32", "batch_size=16", "train_epochs=4")
SETTINGS = {
    "retrain": (*SMALL, "min_class_count=5", "student_epochs=4"),
    "authenticate": (*SMALL, "ratios=0.4,0.2,0.4", "shards=2"),
    "represent": (*SMALL, "min_class_count=5"),
    "match": (*SMALL, "pretraining=2", "ratios=0.6,0.2,0.2"),
    "monitor": (),
}
LISTINGS, LISTINGS_OF = 40, {"authenticate": 72}
CHANGING = "seconds_per_1000_images"  # a time that was measured
LATEST = 1800  # seconds a run may take
STARTS = re.compile(r"Executing task '([\w-]+)'")
ENDS = re.compile(r"Task '([\w-]+)' finished with status SUCCESS")
TEMPORARY = re.compile(
    r"\.tmp$|^\.kfp_cache_|^tmp[^.]"
)  # not `tmp.*`, the sources of steps that kfp always leaves in $TMPDIR


def main() -> None:
    """Runs what is missing, then writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/faults"))
    parser.add_argument("--kills", type=int, default=20, help="of each DAG")
    parser.add_argument("--dags", nargs="+", choices=list(COLUMNS), default=list(COLUMNS))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/faults.md"))
    options = parser.parse_args()
    work, until = options.work.absolute(), time.monotonic() + 60 * options.minutes
    work.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes the run along
    results = work / "results.jsonl"
    for dag in options.dags:
        home = Home(work, dag)
        while time.monotonic() < until:
            known = [line for line in read(results) if line["dag"] == dag]
            line = home.next_run(known, options.kills, options.seed)
            if line is None:
                break
            with results.open("a") as handle:
                handle.write(json.dumps(line) + "\n")
            print(json.dumps({key: value for key, value in line.items() if key not in LONG}), flush=True)
    options.out.write_text(page(read(results)))
    print(f"{options.out}: written from {len(read(results))} runs")


class Home:
    """Where one DAG's runs are: its catalog, and folder after folder of runs."""

    def __init__(self, work: Path, dag: str) -> None:
        self.dag, self.home = dag, work / dag
        if not (self.home / "ready").exists():
            shutil.rmtree(self.home, ignore_errors=True)
            prepare(dag, self.home)
            (self.home / "ready").touch()

    def next_run(self, known: Sequence[Mapping[str, Any]], kills: int, seed: int) -> dict[str, Any] | None:
        """Whatever comes next: the undisturbed run, its repetition, a run that is killed, or one that is not; or None.

        Args:
            known: The lines of this DAG so far.
            kills: How many there should be.
            seed: Of the times.
        """
        kinds = Counter(line["kind"] for line in known)
        for kind in ("undisturbed", "repeated"):
            if not kinds[kind]:
                return self.run(kind, "undisturbed")
        undisturbed, repeated = (
            next(line for line in known if line["kind"] == kind) for kind in ("undisturbed", "repeated")
        )
        ended = sum(line["kind"] == "resumed" for line in known)
        here = [line for line in known if line["folder"] == f"killed-{ended}"]
        killed = kinds["killed"]
        if killed >= kills and not here:
            return None
        after = None
        if killed < kills:
            done = set().union(*(line["done"] for line in here))
            left = max(0.1, 1 - len(done) / len({*undisturbed["done"]}))
            after = random.Random(f"{seed} {self.dag} {killed}").uniform(0, left * undisturbed["seconds"])
        return self.run("killed", f"killed-{ended}", after, undisturbed, repeated)

    def run(
        self,
        kind: str,
        name: str,
        after: float | None = None,
        undisturbed: Mapping[str, Any] | None = None,
        repeated: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Runs the DAG in a folder, kills it after some seconds, and says what is there then."""
        folder = self.home / name
        runs = folder / "runs"
        if not folder.exists():
            (folder / "tmp").mkdir(parents=True)
            if (self.home / "registry").exists():
                shutil.copytree(self.home / "registry", runs / "registry")
        logs = set(runs.glob("logs/*.log"))
        started = time.monotonic()
        code, said = started_and_killed(self.command(runs), folder, after)
        line: dict[str, Any] = {"dag": self.dag, "kind": kind, "folder": name, "seconds": time.monotonic() - started}
        new = set(runs.glob("logs/*.log")) - logs
        text = "\n".join(re.sub(r"\x1b\[\d+m", "", log.read_text(errors="replace")) for log in new)
        line |= {"code": code, "after": after, "started": STARTS.findall(text), "done": ENDS.findall(text)}
        line |= {"broken": broken(runs, self.dag), "temporary": temporary(folder)}
        if code is None:
            return line
        line |= {"figures": {} if code else figures(runs, self.dag), "models": models(runs)}
        if kind != "killed" or undisturbed is None or repeated is None:
            assert code == 0, said
            return line
        line["kind"] = "resumed"
        line["equal"] = code == 0 and all(line[key] == undisturbed[key] for key in ("figures", "models"))
        everything = Counter(plain(ENDS.findall(cleaned(runs))))
        never_reused = set(plain(repeated["done"]))
        once = Counter(plain(undisturbed["done"]))
        line["again"] = {
            step: count - once[step]
            for step, count in everything.items()
            if step not in never_reused and count > once[step]
        }
        if code:
            line["said"] = said
        return line

    def command(self, runs: Path) -> list[str]:
        settings = [f"data_catalog={self.home / 'data'}", *SETTINGS[self.dag]]
        command = [sys.executable, "-m", "vitrine.cli", "pipeline", "run", self.dag, "--runs", str(runs)]
        return [*command, *(f"--set={pair}" for pair in settings)]


LONG = ("models", "started", "done", "figures")  # of a line, too much for a terminal


def prepare(dag: str, home: Path) -> None:
    """Renders the DAG's catalog; for `monitor` also a model in use, and darker photos than it learnt from."""
    render_catalog(home / "rendered", listings=LISTINGS_OF.get(dag, LISTINGS))
    rendered = read_catalog(home / "rendered")
    table = rendered.table
    if dag == "authenticate":
        table = table[table["listing"].isin(table.loc[table["view"] == "tag", "listing"])]
    table = table[["image", "listing", "product", *COLUMNS[dag]]].reset_index(drop=True)
    if dag != "monitor":
        write_catalog(rendered.with_table(table), home / "data")
        return
    split = ["train" if i % 3 else "test" for i in range(len(table))]
    write_catalog(rendered.with_table(table.assign(split=split)), home / "parted")
    small = {"epochs": 1, "batch_size": 16, "image_size": 32}
    train("taxonomy", "bcnn", home / "parted", home / "model", str(home / "checkpoints"), small)
    evaluate(home / "model", home / "parted", home / "evaluation")
    drift_reference(home / "model", home / "parted", home / "reference")
    extra = {"drift": home / "reference"}
    Registry(home / "registry").promote("taxonomy", home / "model", {"top1": 0.5}, "Promoted: the first.", extra=extra)
    for image in table["image"]:
        (home / "data" / image).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(rendered.uri(image)) as photo:
            photo.convert("RGB").point(lambda value: value * 0.5).save(home / "data" / image)
    write_catalog(type(rendered)(str(home / "data"), table, "dark-1"), home / "data")


def started_and_killed(command: Sequence[str], folder: Path, after: float | None) -> tuple[int | None, str]:
    """The exit code of a command, None if it was killed with all its processes, and the end of what it printed."""
    own = os.environ | {"OMP_NUM_THREADS": "1", "VITRINE_CACHE": str(folder / "cache"), "TMPDIR": str(folder / "tmp")}
    with (folder / "said.txt").open("a+") as said:
        process = subprocess.Popen(command, env=own, stdout=said, stderr=said, start_new_session=True)
        code: int | None = None
        try:
            code = process.wait(LATEST if after is None else after)
        except subprocess.TimeoutExpired:
            if after is None:
                raise
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return code, (folder / "said.txt").read_text()[-2000:]


def cleaned(runs: Path) -> str:
    """All logs, without colours."""
    texts = [path.read_text(errors="replace") for path in runs.glob("logs/*.log")]
    return re.sub(r"\x1b\[\d+m", "", "\n".join(texts))


def plain(names: Sequence[str]) -> list[str]:
    """Steps by what they do: a DAG's second `evaluate` is `evaluate-2`."""
    return [re.sub(r"-\d+$", "", name) for name in names]


def figures(runs: Path, dag: str) -> dict[str, Any]:
    """What the run came to: the champions' figures, or the monitor's decision."""
    if dag == "monitor":
        look = json.loads((runs / "summaries/monitor/history.jsonl").read_text().splitlines()[-1])
        return {name: look[name] for name in ("drifted", "reason", "furthest", "photos")}
    champions = [Registry(runs / "registry").champion(task.name) for task in sorted(runs.glob("registry/*/"))]
    return {
        best.task: {name: value for name, value in best.metrics.items() if name != CHANGING}
        for best in champions
        if best is not None
    }


def models(runs: Path) -> dict[str, str]:
    """The hash of each champion's weights; its settings say how long the training took too."""
    tasks = [path.name for path in sorted(runs.glob("registry/*/"))]
    champions = [Registry(runs / "registry").champion(task) for task in tasks]
    weights = {best.task: (Path(best.model) / WEIGHTS).read_bytes() for best in champions if best is not None}
    return {task: hashlib.sha256(data).hexdigest() for task, data in weights.items()}


def broken(runs: Path, dag: str) -> list[str]:
    """What looks finished and is not: versions in the registry, steps in the cache, files with their final name."""
    found = []
    for task in sorted(runs.glob("registry/*/")):
        registry = Registry(runs / "registry")
        try:
            best, known = registry.champion(task.name), registry.versions(task.name)
            registry.history(task.name)
            if best is not None and best.version not in known:
                found.append(f"{task.name}: the champion {best.version} is not there")
            for version in known:
                folder = task / "versions" / version
                if content_hash(folder) != json.loads((folder / RECORD).read_text())["content"]:
                    found.append(f"{folder}: not what was promoted")
        except (ValueError, OSError) as error:
            found.append(f"{task}: {error}")
    for entry in sorted(runs.glob("cache/*.json")):
        try:
            found += [
                f"{entry}: {uri} is not there"
                for uri in addresses(json.loads(entry.read_text()))
                if not Path(uri).exists()
            ]
        except ValueError:
            found.append(f"{entry}: half a file")
    for path in sorted(runs.rglob("*")):
        within = path.relative_to(runs).parts
        if path.is_file() and not any(TEMPORARY.search(part) for part in within) and not readable(path):
            found.append(f"{path}: half a file")
    return found


def addresses(value: Any) -> list[str]:
    """The artifacts that an entry of the runner's cache refers to and that were written (figures are in the entry)."""
    if isinstance(value, list):
        return [uri for item in value for uri in addresses(item)]
    if not isinstance(value, dict):
        return []
    own = (
        [value["uri"]] if isinstance(value.get("uri"), str) and "Metrics" not in str(value.get("schema_title")) else []
    )
    return own + [uri for item in value.values() for uri in addresses(item)]


def readable(path: Path) -> bool:
    """Whether a file is whole, as far as its format tells."""
    try:
        if path.suffix == ".json" and path.name != "executor_output.json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            [json.loads(line) for line in path.read_text().splitlines()]
        elif path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".html":
            return "</html>" in path.read_text()[-200:]
        elif path.suffix == ".safetensors":
            with safe_open(path, "numpy") as tensors:
                tensors.keys()
        elif path.suffix == ".pt":
            import torch

            torch.load(path, weights_only=True)
    except Exception:  # a damaged file fails in many ways
        return False
    return True


def temporary(folder: Path) -> dict[str, int]:
    """Temporary files and folders, by the room they are in: how many."""
    found: Counter[str] = Counter()
    for room in ("runs", "cache", "tmp"):
        for path in (folder / room).rglob("*"):
            within = path.relative_to(folder).parts[1:]
            if TEMPORARY.search(within[-1]) and not any(TEMPORARY.search(part) for part in within[:-1]):
                found["/".join([room, *within[:1]]) if room == "runs" else room] += 1
    return dict(found)


def read(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def page(lines: Sequence[Mapping[str, Any]]) -> str:
    """docs/results/faults.md."""
    text = f"""# Killed and resumed

Written by

    python benchmarks/tables/faults.py

A run is killed with all its processes (SIGKILL) after a time drawn uniformly over what is left of an undisturbed run's,
the same command resumes it, is killed again, and so on until a run comes to its end; then in a new folder, until the
kills are counted. Rendered catalogs of {LISTINGS} listings ({LISTINGS_OF["authenticate"]} for `authenticate`), nets of
32 px, 4 epochs, one thread. Machine: {os.cpu_count()} cores, Python {platform.python_version()}, shared with other
work, so the times are upper bounds.

- `equal`: folders whose champions have the weights, bit for bit, and the test figures, all digits, of the undisturbed
  run (for `monitor`: the same decision and distances). Only the time for 1,000 photos is left out.
- `again`: steps that had finished and ran a second time though the runner could have reused them.
- `half`: after a kill or at the end, something under its final name that is not whole: a version in the registry whose
  hash is not the promoted one, a champion that is not there, an entry of the runner's cache without its files, a
  file that cannot be read to its end.
- `left`: temporary files that are still there when the killed run was resumed and came to its end.

"""
    rows = []
    for dag in COLUMNS:
        own = [line for line in lines if line["dag"] == dag]
        ended = [line for line in own if line["kind"] == "resumed"]
        whole = [line for line in own if line["kind"] == "undisturbed"]
        if not whole:
            continue
        again: Counter[str] = sum((Counter(line["again"]) for line in ended), Counter())
        left: Counter[str] = sum((Counter(line["temporary"]) for line in ended), Counter())
        cells = [
            dag,
            f"{whole[0]['seconds']:.0f} s",
            str(sum(line["kind"] == "killed" for line in own)),
            f"{sum(line['code'] == 0 for line in ended)} of {len(ended)}",
            f"{sum(line['equal'] for line in ended)} of {len(ended)}",
            counted(again),
            str(sum(len(line["broken"]) for line in own)),
            counted(left),
        ]
        rows.append(cells)
    text += markdown.table(["DAG", "undisturbed", "kills", "brought to an end", "equal", "again", "half", "left"], rows)
    where = Counter(step for line in lines if line["kind"] == "killed" for step in in_flight(line))
    if where:
        text += f"\nThe kills came upon: {counted(where)}.\n"
    return text


def in_flight(line: Mapping[str, Any]) -> list[str]:
    """The steps that a kill came upon."""
    going = Counter(line["started"]) - Counter(line["done"])
    return plain(list(going.elements())) or ["no step"]


def counted(found: Mapping[str, int]) -> str:
    """`scan 2, clean 1`, or 0."""
    shown = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {count}" for name, count in shown) or "0"


if __name__ == "__main__":
    main()
