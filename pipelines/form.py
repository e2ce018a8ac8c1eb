"""What a person fills in to start a run: a dozen parameters, and `settings` with everything else.

The form of Kubeflow's UI shows names and defaults only, in the order of the alphabet: so the names carry what they are
of, and are few. Without kfp, which offers a running step less.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines import PIPELINES
from pipelines.agreed import VOLUME_PATH
from vitrine.errors import InputError, did_you_mean, nearest
from vitrine.words import comma_separated

GPU = "nvidia.com/gpu"
CHECKPOINTS = f"{VOLUME_PATH}/checkpoints"

# A node of 4 processors and 16 GiB, the usual one with one T4, has some 3.9 and 12.3 GiB left for pods, and the agents
# of the system take a part of these.
TRAIN_CPU, TRAIN_MEMORY = "3", "10Gi"
STEP_CPU, STEP_MEMORY = "500m", "8Gi"
# What Kubernetes takes for an amount that is not negative.
QUANTITY = re.compile(r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([KMGTPE]i|[numkMGTPE]?|[eE][+-]?[0-9]+)")


@dataclass(frozen=True)
class Setting:
    """One key of `settings`: its default, whose type a value must have, and what it means."""

    default: Any
    about: str


PARAMETERS = {
    "cluster_credentials": "Secret with AWS_ACCESS_KEY_ID and so on; need not exist where pods have a role.",
    "cluster_gpus": "GPUs of each training step, or of each of its nodes; 0 trains on CPUs.",
    "cluster_image": "Container image of every step; published packages name one by its digest.",
    "cluster_volume": "PersistentVolumeClaim that keeps checkpoints.",
    "data_catalog": (
        "Folder, s3:// prefix or .dvc file of the catalog; of monitor and score with %Y, %m, %d, %H of the period."
    ),
    "data_period": "The day (2026-11-25) or hour (2026-11-25T13) to look at, UTC; empty = yesterday.",
    "data_remote": "DVC remote of a .dvc file: a folder or s3://bucket/prefix.",
    "data_revision": "DVC revision to use; empty = whatever is there.",
    "gate_max_drop": "How far a single level's, attribute's or guarded figure may fall.",
    "out_registry": "Folder or s3:// prefix of the model registry.",
    "out_reports": "Folder or s3:// prefix below which each run leaves its summary page and reports.",
    "out_scores": "Folder or s3:// prefix of the tables of answers, with %Y, %m, %d, %H of the period.",
    "retrain_parameters": "Parameters of the pipeline that drift starts, such as data_catalog.",
    "retrain_pipeline": "Pipeline that drift starts.",
    "settings": "Everything else; keys that are left out have their defaults.",
    "train_backbone": "auto (mobilenet_v2 on CPUs, convnext_tiny on a GPU), a torchvision net, or timm:NAME.",
    "train_epochs": "Passes over the training photos (listings); 0 = what suits the start.",
    "train_variant": "Of the method; of retrain: of the categories' net.",
}
TRAINED = (
    *("cluster_credentials", "cluster_gpus", "cluster_image", "cluster_volume"),
    *("data_catalog", "data_remote", "data_revision", "gate_max_drop", "out_registry", "out_reports", "settings"),
    *("train_backbone", "train_epochs", "train_variant"),
)
FORM = {
    **dict.fromkeys(("retrain", "authenticate", "represent", "match"), TRAINED),
    "monitor": (
        *("cluster_credentials", "cluster_image", "data_catalog", "data_period", "data_remote", "data_revision"),
        *("out_registry", "out_reports", "retrain_parameters", "retrain_pipeline", "settings"),
    ),
    "score": (
        *("cluster_credentials", "cluster_image", "data_catalog", "data_period", "data_remote", "data_revision"),
        *("out_registry", "out_reports", "out_scores", "settings"),
    ),
}
TYPES: Mapping[str, type | tuple[type, ...]] = {  # by kfp's names
    "String": str,
    "Integer": int,
    "Double": (int, float),
    "Float": (int, float),
    "Boolean": bool,
    "List": list,
    "Dict": dict,
}
KINDS = {  # of parameters that are no String
    "cluster_gpus": "Integer",
    "gate_max_drop": "Float",
    "retrain_parameters": "Dict",
    "settings": "Dict",
    "train_epochs": "Integer",
}
# Parameters that are folders, prefixes or .dvc files.
ADDRESSES = ("data_catalog", "data_remote", "out_registry", "out_reports", "out_scores")

STEPS = {
    "shards": Setting(1, "Pods that share the photos when these are looked at, 16 at most."),
    "packed": Setting(3, "Of how many states of the data photos on S3 are packed, to be read in sequence; 0 = none."),
    "step_cpu": Setting(STEP_CPU, "Processors that every step between the first and the last asks for."),
    "step_memory": Setting(STEP_MEMORY, "Memory that each of these steps gets at most."),
}
CLEANING = {
    "min_class_count": Setting(20, "Photos a class needs; rarer labels are dropped; 0 = any number."),
    "ratios": Setting("0.7,0.1,0.2", "Shares of train, validation and test photos."),
    "max_left_out": Setting(
        0.05, "Share of the rows that may be unusable (missing photos and the like) before a run fails."
    ),
}
TRAINING = {
    "batch_size": Setting(64, "Photos per step of a training."),
    "image_size": Setting(0, "Pixels of the square the net sees; 0 = 128 on CPUs, 224 on a GPU."),
    "weights": Setting("auto", "auto (published ones), none, or a file, s3:// or https:// address[#sha256=...]."),
    "trunk": Setting("auto", "What is trained beside the heads: auto, frozen, upper (the upper half), tuned, scratch."),
    "learning_rate": Setting(0.0, "AdamW's peak learning rate, of the heads; 0 = what suits the start."),
    "seed": Setting(0, "Of weights, order and augmentation."),
}
QUALITY = {
    "rules": Setting(
        "", "File or s3:// address of settings on top of configs/quality.yaml, for validating and cleaning."
    ),
    "suite": Setting(
        "", "File or s3:// address of a Great Expectations suite that validation holds the catalog to as well."
    ),
    "drop_suspects": Setting(
        False, "Drop rows with a label that the photo contradicts (validation names them; look first)."
    ),
}
PLACES = {
    "strict": Setting(
        False, "Stop before any training when a data-quality rule of severity error is broken; else say so."
    ),
    "min_gain": Setting(0.0, "How much better than the champion a model must be."),
    "min_value": Setting({}, "Least that the deciding figure of a task must be, such as {taxonomy: 0.6}; else 0."),
    "too_few_to_tell": Setting(
        "promote", "promote or refuse: a better model whose gain so few test photos cannot tell from chance."
    ),
    "allow_below_baseline": Setting(
        False,
        "Let a model pass that is worse than the frozen net it started from, or no better than a constant answer.",
    ),
    "keep": Setting(10, "Newest versions that stay, beside the one in use and the one before; 0 = all."),
    "model_registry": Setting("", "Address of a Kubeflow Model Registry that promotions are announced to."),
    "serving": Setting(
        "",
        "What is rolled out anew after a promotion, deployment/NAME or inferenceservice/NAME in the run's namespace; "
        "empty: servers follow the registry by themselves.",
    ),
    "checkpoints": Setting(CHECKPOINTS, "Folder that stopped trainings go on from, on the volume below /mnt/vitrine."),
    "gpu": Setting(GPU, "Resource name of the training steps' GPUs."),
    "nodes": Setting(1, "Machines of each training step; more than one train through Kubeflow Trainer."),
    "pool": Setting({"vitrine/pool": "gpu"}, "Labels of the nodes that train."),
    "tolerations": Setting(
        [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}], "Taints of those nodes that trainings tolerate."
    ),
    "train_cpu": Setting(TRAIN_CPU, "Processors that a training asks for."),
    "train_memory": Setting(TRAIN_MEMORY, "Memory that a training asks for, and gets at most."),
    "place_minutes": Setting(60, "How long trainings may wait for a node before the run fails; 0 = for ever."),
}
OWN: Mapping[str, Mapping[str, Setting]] = {  # of trainings
    "retrain": {
        "gammas": Setting("", "Focal exponents that each teacher tries, such as 0,0.5,1,2,3; empty = 1."),
        "student_epochs": Setting(0, "Passes of the student over the training photos; 0 = what suits the start."),
        "unlabelled": Setting("", "Further catalogs, comma separated, whose photos the student learns from."),
        "corrupted": Setting(0.0, "Share of photos that the student sees blurred, noisy, too dark ..."),
        "prior": Setting(True, "Apply the training class prior to the logits (off: uniform prior)."),
    },
    "authenticate": {
        "lambda": Setting(0.1, "Weight of what undecided listings teach ssa (lambda of Eq. 2)."),
        "accept_counterfeit": Setting(10.0, "Cost of calling a counterfeit listing authentic."),
        "refuse_authentic": Setting(5.0, "Cost of calling an authentic listing counterfeit."),
        "ask": Setting(1.0, "Cost of asking an expert."),
    },
    "represent": {
        "level": Setting(0, "Levels of the category to learn from; 0 = all but the deepest."),
        "lambda": Setting(0.3, "Weight of the instance term (lambda of Eq. 4 and 5)."),
        "temperature": Setting(0.1, "Of the instance softmax."),
        "negatives": Setting(0, "Photos of a super-class that each is compared with; 0 = all."),
    },
    "match": {
        "identity": Setting("", "Column that names the product; empty = product, else item."),
        "background": Setting("", "Labelled catalogs for the softmax, comma separated; empty = the catalog itself."),
        "pretraining": Setting(10, "Passes over the background set before, where weights are none."),
        "pairs": Setting("1:1:4", "Positive to hard negative to background negative pairs."),
        "margin": Setting(0.0, "Of the losses, in units of the features; 0 = from their scale."),
    },
}
SETTINGS: Mapping[str, Mapping[str, Setting]] = {
    "retrain": {
        **STEPS,
        **CLEANING,
        **QUALITY,
        **TRAINING,
        **OWN["retrain"],
        **PLACES,
        "only_compare": Setting(False, "Promote nothing, only say what the gate would decide (for pull requests)."),
        "types_per_pod": Setting(0, "Attribute types a pod trains teachers of; 0 = 2, more where there are over 24."),
    },
    "authenticate": {
        **STEPS,
        "ratios": Setting("0.6,0.1,0.3", "Shares of train, validation and test listings; undecided ones only train."),
        "max_left_out": CLEANING["max_left_out"],
        "drop_views_below": Setting(0, "Photos a listing needs (the paper asks for 6); 0 = any number."),
        **QUALITY,
        **TRAINING,
        **OWN["authenticate"],
        **PLACES,
    },
    "represent": {**STEPS, **CLEANING, **QUALITY, **TRAINING, **OWN["represent"], **PLACES},
    "match": {
        **STEPS,
        **CLEANING,
        "min_class_count": Setting(0, CLEANING["min_class_count"].about),
        **QUALITY,
        **TRAINING,
        **OWN["match"],
        **PLACES,
    },
    "score": {
        "shards": STEPS["shards"],
        "packed": STEPS["packed"],
        "tasks": Setting(
            "attributes,taxonomy", "Whose models in use answer, comma separated; those without are noted."
        ),
        "step_cpu": Setting("3", STEPS["step_cpu"].about),
        "step_memory": STEPS["step_memory"],
    },
    "monitor": {
        **STEPS,
        "packed": Setting(0, STEPS["packed"].about),  # a day's photos are few, and are not to displace a catalog's
        "near_duplicates": Setting(True, "Drop near copies of photos, as retrain does; false for authenticate."),
        "task": Setting("", "Whose model in use; empty = of every task that has one."),
        "endpoint": Setting("http://ml-pipeline.kubeflow:8888", "Address of the Pipelines API; empty = start nothing."),
        "namespace": Setting("", "The profile's namespace; empty = the monitor's own."),
        "experiment": Setting("vitrine", "Experiment of the retraining."),
        "unchanged": Setting(False, "Retrain also on data that the models in use were trained on."),
        "lost_minutes": Setting(60, "Age from which on a run that has no pod any more does not count as going."),
    },
}
assert SETTINGS.keys() == PIPELINES.keys()

# How a pipeline trains unless it is asked otherwise, by the names of its parameters.
VARIANTS = {"retrain": "ssmtl-ca", "authenticate": "ssa", "represent": "base-indi-eff", "match": "robust-softmax"}
BACKBONE, EPOCHS = "auto", 0
HOW: Mapping[str, Mapping[str, Any]] = {
    name: {"train_variant": VARIANTS[name], "train_backbone": BACKBONE, "train_epochs": EPOCHS}
    if name in VARIANTS
    else {}
    for name in PIPELINES
}

TASKS = {"authenticate": "authenticity", "represent": "representation", "match": "matching"}

RENAMED = {  # what parameters were called before -> parameters, and keys of `settings`
    "catalog": "data_catalog",
    "revision": "data_revision",
    "remote": "data_remote",
    "period": "data_period",
    "registry": "out_registry",
    "reports": "out_reports",
    "epochs": "train_epochs",
    "variant": "train_variant",
    "backbone": "train_backbone",
    "max_drop": "gate_max_drop",
    "image": "cluster_image",
    "credentials": "cluster_credentials",
    "gpus": "cluster_gpus",
    "volume": "cluster_volume",
    "retrain": "retrain_pipeline",
    "prototype_lambda": "lambda",
    "instance_lambda": "lambda",
}


def default_settings(pipeline: str) -> dict[str, Any]:
    """Every key of a pipeline's `settings` with its value."""
    return {key: SETTINGS[pipeline][key].default for key in sorted(SETTINGS[pipeline])}


def whole_settings(pipeline: str, given: Mapping[str, Any], where: str = "settings") -> dict[str, Any]:
    """All settings: those given, each of its type, and the others' defaults.

    Kubeflow hands numbers over as 7.0, and what is nested as text.

    Raises:
        InputError: for an unknown key (with the nearest known one) or a value of another type.
    """
    defaults = SETTINGS[pipeline]
    return default_settings(pipeline) | {
        key: of_kind(defaults[near(key, defaults, where)].default, value, f"{where}: {key}")
        for key, value in given.items()
    }


def of_kind(like: Any, value: Any, where: str) -> Any:
    """A value of the type of another.

    Raises:
        InputError: if it is of another.
    """
    if isinstance(like, bool):
        if str(value).lower() in ("true", "false"):
            return str(value).lower() == "true"
    elif isinstance(like, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if number == number and abs(number) != float("inf"):
            if isinstance(like, float):
                return number
            if number.is_integer():
                return int(number)
    elif isinstance(value, type(like)) and not isinstance(value, bool):
        return value
    names = {bool: "boolean", int: "integer", float: "float", str: "string", dict: "dict", list: "list"}
    raise InputError(f"{where}={value}: not of type {names[type(like)]}")


def of_parameter(kind: str, value: Any, where: str) -> Any:
    """A parameter's value, of the type that kfp calls `kind`.

    Kubeflow hands numbers inside objects over as 3.0.

    Raises:
        InputError: if it is of another.
    """
    if kind == "Integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "Boolean"):
        raise InputError(f"{where}: {json.dumps(value, default=str)}: not of type {kind.lower()}")
    return value


def near(key: str, choices: Iterable[str], where: str) -> str:
    """A key, if it is known.

    Raises:
        InputError: else, with the nearest known one, or what is near to its name of before.
    """
    names = list(choices)
    if key not in names:
        before = {old: new for old, new in RENAMED.items() if new in names}
        close = nearest(key, [*names, *before])
        close = before.get(close, close)
        question = f"; did you mean {close}?" if close else ""
        raise InputError(f"{where}: {key}: unknown{question} (known: {', '.join(sorted(names))})")
    return key


GALLERY = {"always": True, "auto": None, "never": False}  # see `split_catalog`


def cleaning(pipeline: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What cleaning and splitting go by.

    For `authenticate`, rare categories and attributes stay: they are not learnt, and an undecided listing may have no
    other label. So do near copies: tags of two listings look alike, and a listing is not to lose its tag for that;
    splitting keeps such listings together. For `monitor`, a rare label may be the news. Shop photos are dealt to splits
    where nothing is searched; for `represent` the catalog decides: see `GALLERY`.
    """
    listings = pipeline == "authenticate"
    return {
        "min_class_count": settings.get("min_class_count", 0),
        "near_duplicates": settings.get("near_duplicates", not listings),
        "drop_views_below": settings.get("drop_views_below", 0),
        "ratios": settings.get("ratios", CLEANING["ratios"].default),
        "max_left_out": settings.get("max_left_out", 1.0),
        "drop_suspects": settings.get("drop_suspects", False),
        "measured": "verdict" if listings else "",
        "gallery": {"match": "always", "represent": "auto"}.get(pipeline, "never"),
    }


def trainings(
    pipeline: str, settings: Mapping[str, Any], variant: str, backbone: str, epochs: int
) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """The task, variant and settings of each training of a pipeline, by the output of `start` that has the settings."""
    if pipeline not in VARIANTS:
        return {}
    common = {"epochs": epochs, "backbone": backbone, **{key: settings[key] for key in TRAINING}}
    extra = {key: settings[key] for key in OWN[pipeline]}
    if pipeline != "retrain":
        return {"training": (TASKS[pipeline], variant, common | extra)}
    student = common | {key: extra[key] for key in ("unlabelled", "corrupted", "prior")}
    return {
        "teacher": ("attributes", "teacher", common | {"gammas": extra["gammas"]}),
        "student": ("attributes", "student", student | {"epochs": extra["student_epochs"]}),
        "training": ("taxonomy", variant, common),
    }


def check(pipeline: str, given: Mapping[str, Any]) -> None:
    """Whether a run with these parameters could be started.

    Args:
        pipeline: Its name.
        given: All parameters of the form, `settings` whole or in part.

    Raises:
        InputError: for an unknown key (with the nearest known one), a value of another type, or one that is no use.
    """
    from vitrine import tasks
    from vitrine.steps import preparation, scanning, training

    if "retrain_pipeline" in FORM[pipeline]:
        _check_retraining(str(given["retrain_pipeline"]), given["retrain_parameters"])
    settings = whole_settings(pipeline, given["settings"])
    how = (given.get("train_variant", ""), given.get("train_backbone", ""), given.get("train_epochs", 0))
    for task, variant, own in trainings(pipeline, settings, *how).values():
        training.check_settings(task, variant, own)
    if "shards" in settings:
        scanning.shard_names(settings["shards"])
    for task in comma_separated(settings.get("tasks", "")):
        near(task, tasks.names(), "settings: tasks")
    if settings.get("task"):
        near(settings["task"], tasks.names(), "settings: task")
    preparation.check_ratios(str(settings.get("ratios", CLEANING["ratios"].default)))
    for key in ("max_left_out", "min_gain"):
        if not 0 <= float(settings.get(key, 0.0)) <= 1:
            raise InputError(f"settings: {key}={settings[key]}: must lie between 0 and 1")
    if not 0 <= float(given.get("gate_max_drop", 0.0)) <= 1:
        raise InputError(f"gate_max_drop={given['gate_max_drop']}: must lie between 0 and 1")
    for key in ("min_class_count", "drop_views_below", "keep", "place_minutes", "types_per_pod", "packed"):
        if settings.get(key, 0) < 0:
            raise InputError(f"settings: {key}={settings[key]}: cannot be negative")
    if given.get("cluster_gpus", 0) < 0:
        raise InputError(f"cluster_gpus={given['cluster_gpus']}: cannot be negative")
    _check_cluster(settings)
    if "min_value" in settings:
        _check_gate(pipeline, settings)


def _check_retraining(pipeline: str, asked: Mapping[str, Any]) -> None:
    """Raises an InputError for what would else be found on the day of drift."""
    where = "retrain_parameters"
    if pipeline not in VARIANTS:
        raise InputError(f"retrain_pipeline={pipeline}: no pipeline that trains; {did_you_mean(pipeline, VARIANTS)}")
    for key, value in asked.items():
        of_parameter(KINDS.get(near(key, FORM[pipeline], where), "String"), value, f"{where}: {key}")
    if asked.get("cluster_volume") == "":  # see `submit`
        raise InputError(f"{where}: cluster_volume names no claim")
    settings = whole_settings(pipeline, asked.get("settings", {}), f"{where}: settings")
    check(pipeline, {**asked, "settings": settings})


def _check_cluster(settings: Mapping[str, Any]) -> None:
    """Raises an InputError for what no cluster takes."""
    if settings.get("nodes", 1) < 1:
        raise InputError(f"settings: nodes={settings['nodes']}: at least 1")
    for key in ("step_cpu", "step_memory", "train_cpu", "train_memory"):
        if settings.get(key) and not QUANTITY.fullmatch(settings[key]):
            raise InputError(f"settings: {key}={settings[key]}: no amount that Kubernetes takes, such as 500m or 8Gi")
    for toleration in settings.get("tolerations", ()):
        if not isinstance(toleration, dict):
            raise InputError(f"settings: tolerations: {json.dumps(toleration)}: not an object with key, effect ...")
    for label, value in settings.get("pool", {}).items():
        if not isinstance(value, str):
            raise InputError(f"settings: pool: {label}={json.dumps(value)}: a label's value is text")
    for key in ("endpoint", "model_registry"):
        if settings.get(key) and not settings[key].startswith(("http://", "https://")):
            raise InputError(f"settings: {key}={settings[key]}: an address begins with http:// or https://")
    if "serving" in settings:
        from pipelines.rollout import check_serving

        check_serving(settings["serving"])


def _check_gate(pipeline: str, settings: Mapping[str, Any]) -> None:
    """Raises an InputError for a least value of a task that is not trained, or is no share, and for unknown words."""
    from vitrine.evaluation.gate import TOO_FEW

    trained = [TASKS[pipeline]] if pipeline in TASKS else ["attributes", "taxonomy"]
    for task, value in settings["min_value"].items():
        near(task, trained, "settings: min_value")
        if not 0 <= of_kind(0.0, value, f"settings: min_value: {task}") <= 1:
            raise InputError(f"settings: min_value: {task}={value}: must lie between 0 and 1")
    if settings["too_few_to_tell"] not in TOO_FEW:
        raise InputError(f"settings: too_few_to_tell={settings['too_few_to_tell']}: {' or '.join(TOO_FEW)}")


def described(pipeline: str, about: str) -> str:
    """What the UI shows of a pipeline: what it does, and what each parameter and each key of `settings` means."""
    keys = [f"- {key}: {SETTINGS[pipeline][key].about}" for key in sorted(SETTINGS[pipeline])]
    named = [f"- {name}: {PARAMETERS[name]}" for name in FORM[pipeline]]
    return "\n".join([about, "", "Parameters:", *named, "", "Keys of settings:", *keys])


def documented(function: Callable[..., None]) -> Callable[..., None]:
    """A pipeline's function with `PARAMETERS` in its docstring, where kfp takes parameters' descriptions from."""
    lines = [f"    {name}: {PARAMETERS[name]}" for name in FORM[function.__name__]]
    function.__doc__ = "\n".join([function.__doc__ or "", "", "Args:", *lines])
    return function
