"""The `retrain` DAG: from the photos of a data revision to promoted (or refused) models."""

from typing import Any

from kfp import dsl

from components import IMAGE
from components.attribute_types import attribute_types
from components.find_tasks import find_tasks
from components.own_gpus import own_gpus
from components.report_run import report_run
from components.train_student import train_student
from components.train_taxonomy import train_taxonomy
from components.train_teacher import train_teacher
from pipelines.back import add_gate
from pipelines.front import add_front
from pipelines.resources import (
    CHECKPOINTS,
    CREDENTIALS,
    GPU,
    KEEP,
    PLACE_MINUTES,
    POOL,
    STEP_CPU,
    STEP_MEMORY,
    TAINTS,
    TRAIN_CPU,
    TRAIN_MEMORY,
    VOLUME,
    never_cached,
    on_gpu,
    place,
)


@dsl.pipeline(
    name="retrain",
    description="Validates, cleans and splits a catalog, trains attributes (MTSS) and categories (ssMTL-CA), "
    "evaluates them on photos they never saw, and promotes what beats the model in use.",
)
def retrain(
    catalog: str = "s3://vitrine/data",
    revision: str = "",
    remote: str = "",
    registry: str = "s3://vitrine/registry",
    reports: str = "s3://vitrine/reports",
    checkpoints: str = CHECKPOINTS,
    epochs: int = 0,
    student_epochs: int = 0,
    batch_size: int = 64,
    image_size: int = 0,
    backbone: str = "auto",
    weights: str = "auto",
    trunk: str = "auto",
    learning_rate: float = 0.0,
    seed: int = 0,
    gammas: str = "",
    unlabelled: str = "",
    corrupted: float = 0.0,
    prior: bool = False,
    variant: str = "ssmtl-ca",
    min_class_count: int = 20,
    shards: int = 1,
    strict: bool = False,
    min_gain: float = 0.0,
    max_drop: float = 0.05,
    allow_below_baseline: bool = False,
    only_compare: bool = False,
    keep: int = KEEP,
    model_registry: str = "",
    image: str = IMAGE,
    credentials: str = CREDENTIALS,
    gpu: str = GPU,
    gpus: int = 1,
    nodes: int = 1,
    pool: dict = POOL,
    tolerations: list = TAINTS,
    volume: str = VOLUME,
    train_cpu: str = TRAIN_CPU,
    train_memory: str = TRAIN_MEMORY,
    step_cpu: str = STEP_CPU,
    step_memory: str = STEP_MEMORY,
    place_minutes: int = PLACE_MINUTES,
) -> None:
    """Retrains attributes and categories.

    Args:
        catalog: Folder, s3:// prefix or .dvc file of the catalog.
        revision: DVC revision to train on; empty = whatever is there.
        remote: DVC remote of a .dvc file: a folder or s3://bucket/prefix.
        registry: Folder or s3:// prefix of the model registry.
        reports: Folder or s3:// prefix below which each run leaves its summary page and reports.
        checkpoints: Folder that stopped trainings go on from, on the volume below /mnt/vitrine.
        epochs: Passes over the training photos, of teachers and of the categories' net; 0 = what suits the start.
        student_epochs: Passes of the student, which learns what all teachers know; 0 = what suits the start.
        batch_size: Photos per step.
        image_size: Pixels of the square the net sees; 0 = 128 on CPUs, 224 on a GPU.
        backbone: auto (mobilenet_v2 on CPUs, convnext_tiny on a GPU), a torchvision net, or timm:NAME.
        weights: auto (published ones), none, or a file, s3:// or https:// address, with #sha256= where it matters.
        trunk: What is trained beside the heads: auto, frozen (nothing), upper (the upper half), tuned (all) or scratch.
        learning_rate: AdamW's peak learning rate, of the heads; 0 = what suits the start.
        seed: Of weights, order and augmentation.
        gammas: Focal exponents that each teacher tries on the validation photos, such as 0,0.5,1,2,3; empty = 1.
        unlabelled: Further catalogs, comma separated, whose photos the student learns from; no labels needed.
        corrupted: Share of photos (0 to below 1) that the student sees blurred, noisy, too dark ... for robustness.
        prior: Answer attributes' labels as often as they come, not as if all came equally often.
        variant: bcnn, sscnn, bcnn-mcr, sscnn-mcr, bmtl-rl, bmtl-ca, ssmtl-rl, ssmtl-ca, modern or modern-mtl.
        min_class_count: Photos a class needs; rarer labels are dropped.
        shards: Pods that share the photos when these are looked at.
        strict: Stop when a data-quality rule of severity error is broken.
        min_gain: How much better than the champion a model must be.
        max_drop: How far a single level's or attribute's figure may fall.
        allow_below_baseline: Let a model pass that is worse than the frozen net it started from.
        only_compare: Promote nothing, only say what the gate would decide (for pull requests).
        keep: Newest versions of a model that stay in the registry, beside the one in use and the one before; 0 = all.
        model_registry: Address of a Kubeflow Model Registry that promoted models are announced to; empty = none.
        image: Container image of every step; published packages name one by its digest.
        credentials: Secret with AWS_ACCESS_KEY_ID and so on; need not exist where pods have a role.
        gpu: Resource name of the training steps' GPUs.
        gpus: GPUs of each training step, or of each of its nodes; 0 trains on CPUs.
        nodes: Machines of each training step; more than one train through Kubeflow Trainer.
        pool: Labels of the nodes that train.
        tolerations: Taints of those nodes that training steps tolerate.
        volume: PersistentVolumeClaim that keeps checkpoints.
        train_cpu: Processors that a training asks for.
        train_memory: Memory that a training asks for, and gets at most.
        step_cpu: Processors that every other step asks for.
        step_memory: Memory that every other step gets at most.
        place_minutes: How long trainings may wait for a node before the run fails, saying why; 0 = for ever.
    """
    common = {
        "checkpoints": checkpoints,
        "epochs": epochs,
        "batch_size": batch_size,
        "image_size": image_size,
        "backbone": backbone,
        "weights": weights,
        "trunk": trunk,
        "learning_rate": learning_rate,
        "seed": seed,
        "nodes": nodes,
        "gpus": gpus,
        "gpu": gpu,
    }
    gate: dict[str, Any] = {
        "registry": registry,
        "reports": reports,
        "min_gain": min_gain,
        "max_drop": max_drop,
        "allow_below_baseline": allow_below_baseline,
        "only_compare": only_compare,
        "keep": keep,
        "model_registry": model_registry,
    }
    farewell = never_cached(
        report_run(reports=reports, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, title="retrain", due="tasks")
    ).set_display_name("Summary")
    with dsl.ExitHandler(farewell, name="run"):
        held = own_gpus(
            nodes=nodes,
            gpus=gpus,
            gpu=gpu,
            cpu=train_cpu,
            memory=train_memory,
            pool=pool,
            tolerations=tolerations,
            volume=volume,
            minutes=place_minutes,
            reports=reports,
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        )
        never_cached(held).set_display_name("Find a node")
        parted = add_front(catalog, revision, remote, strict, min_class_count, shards=shards, reports=reports)
        table = parted.outputs["parted"]
        tasks = never_cached(find_tasks(table=table, reports=reports, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER))
        tasks.set_display_name("Find what can be trained")
        with dsl.If(tasks.output != "taxonomy", name="attributes"):
            types = attribute_types(table=table).set_display_name("List the attribute types")
            with dsl.ParallelFor(types.output, name="teachers") as type:
                teacher = on_gpu(train_teacher(table=table, type=type, gammas=gammas, **common))
            teacher.set_display_name("Train a teacher")
            teachers = dsl.Collected(teacher.outputs["model"])
            own = common | {"epochs": student_epochs, "unlabelled": unlabelled, "corrupted": corrupted, "prior": prior}
            student = on_gpu(train_student(table=table, teachers=teachers, **own)).set_display_name("Train attributes")
            add_gate("attributes", student, parted, **gate)
        with dsl.If(tasks.output != "attributes", name="taxonomy"):
            multitask = on_gpu(train_taxonomy(table=table, variant=variant, **common)).set_display_name(
                "Train categories"
            )
            add_gate("taxonomy", multitask, parted, **gate)
    sizes = train_cpu, train_memory, step_cpu, step_memory
    place(image, credentials, gpu, held, pool, tolerations, volume, *sizes)
