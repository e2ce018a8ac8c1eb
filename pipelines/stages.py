"""What the pods of the DAGs do: several steps of the library each, since a pod costs some 20 s beside its work."""

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.agreed import POD
from pipelines.form import FORM, GALLERY, HOW, TASKS, check, cleaning, default_settings, trainings, whole_settings
from pipelines.model_registry import announcer
from pipelines.placement import Wanted
from pipelines.placement import check as check_place
from pipelines.rollout import roller
from pipelines.trainjob import held_by_step
from vitrine import files, journal
from vitrine.errors import InputError
from vitrine.journal import publish, run_folder
from vitrine.registry import Champion
from vitrine.steps import data, gate, monitoring, planning, preparation, rules, scanning, scoring, start, validation
from vitrine.words import comma_separated

Teller = Callable[[Champion, Sequence[str]], None]  # of a champion, and of versions that were deleted
# Names a file with the last lines of each step that failed, where somebody collects them.
LAST_LINES_OF = "VITRINE_LAST_LINES"
ANEW = "VITRINE_ANEW"  # set where a run is to take nothing over from those before
POINTER = "table.txt"  # in a run's folder: the address of its table
EVALUATIONS = "evaluations"  # below the reports: of each model on the test photos of each table
TABLES = "tables"  # below the reports: the table of each state of the data that a run was started on

# Argo keeps the state of a run in one object of about 1 MB at most, compressed; a round of a loop takes 13 KB of it.
SCAN_PODS = 16
TEACHER_PODS = 12
TYPES_PER_POD = 2  # at least: few types are not to cost a pod each


@dataclass(frozen=True)
class Begun:
    """What a run works with.

    Attributes:
        table: Address of the catalog's table, the same for the same state of the data.
        state: Name of that state.
        shards: Names of the shards that the photos are looked at in, a pod each.
        settings: Checked and whole.
        cleaning: What cleaning and splitting depend on.
        quality: Texts of the rules and the suite that validation goes by.
        trainings: What each training depends on; see `form.trainings`.
        held: GPUs that a training step holds itself; none where other machines train.
    """

    table: str
    state: str
    shards: list[str]
    settings: dict[str, Any]
    cleaning: dict[str, Any]
    quality: dict[str, str]
    trainings: dict[str, dict[str, Any]]
    held: int


def begin(
    pipeline: str,
    catalog: str,
    reports: str,
    run_id: str,
    settings: Mapping[str, Any],
    *,
    revision: str = "",
    remote: str = "",
    period: str = "",
    variant: str = "",
    backbone: str = "",
    epochs: int = 0,
    gpus: int = 0,
    retraining: str = "retrain",
    parameters: Mapping[str, Any] | None = None,
) -> Begun:
    """Checks what was asked for, names the state of the data, and keeps the table of that state for the steps behind.

    Raises:
        InputError: for settings of no use, or a catalog that is none.
    """
    whole = whole_settings(pipeline, settings)
    how = variant, backbone, epochs
    parameters_given = dict(zip(("train_variant", "train_backbone", "train_epochs"), how, strict=True))
    check(
        pipeline,
        {"settings": whole, **parameters_given, "retrain_pipeline": retraining, "retrain_parameters": parameters or {}},
    )
    quality = {key: rules.text_at(whole[key]) for key in ("rules", "suite") if whole.get(key)}
    rules.check_rules(quality)
    if "data_period" in FORM[pipeline]:
        catalog = start.name_period(catalog, period)
    state = data.data_state(catalog, revision)
    table = files.join(files.absolute(reports), f"{TABLES}/{state}")
    run = run_folder(reports, run_id)
    data.keep_table(catalog, revision, remote, table, run, whole.get("packed", 0), ANEW in os.environ)
    files.write_bytes(files.join(run, POINTER), table.encode())
    usual = default_settings(pipeline) | dict(HOW[pipeline])
    start.note_start(run, whole | {key: parameters_given[key] for key in HOW[pipeline]}, usual)
    return Begun(
        table,
        state,
        scanning.shard_names(min(whole.get("shards", 1), SCAN_PODS)),
        whole,
        cleaning(pipeline, whole) | {"rules": quality.get("rules", "")},
        quality,
        {name: given for name, (_, _, given) in trainings(pipeline, whole, *how).items()},
        held_by_step(whole["nodes"], gpus) if "nodes" in whole else 0,
    )


def validate(
    table: str, results: Path, photos: Sequence[Path], reports: str, quality: Mapping[str, str] | None = None
) -> dict[str, float]:
    """What the library's does; its account is also kept beside the table, where the last step of any run finds it."""
    figures = validation.validate(table, results, photos, reports, quality)
    publish(results, table)
    return figures


def summarise(
    reports: str,
    run_id: str,
    state: str,
    error: str,
    title: str,
    due: str,
    of_failed: Callable[[str], Mapping[str, Sequence[str]]] = lambda run_id: {},
) -> str:
    """The page of a run, however it ended; its address.

    What its failed steps said last is read from the file that $VITRINE_LAST_LINES names, where somebody collects it,
    and else asked of `of_failed`.

    Where a run ended before a step handed the account of the data's quality on, it is taken from beside the table.
    """
    run = run_folder(reports, run_id)
    pointer, note = files.join(run, POINTER), "validate.json"
    if files.exists(pointer) and not files.exists(files.join(run, note)):
        table = files.read_bytes(pointer).decode()
        for name in ("validate.html", note):
            if files.exists(files.join(table, name)):
                files.write_bytes(files.join(run, name), files.read_bytes(files.join(table, name)))
    if file := os.environ.get(LAST_LINES_OF, ""):  # there is none where no step failed
        last_lines = files.read_json(Path(file)) if Path(file).is_file() else {}
    else:
        last_lines = of_failed(run_id)
    return journal.summarise(run, state, error, title, due.split(), last_lines)


def clean_and_split(
    table: str, cleaned: Path, parted: Path, by: Mapping[str, Any], photos: Sequence[Path]
) -> dict[str, float]:
    """The cleaned rows, with a split each; how many were kept and dropped, and are in which split.

    Args:
        table: Of the catalog.
        cleaned: New folder.
        parted: New folder.
        by: See `form.cleaning`.
        photos: What scanning wrote.
    """
    counts = clean(table, cleaned, by, photos)
    return counts | preparation.split(cleaned, parted, by["ratios"], by["measured"], GALLERY[by["gallery"]])


def clean(table: str, cleaned: Path, by: Mapping[str, Any], photos: Sequence[Path]) -> dict[str, float]:
    """The cleaned rows; see `clean_and_split`."""
    views = int(by["drop_views_below"])
    near = bool(by["near_duplicates"])
    return preparation.clean(
        table,
        cleaned,
        int(by["min_class_count"]),
        near,
        views,
        photos,
        max_left_out=float(by["max_left_out"]),
        drop_suspects=bool(by["drop_suspects"]),
        rules=by.get("rules", ""),
    )


def plan(
    pipeline: str,
    table: Path,
    results: Path,
    settings: Mapping[str, Any],
    reports: str,
    run_id: str,
    *,
    variant: str = "",
    gpus: int = 0,
    volume: str = "",
) -> tuple[str, list[str], dict[str, float]]:
    """What there is to train, once it is sure to be worth it, and that a node takes it.

    Returns:
        The tasks, such as `attributes+taxonomy`; groups of attribute types, each a JSON list, for a pod each; counts.

    Raises:
        InputError: if the run is strict and a rule broken, there is nothing to learn or to measure, or no node.
    """
    run = run_folder(reports, run_id)
    validation.check_quality(results, bool(settings["strict"]), run)
    groups, counts = [], {}
    if pipeline == "retrain":
        tasks = planning.plan(table, run)
        types = planning.teachable(table)
        groups = type_groups(types, int(settings["types_per_pod"]))
        counts = {"tasks": float(tasks.count("+") + 1), "attribute types": float(len(types))}
    else:
        tasks = TASKS[pipeline]
        options: dict[str, Any] = {"level": int(settings.get("level", 0))}
        options |= {key: settings[key] for key in ("identity", "background") if key in settings}
        counts = planning.examine(tasks, variant, table, run, **options)
    sizes = settings["train_cpu"], settings["train_memory"], settings["gpu"], gpus
    wanted = Wanted(*sizes, settings["pool"], settings["tolerations"], volume)
    check_place(wanted, float(settings["place_minutes"]), run)
    return tasks, groups, counts


def share_photos(checkpoints: str) -> None:
    """Has a pod keep photos on the volume of its checkpoints, where other trainings' pods find them."""
    if os.environ.get(POD):
        os.environ.setdefault("VITRINE_PHOTOS", str(Path(checkpoints).parent / "photos"))


def type_groups(types: Sequence[str], per_pod: int) -> list[str]:
    """Attribute types in groups, of so many (0 = `TYPES_PER_POD`) or of as many as keep within `TEACHER_PODS` pods."""
    size = max(per_pod or TYPES_PER_POD, math.ceil(len(types) / TEACHER_PODS))
    return [json.dumps(types[at : at + size], ensure_ascii=False) for at in range(0, len(types), size)]


def judge(
    task: str,
    model: Path,
    table: Path,
    evaluation: Path,
    decision: Path,
    registry: str,
    reports: str,
    run_id: str,
    settings: Mapping[str, Any],
    max_drop: float,
) -> dict[str, float]:
    """Evaluates a model on the test photos and compares it with the one in use; it takes its place, or does not.

    All in one pod: the photos are fetched and decoded once. A model that was evaluated on the same rows before is not
    evaluated again; and one that is the model in use already is compared by fingerprint.

    Returns:
        The candidate's figures.
    """
    run = run_folder(reports, run_id)
    kept = "" if ANEW in os.environ else files.join(files.absolute(reports), EVALUATIONS)
    figures = gate.evaluate(model, table, evaluation, kept)
    decided = gate.compare(
        task,
        model,
        evaluation,
        table,
        registry,
        decision,
        float(settings["min_gain"]),
        max_drop,
        only_compare=bool(settings.get("only_compare", False)),
        allow_below_baseline=bool(settings["allow_below_baseline"]),
        min_value=float(settings["min_value"].get(task, 0.0)),
        too_few=settings["too_few_to_tell"],
    )
    if decided == "refuse":
        gate.refuse(task, evaluation, decision, registry, run)
        return figures
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference"
        monitoring.drift_reference(model, table, reference)
        keep = int(settings["keep"])
        announce = _all_of(announcer(settings["model_registry"]), roller(settings["serving"]))
        gate.promote(task, model, evaluation, decision, reference, registry, run, keep, announce)
    return figures


def _all_of(*tellers: Teller | None) -> Teller:
    """Tells each; where one cannot, the others are told all the same.

    Raises:
        InputError: saying of each that could not.
    """

    def tell(champion: Champion, deleted: Sequence[str]) -> None:
        wrong = []
        for teller in filter(None, tellers):
            try:
                teller(champion, deleted)
            except InputError as error:
                wrong.append(str(error))
        if wrong:
            raise InputError("; ".join(wrong))

    return tell


def detect_drift(
    table: Path, results: Path, registry: str, task: str, reports: str, run_id: str, out: Path
) -> tuple[str, dict[str, float]]:
    """New photos against what the models in use learnt, after what was found of their quality; see the library's."""
    publish(results, run_folder(reports, run_id))
    return monitoring.detect_drift(table, registry, task, reports, run_id, out)


def score_shard(
    table: str, state: str, scores: str, registry: str, settings: Mapping[str, Any], period: str, shard: str
) -> int:
    """Answers about one shard's photos; how many. See the library's."""
    place = files.absolute(start.name_period(scores, period))
    return scoring.score_shard(comma_separated(settings["tasks"]), table, state, place, registry, shard)


def score(
    table: str,
    state: str,
    scores: str,
    registry: str,
    reports: str,
    run_id: str,
    settings: Mapping[str, Any],
    period: str,
) -> tuple[str, dict[str, float]]:
    """A table of answers for each task; their folder, and figures. See the library's."""
    place = files.absolute(start.name_period(scores, period))
    run = run_folder(reports, run_id)
    return place, scoring.score(comma_separated(settings["tasks"]), table, state, place, registry, run)
