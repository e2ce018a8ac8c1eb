"""Whole runs of `retrain` on this machine, as a user starts them: finished, repeated, killed, from DVC on S3, failed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from tracked import push
from vitrine_command import environment

from vitrine import __version__
from vitrine.catalog import read_catalog, write_catalog
from vitrine.registry import Registry
from vitrine.synth import render_catalog

pytestmark = pytest.mark.slow

SHELVES, COLOURS = "category", "attr:colour"
LONG = ["train_epochs=6"]  # long enough to be killed in the middle


@dataclass(frozen=True)
class Ended:
    """How a run ended, and where its pages are."""

    code: int
    out: str
    err: str
    runs: Path

    @property
    def summary(self) -> Path:
        return Path(re.search(r"^Summary: (.+)$", self.out, re.M)[1])

    @property
    def log(self) -> str:
        return Path(re.search(r"Log: (.+)$", self.out, re.M)[1]).read_text()


class Home:
    """Catalogs and the `--runs` folders beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        render_catalog(folder / "data", listings=40)
        self.rendered = read_catalog(folder / "data")

    def catalog(self, name: str, *columns: str, **changed: list[str]) -> Path:
        table = self.rendered.table[["image", "listing", "product", *columns]].assign(**changed)
        write_catalog(self.rendered.with_table(table), self.folder / name)
        return self.folder / name

    def pushed(self, remote: str, *columns: str) -> str:
        """A catalog that DVC tracks and pushed, its .dvc file beside it on S3; returns the hash in that file."""
        shutil.copytree(self.folder / "data/images", self.folder / "repo/data/images")
        write_catalog(read_catalog(self.catalog("pushed", *columns)), self.folder / "repo/data")
        version = push(self.folder / "repo", remote)
        bucket, _, prefix = remote.removeprefix("s3://").partition("/")
        boto3.client("s3").upload_file(str(self.folder / "repo/data.dvc"), bucket, f"{prefix}.dvc")
        return version

    def start(self, runs: str, catalog: Path | str, *settings: str) -> subprocess.Popen[str]:
        given = [
            f"data_catalog={catalog}",
            "train_epochs=1",
            "student_epochs=1",
            "image_size=32",
            "batch_size=16",
            "min_class_count=5",
            "allow_below_baseline=true",  # one pass of photos of 32 px
            *settings,
        ]
        command = [sys.executable, "-m", "vitrine.cli", "pipeline", "run", "retrain", "--runs", self.folder / runs]
        return subprocess.Popen(
            [*command, *(f"--set={pair}" for pair in given)],
            cwd=self.folder,
            env=environment(self.folder / "cache"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, runs: str, catalog: Path | str, *settings: str) -> Ended:
        process = self.start(runs, catalog, *settings)
        out, err = process.communicate(timeout=900)
        return Ended(process.returncode, out, err, self.folder / runs)

    def kill_in_training(self, runs: str, catalog: Path, *settings: str) -> bool:
        """SIGKILLs a run and all its processes once a training has kept a checkpoint."""
        process = self.start(runs, catalog, *settings)
        try:
            while process.poll() is None:
                if any((self.folder / runs / "checkpoints").rglob("checkpoint.pt")):
                    return True
                time.sleep(0.02)
            return False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture(scope="module")
def remote(s3_server):
    """A place on S3 for DVC, which this process and those it starts can reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", s3_server)
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        bucket = f"b{uuid.uuid4().hex[:12]}"
        boto3.client("s3").create_bucket(Bucket=bucket)
        yield f"s3://{bucket}/dvc"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Home(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def version(home, remote):
    """Of the catalog that DVC pushed."""
    return home.pushed(remote, SHELVES, COLOURS)


@pytest.fixture(scope="module")
def ended(home, remote, version):
    """All runs, two at a time: each step is a process that first loads its libraries."""
    colours = home.catalog("colours", COLOURS)
    unusable = home.catalog("unusable", SHELVES, verdict=[*["perhaps"] * 20, *[""] * (len(home.rendered) - 20)])
    tracked = f"{remote}.dvc", f"data_remote={remote}"

    def first() -> dict[str, Ended]:
        return {
            "first": home.run("a", *tracked),
            "second": home.run("a", *tracked),
            "failed": home.run("f", unusable, "strict=true"),
        }

    def second() -> dict[str, Ended]:
        assert home.kill_in_training("killed", colours, *LONG), "the training ended before it could be killed"
        return {
            "resumed": home.run("killed", colours, *LONG),
            "unbroken": home.run("unbroken", colours, *LONG),
        }

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.submit(first), pool.submit(second)
        return one.result() | two.result()


def links(summary: Path) -> list[Path]:
    return [summary.parent / address for address in re.findall(r'href="([^"#]+)"', summary.read_text())]


def champion(run: Ended, task: str):
    return Registry(run.runs / "registry").champion(task)


def artifacts(run: Ended) -> list[Path]:
    return [path for path in (run.runs / "artifacts").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("first", ["attributes", "taxonomy"]),
        ("resumed", ["attributes"]),
        ("unbroken", ["attributes"]),
    ],
)
def test_a_run_ends_with_promoted_models_and_a_summary(ended, name, tasks):
    run = ended[name]
    assert run.code == 0, run.out + run.err
    assert run.err == ""
    assert "Promoted: " in run.summary.read_text()
    assert len(links(run.summary)) == 3 + 2 * len(tasks)  # validate, clean, split; evaluation and gate of each task
    assert all(page.is_file() for page in links(run.summary))
    assert sorted(path.name for path in (run.runs / "registry").iterdir()) == tasks
    for task in tasks:
        assert champion(run, task).previous == ""
        model = Path(champion(run, task).model)
        assert (model / "drift" / "reference.json").is_file()
        assert champion(run, task).version in run.summary.read_text()
    assert not any((run.runs / "checkpoints").rglob("*.pt"))


def test_a_person_is_told_what_was_decided(ended):
    lines = ended["first"].out.splitlines()
    assert lines[0] == "> start"
    assert any(line.startswith("  Clean: kept ") for line in lines)
    assert any(line.startswith("  Gate: ") and "Promoted: the first model" in line for line in lines)
    assert not [line for line in lines if "KFP Executor" in line or "INFO" in line]
    assert "KFP Executor" in ended["first"].log


def unnumbered(name):
    """A step as its component is called: kfp numbers the second of one."""
    return re.sub(r"-\d+$", "", name)


def test_the_same_run_again_reuses_every_step_that_may_be_and_promotes_nothing(ended):
    run = ended["second"]
    assert run.code == 0, run.out + run.err
    steps = re.findall(r"^> ([\w-]+)( \(done before\))?$", run.out, re.M)
    done_anew = [name for name, reused in steps if not reused]
    assert Counter(map(unnumbered, done_anew)) == Counter(["start", "plan", "judge", "judge", "report-run"])
    reused = [unnumbered(name) for name, again in steps if again]
    assert Counter(reused) == Counter(["scan", "validate", "clean-and-split", "train", "train", "train"])
    page = run.summary.read_text()
    assert "Nothing promoted; the champions stay" in page
    assert page.count("the candidate is the champion itself") >= 2
    assert run.summary != ended["first"].summary
    for task in ("attributes", "taxonomy"):
        history = Registry(run.runs / "registry").history(task)
        assert [entry["decision"] for entry in history] == ["promoted", "refused"]


def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(ended):
    resumed, unbroken = ended["resumed"], ended["unbroken"]
    assert "goes on from epoch" in resumed.log
    assert "goes on from epoch" not in unbroken.log
    reused = re.findall(r"^> ([\w-]+) \(done before\)$", resumed.out, re.M)
    assert {"scan", "validate", "clean-and-split"} <= set(reused)
    models = [Path(champion(run, "attributes").model) for run in (resumed, unbroken)]
    for name in ("model.safetensors", "metrics.json"):
        assert (models[0] / name).read_bytes() == (models[1] / name).read_bytes(), name
    figures = [dict(champion(run, "attributes").metrics) for run in (resumed, unbroken)]
    for own in figures:
        own.pop("seconds_per_1000_images")
    assert figures[0] == figures[1]


def test_a_failed_run_says_so_and_leaves_nothing_half_written(ended):
    run = ended["failed"]
    assert run.code in (1, 2), run.out + run.err
    assert len(run.err.strip().splitlines()) == 1
    assert "rows cannot be used" in run.err
    page = run.summary.read_text()
    assert "Failed" in page
    assert "Promoted" not in page
    assert not (run.runs / "registry").exists()
    assert {path.parent.name for path in artifacts(run)} >= {"photos", "results"}
    assert not [path for path in run.runs.rglob("*") if path.name.endswith(".tmp")]
    steps = re.findall(r"^> ([\w-]+)$", run.out, re.M)
    assert set(steps[-3:-1]) == {"clean-and-split", "validate"}  # side by side; nothing begins after them
    assert not [name for name in steps if name.startswith("train")]
    assert steps[-1] == "report-run"
    assert "Photos in the catalog".lower() in page.lower()  # what the steps before found
    assert any(path.name == "validate.html" for path in links(run.summary))


def test_the_revision_of_dvc_is_in_everything_a_run_makes(ended, version):
    run = ended["first"]
    own, _again = sorted((run.runs / "artifacts").glob("retrain-*"))
    made = {path.parent.name: json.loads(path.read_text()) for path in own.rglob("executor_output.json")}
    state = made["start"]["parameterValues"]["state"]
    assert state == version  # by which the steps after it are cached
    stamped = {
        step: {name: found["artifacts"][0]["metadata"].get("data_version") for name, found in output.items()}
        for step, output in ((step, output.get("artifacts", {})) for step, output in made.items())
    }
    marked = {
        "scan": ["photos"],
        "validate": ["results"],
        "clean-and-split": ["cleaned", "parted"],
        "train": ["model"],
        "judge": ["evaluation", "decision", "figures", "confusion"],
    }
    assert marked.keys() <= {unnumbered(step) for step in made}
    for step, versions in stamped.items():
        for name in marked.get(unnumbered(step), ()):
            assert versions[name] == version, step
        if unnumbered(step) == "train":
            (model,) = made[step]["artifacts"]["model"]["artifacts"]
            assert model["metadata"]["code_version"] == __version__
    best = champion(run, "taxonomy")
    assert best.data_version == version
    assert f"Data version `{version}`" in (Path(best.model) / "card.md").read_text()
    assert json.loads((Path(best.model) / "config.json").read_text())["data_version"] == version
    for page in (run.summary, *links(run.summary)):
        assert version in page.read_text().partition("</header>")[0], page


def test_the_photos_of_a_revision_are_fetched_once_a_node(ended, home, version):
    photos = home.folder / "cache/data" / version / "images"
    assert len(list(photos.iterdir())) == len(list((home.folder / "data/images").iterdir()))
    assert ended["first"].log.count("objects are not in") == 2  # the table, then the photos


def test_figures_of_a_run_are_fractions(ended):
    for task in ("attributes", "taxonomy"):
        metrics = champion(ended["first"], task).metrics
        assert json.dumps(metrics)
        assert all(
            0 <= value <= 1
            for key, value in metrics.items()
            if key.rpartition("/")[2] not in ("count", "seconds_per_1000_images")
        )
