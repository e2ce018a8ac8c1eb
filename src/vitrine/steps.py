"""What each pipeline step does, on folders: one library call, and a note of what was decided.

Components are these functions with typed artifacts around them; calling them one after the other in a process is the
same pipeline without Kubeflow.
"""

import contextlib
import hashlib
import io
import json
import math
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vitrine import __version__, files, tasks
from vitrine.catalog import Catalog, is_safe_path, learnable, read_catalog, read_version, write_catalog
from vitrine.catalog.table import TABLE_NAMES
from vitrine.errors import InputError
from vitrine.evaluation import EXAMPLES, METRICS, REPORT, SAMPLES
from vitrine.journal import FOLDER, SIGN, Note, publish, run_folder, tell, write_note
from vitrine.launch import Run
from vitrine.registry import Champion
from vitrine.report import percent
from vitrine.tasks.task import Task
from vitrine.untrusted import parse_json
from vitrine.words import counted

LAST = "last.zip"  # of a validation, in `quality` below the reports


def name_period(catalog: str, period: str) -> str:
    """An address with `%Y`, `%m`, `%d` and `%H` filled in: of a day or hour (ISO 8601, UTC), "" for yesterday.

    Raises:
        InputError: if `period` is neither.
    """
    try:
        when = datetime.fromisoformat(period) if period else datetime.now(UTC) - timedelta(days=1)
    except ValueError as error:
        raise InputError(f"period={period}: a day such as 2026-11-25, or an hour such as 2026-11-25T13") from error
    for code in ("%Y", "%m", "%d", "%H"):
        catalog = catalog.replace(code, when.strftime(code))
    return catalog


def data_state(catalog: str, revision: str) -> str:
    """A short name for the state of the data, which decides whether later steps can be reused.

    The hash of the folder where a `.dvc` file tracks the data; otherwise a hash of the table and of what can be seen of
    its photos without reading them (`files.states`), whatever revision is asked for: a folder can change.

    Raises:
        InputError: if there is no readable catalog, or `revision` is no DVC hash.
    """
    if catalog.endswith(".dvc"):
        from vitrine.catalog.fetch import asked_version

        return asked_version(catalog, revision)
    source = read_catalog(catalog, check_rows=False)
    # The rows, not only the version: a derived table keeps the version of the data it was made from.
    digest = hashlib.sha256(f"{source.root} {source.data_version}\n".encode())
    digest.update(source.table.to_csv(index=False).encode())
    photos = {image: source.uri(image) for image in source.table["image"].unique() if is_safe_path(image)}
    seen = files.states(photos.values())
    for image, uri in photos.items():
        digest.update(f"{image} {seen[uri]}\n".encode())
    return digest.hexdigest()[:16]


def _open(table: Path | str, *, check_rows: bool = True) -> Catalog:
    """A step's table, with its photos on this node."""
    from vitrine.catalog.fetch import at_hand

    return at_hand(read_catalog(table, check_rows=check_rows))


def keep_table(
    catalog: str, revision: str, remote: str, address: str, run: str, packed: int = 0, anew: bool = False
) -> None:
    """The catalog of one revision, as a table that says where its photos are: steps fetch those they look at.

    It is kept at an address of its state of the data. So steps that are told this address, a plain parameter, are
    reused for as long as the data are the same, and a catalog that changes meanwhile changes nothing for the run.

    Args:
        catalog: Folder, `s3://` prefix or `.dvc` file of the catalog.
        revision: See `fetch`.
        remote: See `fetch`.
        address: Folder or `s3://` prefix to keep the table in, beside what was said of it the first time.
        run: Folder or `s3://` prefix of the run's pages.
        packed: Of how many states of the data photos that are on S3 may be packed beside their tables; 0 = none are.
        anew: Read the photos of a folder to name its version, even where an earlier run kept the table of this state.
    """
    from vitrine.catalog import packs
    from vitrine.catalog.fetch import fetch

    kept = files.join(address, "fetch.json")
    packed = packed if files.is_s3(address) else 0
    if not packed and not anew and _is_kept(catalog, revision, address, kept):
        note = parse_json(files.read_bytes(kept))
        tell(note["title"], note["decided"])
        files.write_bytes(files.join(run, "fetch.json"), files.read_bytes(kept))
        return
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "table"
        table = fetch(catalog, out, revision, remote, photos=False)
        if packed and (files.is_s3(table.root) or files.is_s3(table.remote)):
            states, _, state = address.rpartition("/")
            packs.prune(states, state, packed)
            write_catalog(replace(table, packs=files.join(address, "photos")), out)
        decided = [f"{counted(len(table), 'row')} of {catalog}, data version {table.data_version}."]
        figures = {"photos in the catalog": f"{len(table):,}"}
        write_note(out, Note("fetch", "Fetch", decided, figures=figures, data_version=table.data_version))
        files.write_bytes(files.join(address, TABLE_NAMES[0]), (out / TABLE_NAMES[0]).read_bytes())
        if not files.exists(kept):  # its time is the first one's: steps that are reused come after it
            files.write_bytes(kept, (out / FOLDER / "fetch.json").read_bytes())
    files.write_bytes(files.join(run, "fetch.json"), files.read_bytes(kept))


def _is_kept(catalog: str, revision: str, address: str, kept: str) -> bool:
    """Whether an earlier run kept the table of this state of a folder, and its version is still what it is called.

    Its photos have the sizes and times they had, as the address says, and need not be read to be hashed.
    """
    if catalog.endswith(".dvc") or not (files.exists(kept) and files.exists(files.join(address, TABLE_NAMES[0]))):
        return False
    from vitrine.catalog.dvc_file import read_dvc_file

    beside = f"{files.absolute(catalog)}.dvc"
    version = read_version(address)
    called = read_dvc_file(beside).version if files.exists(beside) else version
    return version == called and (not revision or revision.removesuffix(".dir") == version.removesuffix(".dir"))


def note_start(run: str, settings: Mapping[str, object], usual: Mapping[str, object]) -> None:
    """Publishes what a run was asked for and where it began, for the head of its page.

    Args:
        run: Folder or `s3://` prefix of the run's pages.
        settings: All of them.
        usual: Their defaults.
    """
    import os
    import platform

    asked = [f"{key}={value}" for key, value in sorted(settings.items()) if usual.get(key) != value]
    cores, system = os.cpu_count() or 1, f"{platform.system()} {platform.machine()}"
    decided = [
        f"Settings other than the defaults: {', '.join(asked) or 'none'}.",
        f"Begun on {platform.node()} ({system}, {counted(cores, 'processor')}), Python {platform.python_version()}, "
        f"Vitrine {__version__}.",
    ]
    with tempfile.TemporaryDirectory() as folder:
        write_note(Path(folder), Note("start", "What was asked for", decided))
        publish(Path(folder), run)


def shard_names(shards: int) -> list[str]:
    """The names of that many shards: 1/4, 2/4 ...

    Raises:
        InputError: if there are none.
    """
    if shards < 1:
        raise InputError(f"shards={shards}: at least 1")
    return [f"{number}/{shards}" for number in range(1, shards + 1)]


def scan(table: Path | str, out: Path, shard: str) -> None:
    """The photo table of one shard; the steps that follow read it instead of the photos."""
    from vitrine.catalog.fetch import pack
    from vitrine.quality.scan import parse_shard, shard_images, write_photo_table

    catalog, part = read_catalog(table, check_rows=False), parse_shard(shard)
    done = write_photo_table(pack(catalog, shard_images(catalog, part), part), out, part)
    print(f"{SIGN} Scan {shard}: {counted(done, 'photo')}.", flush=True)


def text_at(address: str) -> str:
    """The text of a file that a setting names.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return files.read_bytes(files.absolute(address)).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{address}: cannot be read ({getattr(error, 'strerror', None) or 'no text'})") from error


def check_rules(quality: Mapping[str, str]) -> None:
    """Whether validation can go by the texts of `rules` and a `suite`.

    Raises:
        InputError: if not.
    """
    with _as_files(quality) as paths:
        if "rules" in paths:
            from vitrine.quality.settings import load_settings

            load_settings(paths["rules"])
        if "suite" in paths:
            from vitrine.quality.suite import read_suite

            read_suite(paths["suite"])


@contextlib.contextmanager
def _as_files(texts: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """Texts as files of these names, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.yaml" for name in texts}
        for name, path in paths.items():
            path.write_text(texts[name], encoding="utf-8")
        yield paths


def validate(
    table: Path | str,
    out: Path,
    photos: Sequence[Path] = (),
    reports: str = "",
    quality: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """The data-quality report. Failed rules do not fail it: `check_quality` does, cleaning comes next.

    The last validation is kept below `reports`, so that the next one shows what changed since. `quality` has the texts
    of `rules` and a `suite` of one's own.
    """
    from vitrine.quality.validate import validate_catalog

    catalog = _open(table, check_rows=False)
    kept = files.join(files.absolute(reports), "quality") if reports else ""
    with _as_files(quality or {}) as paths, _last_validation(kept) as previous:
        rules, suite = paths.get("rules"), paths.get("suite")
        validation = validate_catalog(catalog, out, rules, suite=suite, previous=previous, photos=photos)
    if kept:
        _keep_validation(out, kept)
    failed = [result for result in validation.results if not result.passed]
    errors = [result for result in failed if result.severity == "error"]
    warnings = [result for result in failed if result.severity == "warning"]
    decided = [
        f"{'passed' if validation.passed else 'failed'}: {counted(len(errors), 'error')}, "
        f"{counted(len(warnings), 'warning')} of {len(validation.results)} rules."
    ]
    decided += [f"{result.title}: {result.count:,}." for result in [*errors, *warnings][:5]]
    tone = "good" if not failed else "warn" if validation.passed else "bad"
    quality = {"data-quality rules broken": f"{len(errors) + len(warnings)} of {len(validation.results)}"}
    note = Note("validate", "Validate", decided, tone, quality)
    write_note(out, note, out / "report.html")
    return {"rows": validation.rows, "errors": len(errors), "warnings": len(warnings)}


@contextlib.contextmanager
def _last_validation(kept: str) -> Iterator[str]:
    """A folder with what `_keep_validation` kept at a place; "" if there is nothing."""
    from vitrine.quality.history import SUMMARY

    packed = files.join(kept, LAST)
    if not kept or not files.exists(packed):
        loose = kept and files.exists(files.join(kept, SUMMARY))  # as version 0.1.0 kept them
        yield kept if loose else ""
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(io.BytesIO(files.read_bytes(packed))) as parts:
                for name in parts.namelist():
                    Path(folder, Path(name).name).write_bytes(parts.read(name))
        except (zipfile.BadZipFile, zlib.error) as error:
            raise InputError(f"{packed}: damaged ({error}); without it the next validation starts anew") from error
        yield folder


def _keep_validation(report: Path, kept: str) -> None:
    """Keeps what the next validation compares with as one file: of three, a kill could leave some of an older one."""
    from vitrine.quality.history import RESULTS, SAMPLE, SUMMARY

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as parts:
        for name in (RESULTS, SAMPLE, SUMMARY):
            parts.write(report / name, name)
    files.write_bytes(files.join(kept, LAST), packed.getvalue())


def check_quality(results: Path, strict: bool, run: str) -> None:
    """Publishes what the steps so far decided, so that a run that stops here or later shows it.

    Raises:
        InputError: if a rule of severity error is broken and the run is `strict`.
    """
    from vitrine.quality.history import RESULTS

    publish(results, run)
    results_read = files.read_json(results / RESULTS)
    if strict and not results_read["passed"]:
        failed = [rule["title"] for rule in results_read["rules"] if rule["severity"] == "error" and not rule["passed"]]
        raise InputError(f"{results_read['data_version'] or 'the catalog'}: rules failed: {'; '.join(failed)}")


def clean(
    table: Path | str,
    out: Path,
    min_class_count: int,
    near_duplicates: bool = True,
    drop_views_below: int = 0,
    photos: Sequence[Path] = (),
    *,
    max_left_out: float = 1.0,
    drop_suspects: bool = False,
    rules: str = "",
) -> dict[str, float]:
    """The cleaned table; every dropped row with its reason beside it. `rules` is the text of such a file."""
    from vitrine.quality.clean import clean_catalog

    catalog = _open(table, check_rows=False)
    with _as_files({"rules": rules} if rules else {}) as paths:
        done = clean_catalog(
            catalog,
            out,
            min_class_count,
            near_duplicates,
            drop_views_below,
            drop_suspects=drop_suspects,
            rules=paths.get("rules"),
            max_left_out=max_left_out,
            photos=photos,
        )
    dropped = [f"{name.replace('_', ' ')} {count:,}" for name, count in done.dropped.items() if count]
    decided = [f"kept {done.kept:,} of {counted(done.before, 'row')}."]
    decided += [f"Dropped: {', '.join(dropped)}."] if dropped else []
    note = Note("clean", "Clean", decided, figures={"photos kept": f"{done.kept:,}"})
    write_note(out, note, out / "report.html")
    return {name: float(value) for name, value in done.counts().items()}


def split(
    table: Path, out: Path, ratios: str = "0.7,0.1,0.2", measured: str = "", gallery: bool | None = None
) -> dict[str, float]:
    """Train, validation and test, with nothing alike on both sides; see `split_catalog`."""
    from vitrine.quality.clean import RARE_LABELS
    from vitrine.quality.ratios import parse_ratios
    from vitrine.quality.split import split_catalog

    counts = split_catalog(_open(table), out, parse_ratios(ratios), measured=measured, gallery=gallery)
    if (table / RARE_LABELS).is_file():
        shutil.copyfile(table / RARE_LABELS, out / RARE_LABELS)  # for the drift reference
    decided = [f"{', '.join(f'{count:,} {name}' for name, count in counts.items())}."]
    write_note(out, Note("split", "Split", decided), out / "report.html", inherit=[table])
    return {name: float(count) for name, count in counts.items()}


def check_ratios(ratios: str) -> None:
    """Whether rows can be dealt by these shares.

    Raises:
        InputError: if not.
    """
    from vitrine.quality.ratios import check_ratios as check
    from vitrine.quality.ratios import parse_ratios

    check(parse_ratios(ratios))


def lineage(made: Path | str) -> dict[str, str]:
    """Which data a table or a model folder (or folders of models) was made with, and a model with which code."""
    for model in (Path(made) / "config.json", *Path(made).glob("*/config.json")):
        if model.is_file():
            config = files.read_json(model)
            return {key: config[key] for key in ("data_version", "code_version")}
    return {"data_version": read_version(made)}


def teachable(table: Path) -> list[str]:
    """The attribute types that a teacher can learn."""
    from vitrine.data.truth import teachable_types

    return teachable_types(read_catalog(table))


def plan(table: Path, run: str) -> str:
    """As `find_tasks`; publishes what the steps so far decided, and which models the run is to come to."""
    allowed = find_tasks(table)
    names = allowed.split("+")
    decided = [f"{' and '.join(tasks.get(name).title for name in names)}."]
    _close(Note("tasks", "What can be trained", decided, due=[_decision(name) for name in names]), table, run)
    return allowed


def _decision(task: str) -> str:
    """The steps one of which says what became of a task's model."""
    return f"promote-{task}|refuse-{task}"


def find_tasks(table: Path) -> str:
    """Names of the tasks that the labels allow, joined by `+`.

    Raises:
        InputError: if none.
    """
    catalog = read_catalog(table)
    names = [name for name in tasks.names() if tasks.get(name).labels_allow(catalog)]
    if not names:
        raise InputError(
            f"{catalog.address}: no attribute type and no category has two labels; there is nothing to train"
        )
    return "+".join(names)


def examine(task: str, variant: str, table: Path, run: str, **settings: object) -> dict[str, float]:
    """What a training has; publishes what the steps so far decided.

    Args:
        task: What to learn.
        variant: How; "" = the task's default.
        table: Folder of the catalog.
        run: Folder or `s3://` prefix of the run's pages.
        settings: Of the training; those that the task does not have are passed over.

    Raises:
        InputError: if there is nothing to learn, or no test photo to measure on.
    """
    from vitrine.settings import parse_settings

    chosen = tasks.get(task)
    kind = chosen.settings(variant or chosen.default)
    given = [f"{name}={value}" for name, value in settings.items() if name in kind.model_fields]
    catalog = learnable(read_catalog(table))
    counts = chosen.examine(catalog, variant or chosen.default, parse_settings(kind, given))
    decided = [", ".join(f"{count:,} {name}" for name, count in counts.items()) + "."]
    due = [_decision(task), *([f"index-{task}"] if chosen.indexed else [])]
    _close(Note("examine", "What there is to learn", decided, due=due), table, run)
    return {name: float(count) for name, count in counts.items()}


def build_index(task: str, table: Path, registry: str, decision: Path, out: Path, run: str) -> int:
    """Indexes the catalog with the model in use, so that new products are found whether or not a new model is.

    Returns:
        How many photos; 0 where there is no model in use, and then `out` is an empty folder.
    """
    from vitrine.registry.store import Registry
    from vitrine.visual_search import make_index

    champion = Registry(registry).champion(task)
    count = 0
    if champion is None:
        out.mkdir(parents=True)
        note = Note(f"index-{task}", "Index", ["no model is in use, so there is no index."], "warn")
    else:
        with tempfile.TemporaryDirectory() as folder:
            count = make_index(Registry(registry).fetch(champion, Path(folder) / "champion"), _open(table), out)
        decided = [f"{counted(count, 'photo')}, embedded by version {champion.version}: `vitrine search {out} PHOTO`."]
        note = Note(f"index-{task}", "Index", decided, figures={"photos in the index": f"{count:,}"})
    _close(note, decision, run)
    return count


def train(
    task: str,
    variant: str,
    table: Path,
    out: Path,
    checkpoints: str,
    settings: Mapping[str, object],
    processes: int = 0,
    nodes: Run | None = None,
) -> dict[str, float]:
    """A model folder, by one process per GPU. What was stopped goes on from the checkpoint of the same training.

    Args:
        task: What to learn.
        variant: How.
        table: Folder of the catalog.
        out: The model folder to make.
        checkpoints: Folder of checkpoints.
        settings: Of the training.
        processes: How many train together; 0 = one per GPU.
        nodes: What trains on several nodes; None = this one alone.

    Returns:
        Figures on the validation photos.
    """
    from vitrine.launch import launch, launch_on_nodes
    from vitrine.train import train as run

    overrides = as_overrides(settings)
    rows = hashlib.sha256((table / "catalog.parquet").read_bytes()).hexdigest()
    key = hashlib.sha256(f"{__version__} {task} {variant} {rows} {sorted(overrides)}".encode()).hexdigest()[:16]
    folder = Path(checkpoints) / key
    if nodes:  # they fetch the photos, this step only watches
        launch_on_nodes(nodes, task, variant, table, out, overrides, folder)
    else:
        catalog, processes = _open(table), processes or _gpus()
        if processes > 1:
            launch(processes, task, variant, table, out, overrides, folder)
        else:
            run(task, variant, catalog, out, overrides, resume=True, checkpoints=folder)
    with contextlib.suppress(OSError):
        folder.rmdir()
    metrics: dict[str, float] = files.read_json(out / "metrics.json")
    shown = {name: value for name, value in metrics.items() if not name.endswith("/count")}
    figures = [f"{name.removeprefix('validation/')} {value:.3f}" for name, value in shown.items()]
    print(f"{SIGN} Train {variant}: {', '.join(figures) or 'no validation photo'} (validation).", flush=True)
    return metrics


def check_settings(task: str, variant: str, settings: Mapping[str, object]) -> None:
    """Whether a training would take these settings, before anything of it starts.

    Raises:
        InputError: if not.
    """
    from vitrine.settings import parse_settings
    from vitrine.tasks.task import check_variant

    chosen = tasks.get(task)
    parse_settings(chosen.settings(check_variant(chosen, variant)), as_overrides(settings))


def train_models(
    task: str,
    variant: str,
    table: Path,
    out: Path,
    checkpoints: str,
    settings: Mapping[str, object],
    *,
    types: Sequence[str] = (),
    teachers: Sequence[Path] = (),
    nodes: Run | None = None,
) -> dict[str, float]:
    """What one training step of a pipeline trains: a model, or the teachers of several types, one after the other.

    A teacher that is finished is kept beside the checkpoints until all are, so that a step that was stopped does not
    train it again.

    Args:
        task: See `train`.
        variant: See `train`.
        table: See `train`.
        out: The model folder to make; of teachers a folder of model folders, in the order of `types`.
        checkpoints: See `train`.
        settings: See `train`; numbers and booleans may be text.
        types: Of the teachers; empty = no teachers are asked for.
        teachers: Folders of teachers' model folders, for a student.
        nodes: See `train`.

    Returns:
        Figures on the validation photos.
    """
    if not types:
        given = ",".join(str(model) for group in teachers for model in sorted(group.iterdir()))
        whole = {**settings, **({"teachers": given} if teachers else {})}
        return train(task, variant, table, out, checkpoints, whole, nodes=nodes)
    rows = hashlib.sha256((table / TABLE_NAMES[0]).read_bytes()).hexdigest()
    text = f"{__version__} {task} {variant} {rows} {list(types)} {sorted(as_overrides(settings))}"
    finished = Path(checkpoints) / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}-finished"
    figures: dict[str, float] = {}
    for number, name in enumerate(types):
        kept = finished / f"{number:03}"
        if not (kept / "metrics.json").is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            train(task, variant, table, kept, checkpoints, {**settings, "type": name}, nodes=nodes)
        figures |= files.read_json(kept / "metrics.json")
    shutil.copytree(finished, out, dirs_exist_ok=True)
    shutil.rmtree(finished, ignore_errors=True)
    return figures


def as_overrides(settings: Mapping[str, object]) -> list[str]:
    """Settings as `key=value`: whole numbers without a fraction, which Kubeflow hands over as 7.0."""
    plain = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in settings.items()}
    return [f"{name}={value}" for name, value in plain.items()]


def _gpus() -> int:
    import torch

    return max(1, torch.cuda.device_count())


def evaluate(model: Path, table: Path, out: Path, kept: str = "") -> dict[str, float]:
    """Figures and a page of a model on the test photos.

    Args:
        model: The model folder.
        table: Folder of the catalog.
        out: The new folder.
        kept: Folder or `s3://` prefix where evaluations are kept by the model, the rows (which name their photos by
            content) and the code that they are of: the same is not measured twice. "" = measure, and keep nothing.
    """
    from vitrine.registry.store import content_hash

    place = ""
    if kept:
        rows = hashlib.sha256((table / TABLE_NAMES[0]).read_bytes()).hexdigest()
        asked = f"{__version__} {content_hash(model)} {rows}"
        place = files.join(kept, hashlib.sha256(asked.encode()).hexdigest()[:16])
    if place and files.exists(files.join(place, SAMPLES)):  # what `copy_folder` writes last, or with all others
        files.fetch_folder(place, out)
        found: dict[str, float] = files.read_json(out / METRICS)
        return found
    from vitrine.evaluate import evaluate as run

    figures = run(model, _open(table), out)
    if place:
        with contextlib.suppress(InputError):  # another run kept the same meanwhile
            files.copy_folder(out, place)
    return figures


def compare(
    task: str,
    model: Path,
    evaluation: Path,
    table: Path,
    registry: str,
    out: Path,
    min_gain: float,
    max_drop: float,
    only_compare: bool = False,
    allow_below_baseline: bool = False,
    min_value: float = 0.0,
    too_few: str = "promote",
) -> str:
    """`promote` or `refuse`: the candidate against the champion on the same test photos.

    With `only_compare` the answer is always `refuse`, and the reason says what it would have been.
    """
    from vitrine.model import CURVES
    from vitrine.registry.challenge import challenge
    from vitrine.registry.store import Registry

    asked = model, evaluation, _open(table), Registry(registry), out
    decision = challenge(
        *asked,
        min_gain=min_gain,
        max_drop=max_drop,
        floor=min_value,
        too_few=too_few,
        only_compare=only_compare,
        allow_below_baseline=allow_below_baseline,
    )
    first = decision.comparisons[0] if decision.comparisons else None
    figures = {f"{task}: {first.key}": f"{first.candidate:.3f}"} if first and first.candidate is not None else {}
    photos = files.read_json(evaluation / EXAMPLES)
    measured = Note(
        f"evaluate-{task}",
        f"Evaluate: {tasks.get(task).title}",
        _headlines(tasks.get(task), evaluation),
        figures=figures,
        photos=photos,
        curves=files.read_json(model / "config.json").get(CURVES, {}),
    )
    write_note(out, measured, evaluation / REPORT, inherit=[table])
    tone = "good" if decision.promote else "warn"
    write_note(
        out, Note(f"gate-{task}", f"Gate: {tasks.get(task).title}", [decision.reason], tone), out / "report.html"
    )
    return "promote" if decision.promote else "refuse"


def drift_reference(model: Path, table: Path, out: Path) -> None:
    """What later photos are compared with: statistics, labels and answers of the model on the training photos.

    The registry keeps it in a folder of the model's own, so the model is found one folder up.
    """
    from vitrine.monitoring.drift import build_reference
    from vitrine.predict import Model
    from vitrine.quality.clean import RARE_LABELS

    loaded = Model.load(model)
    catalog = _open(table).of_split(loaded.task.reference_split)
    rare = files.read_json(table / RARE_LABELS) if (table / RARE_LABELS).is_file() else {}
    build_reference(catalog, out, loaded.predict(catalog), model="..", rare=rare)


def detect_drift(
    table: Path, registry: str, task: str, reports: str, run_id: str, out: Path
) -> tuple[str, dict[str, float]]:
    """New photos against the drift reference of each champion; publishes what the steps so far decided.

    Every look is added to `monitor/history.jsonl` below `reports`.

    Returns:
        `drift` or `no drift`, and figures.

    Raises:
        InputError: if there is no champion with a reference.
    """
    from vitrine.monitoring.watch import watch

    return watch(_open(table), registry, task, reports, run_id, table, out)


def score_shard(names: Sequence[str], table: str, state: str, out: str, registry: str, shard: str) -> int:
    """Asks the models in use about one shard's photos; `score` with the same arguments makes tables of all shards'.

    Args:
        names: See `score`.
        table: See `score`.
        state: See `score`.
        out: See `score`.
        registry: See `score`.
        shard: 2/8 is the second of eight.

    Returns:
        How many answers there are.

    Raises:
        InputError: as `score`.
    """
    from vitrine.quality.scan import parse_shard
    from vitrine.scoring import CatalogPhotos, score_photos

    part, catalog, asked = parse_shard(shard), _open(table, check_rows=False), 0
    photos = CatalogPhotos(catalog)
    for name, version in _scoring_versions(names, catalog, out, registry).items():
        target = files.join(out, f"{name}.parquet")
        if version and not files.exists(target):
            with _version_of(name, version, registry) as model:
                done = score_photos(photos, table, model, target, state=state, version=version, shard=part)
            asked += done.photos
    print(f"{SIGN} Score {shard}: {counted(asked, 'answer')}.", flush=True)
    return asked


def score(names: Sequence[str], table: str, state: str, out: str, registry: str, run: str) -> dict[str, float]:
    """What the models in use say about every photo of a catalog: `<task>.parquet` in `out`, and what it was made with.

    A table that is there stays as it is, and one that was begun is finished, by the version that began it, with what
    `score_shard` found: see `scoring.score_photos`.

    Args:
        names: Whose models; tasks without a model in use are noted and left out.
        table: Address of the catalog's table.
        state: Name of the state of the data.
        out: Folder or `s3://` prefix.
        registry: Folder or `s3://` prefix of the model registry.
        run: Folder or `s3://` prefix of the run's pages.

    Returns:
        Photos, and answers that are lacking.

    Raises:
        InputError: if no task has a model in use, or one of them answers nothing about single photos.
    """
    from vitrine.scoring import CatalogPhotos, score_photos

    catalog = _open(table, check_rows=False)
    photos, decided, lacking = CatalogPhotos(catalog), [], 0
    for name, version in _scoring_versions(names, catalog, out, registry).items():
        target = files.join(out, f"{name}.parquet")
        if not version:
            decided.append(f"{name}: no model is in use, so there is no table.")
        elif files.exists(target):
            decided.append(f"{target} is there already, and stays.")
        else:
            with _version_of(name, version, registry) as model:
                done = score_photos(photos, table, model, target, state=state, version=version)
            lacking += done.unreadable
            resumed = f", {done.resumed:,} of them before this step" if done.resumed else ""
            decided.append(
                f"{target}: {counted(done.photos, 'photo')}{resumed} by version {done.version}; "
                f"{done.unreadable:,} cannot be read."
            )
    figures = {"photos scored": f"{len(photos):,}"} | ({"answers lacking": f"{lacking:,}"} if lacking else {})
    with tempfile.TemporaryDirectory() as folder:
        note = Note("score", "Scores", decided, "warn" if lacking else "good", figures=figures)
        write_note(Path(folder), note)
        publish(Path(folder), run)
    return {"photos": float(len(photos)), "answers lacking": float(lacking)}


def _scoring_versions(names: Sequence[str], catalog: Catalog, out: str, registry: str) -> dict[str, str]:
    """Which version answers for each task, "" where none is in use: as the account beside the table says, which whoever
    comes first writes, so that a promotion meanwhile changes nothing.
    """
    from vitrine.registry import pointer
    from vitrine.registry.store import Registry

    found = {}
    for name in names:
        account = files.join(out, f"{name}.json")
        said, _ = pointer.read(account)
        if said is None and (champion := Registry(registry).champion(name)):
            about = {"task": name, "model": champion.version, "data_version": catalog.data_version}
            said = json.dumps(about | {"photos": len(catalog)}).encode()
            try:
                pointer.replace(account, said, "")
            except pointer.ChangedError:  # another shard's was quicker
                said = files.read_bytes(account)
        found[name] = str(parse_json(said)["model"]) if said else ""
    if not any(found.values()):
        raise InputError(f"{registry}: no model is in use for {' or '.join(names) or 'any task'}")
    return found


@contextlib.contextmanager
def _version_of(task: str, version: str, registry: str) -> Iterator[str]:
    """A folder with a version's model, for as long as the block goes on."""
    from vitrine.registry.store import Registry

    with tempfile.TemporaryDirectory(prefix="vitrine-model-") as folder:
        store = Registry(registry)
        yield str(store.fetch(store.version(task, version), Path(folder) / "model"))


def learns_from(catalog: str, revision: str) -> str:
    """The version of the data that a training on a catalog would learn from; "" where it cannot be read from here."""
    from vitrine.catalog.fetch import asked_version, fetch

    try:
        if catalog.endswith(".dvc"):
            return asked_version(catalog, revision)
        with tempfile.TemporaryDirectory() as folder:
            return fetch(catalog, Path(folder) / "table", revision, photos=False).data_version
    except (InputError, OSError):
        return ""


def request_retraining(
    drift: Path,
    state: str,
    registry: str,
    reports: str,
    run_id: str,
    start: Callable[[], str] | None,
    busy: Callable[[], str],
    failed: Callable[[str], bool] = lambda run: False,
    data: str = "",
    trained: Sequence[str] = (),
) -> str:
    """Starts a retraining that drift asks for, at most one at a time and one for each state of the data.

    Where there is nothing new to learn from, the run's pages hold photos to label instead.

    Args:
        drift: What `detect_drift` wrote.
        state: The state of the data that drifted.
        registry: Folder or `s3://` prefix of the model registry.
        reports: Folder or `s3://` prefix of the runs' pages.
        run_id: The monitor's run.
        start: Starts the run and returns its name; None where there is no cluster.
        busy: Names a retraining that is still going, or "".
        failed: Whether a run ended without success.
        data: Version of the data that the retraining would learn from; "" starts it whatever was learnt.
        trained: The tasks that it trains.

    Returns:
        What became of it.
    """
    from vitrine.monitoring import labelling
    from vitrine.monitoring.retraining import request
    from vitrine.monitoring.watch import DECISION
    from vitrine.registry.store import Registry

    run, decision = run_folder(reports, run_id), files.read_json(drift / DECISION)
    learnt = {best.data_version for task in trained if (best := Registry(registry).champion(task))}
    asked = request(
        registry, state, str(decision["reason"]), run_id, start, busy, failed=failed, data=data, learnt=learnt
    )
    note = Note("retraining", "Retraining", [asked.reason], "good" if asked.started else "warn")
    if not asked.known:
        _close(note, drift, run)
        return asked.reason
    sheet = drift / labelling.LABEL
    files.write_bytes(files.join(run, sheet.name), sheet.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        labelling.page(sheet, str(decision["photos"]), asked.reason).write(page)
        _close(note, drift, run, page)
    return asked.reason


def promote(
    task: str,
    model: Path,
    evaluation: Path,
    decision: Path,
    reference: Path,
    registry: str,
    run: str,
    keep: int = 0,
    announce: Callable[[Champion, Sequence[str]], None] | None = None,
) -> None:
    """The candidate becomes the champion, its drift reference beside it; old versions are deleted.

    Args:
        task: What it answers.
        model: The candidate.
        evaluation: Its evaluation.
        decision: The gate's.
        reference: Its drift reference.
        registry: Folder or `s3://` prefix of the model registry.
        run: Folder or `s3://` prefix of the run's pages.
        keep: Newest versions that stay; 0 = all.
        announce: Tells others of the champion and of deleted versions. If it cannot, the promotion stands.

    Raises:
        InputError: if the champion is no longer the one that the gate compared with, or a model cannot be stored.
    """
    from vitrine.registry.challenge import DECISION
    from vitrine.registry.store import Registry

    decided = files.read_json(decision / DECISION)
    store = Registry(registry)
    current = store.champion(task)
    if (current.version if current else None) != decided["champion_version"]:
        raise InputError(
            f"{registry}: {current.version if current else 'no model'} is the champion of {task} now, but the gate "
            f"compared with {decided['champion_version'] or 'none'}; run again"
        )
    figures = files.read_json(evaluation / METRICS)
    extra, about = {"drift": reference}, _about(decided, run)
    champion = store.promote(task, model, figures, decided["reason"], extra=extra, about=about)
    sentences, tone = [f"is now version {champion.version}, in {store.root}."], "good"
    gone: list[str] = []
    try:
        gone = store.prune(task, keep)
        sentences += [f"Deleted {counted(len(gone), 'old version')}: {', '.join(gone)}."] if gone else []
        if announce:
            announce(champion, gone)
    except InputError as error:  # what was promoted is in use all the same
        sentences, tone = [*sentences, f"What comes after could not be done: {error}."], "warn"
    _close(Note(f"promote-{task}", tasks.get(task).title, sentences, tone), decision, run)


def refuse(task: str, evaluation: Path, decision: Path, registry: str, run: str) -> None:
    """The champion stays; the reason is kept."""
    from vitrine.registry.challenge import DECISION
    from vitrine.registry.store import Registry

    decided = files.read_json(decision / DECISION)
    figures = files.read_json(evaluation / METRICS)
    Registry(registry).refuse(task, str(decided["reason"]), figures, _about(decided, run))
    _close(Note(f"refuse-{task}", tasks.get(task).title, ["was refused; the champion stays."], "warn"), decision, run)


def _about(decided: Mapping[str, Any], run: str) -> dict[str, Any]:
    """What the history keeps of a gate: the run, and the champion's figures on the same photos."""
    against = {name: value for name, value in (decided["champion"] or {}).items() if math.isfinite(value)}
    return {"run": run.rstrip("/").rpartition("/")[2], "against": against}


def _close(note: Note, decision: Path, run: str, page: Path | None = None) -> None:
    """Publishes a branch's whole journal, this last note included, to the run's folder."""
    with tempfile.TemporaryDirectory() as folder:
        write_note(Path(folder), note, page, inherit=[decision])
        publish(Path(folder), run)


def _headlines(task: Task[Any], evaluation: Path) -> Sequence[str]:
    metrics = files.read_json(evaluation / METRICS)
    shown = ", ".join(f"{key} {metrics[key]:.3f}" for key in task.headlines if key in metrics)
    seconds = f"{metrics['seconds_per_1000_images']:.1f} s per 1,000 photos"
    measured = f"{shown} on {metrics['count']:.0f} test {task.counted}, {seconds}."
    if "decided_accuracy" not in metrics:
        return [measured]
    return [
        f"asks about {percent(metrics['asked'])}, right about {percent(metrics['decided_accuracy'])} of the rest.",
        measured,
    ]
