"""The `authenticate` DAG: from the photos of a data revision to a promoted (or refused) judge of listings."""

from kfp import dsl

from components import IMAGE
from components.count_listings import count_listings
from components.own_gpus import own_gpus
from components.report_run import report_run
from components.train_authenticity import train_authenticity
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
    name="authenticate",
    description="Validates, cleans and splits a catalog of listings, trains a model (SSA) that calls each authentic or "
    "counterfeit or asks an expert, evaluates it on listings it never saw, and promotes it if it beats the one in use.",
)
def authenticate(
    catalog: str = "s3://vitrine/data",
    revision: str = "",
    remote: str = "",
    registry: str = "s3://vitrine/registry",
    reports: str = "s3://vitrine/reports",
    checkpoints: str = CHECKPOINTS,
    variant: str = "ssa",
    epochs: int = 0,
    batch_size: int = 64,
    image_size: int = 0,
    backbone: str = "auto",
    weights: str = "auto",
    trunk: str = "auto",
    learning_rate: float = 0.0,
    seed: int = 0,
    prototype_lambda: float = 0.1,
    accept_counterfeit: float = 10.0,
    refuse_authentic: float = 5.0,
    ask: float = 1.0,
    drop_views_below: int = 0,
    ratios: str = "0.6,0.1,0.3",
    shards: int = 1,
    strict: bool = False,
    min_gain: float = 0.0,
    max_drop: float = 0.05,
    allow_below_baseline: bool = False,
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
    """Trains the judge of listings.

    Args:
        catalog: Folder, s3:// prefix or .dvc file of the catalog.
        revision: DVC revision to train on; empty = whatever is there.
        remote: DVC remote of a .dvc file: a folder or s3://bucket/prefix.
        registry: Folder or s3:// prefix of the model registry.
        reports: Folder or s3:// prefix below which each run leaves its summary page and reports.
        checkpoints: Folder that stopped trainings go on from, on the volume below /mnt/vitrine.
        variant: ssa, ssa-max, ssa-mean, or a system they are compared with.
        epochs: Passes over the training listings; 0 = what suits the start.
        batch_size: Photos per step.
        image_size: Pixels of the square the net sees; 0 = 128 on CPUs, 224 on a GPU.
        backbone: auto (mobilenet_v2 on CPUs, convnext_tiny on a GPU), a torchvision net, or timm:NAME.
        weights: auto (published ones), none, or a file, s3:// or https:// address, with #sha256= where it matters.
        trunk: What is trained beside the heads: auto, frozen (nothing), upper (the upper half), tuned (all) or scratch.
        learning_rate: AdamW's peak learning rate, of the heads; 0 = what suits the start.
        seed: Of weights, order and augmentation.
        prototype_lambda: Weight of what undecided listings teach ssa (lambda of Eq. 2).
        accept_counterfeit: Cost of calling a counterfeit listing authentic.
        refuse_authentic: Cost of calling an authentic listing counterfeit.
        ask: Cost of asking an expert.
        drop_views_below: Photos a listing needs (the paper asks for 6); 0 = any number.
        ratios: Shares of train, validation and test listings; undecided ones are all in train.
        shards: Pods that share the photos when these are looked at.
        strict: Stop when a data-quality rule of severity error is broken.
        min_gain: How much better than the champion's the accuracy must be.
        max_drop: How far precision, recall or F1 may fall.
        allow_below_baseline: Let a model pass that is worse than the frozen net it started from.
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
    farewell = never_cached(
        report_run(reports=reports, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, title="authenticate", due="listings")
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
        # Rare categories and attributes stay: they are not learnt, and an undecided listing may have no other label.
        # So do near copies: tags of two listings look alike, and a listing is not to lose its tag for that. Splitting
        # keeps such listings together.
        parted = add_front(
            catalog,
            revision,
            remote,
            strict,
            min_class_count=0,
            near_duplicates=False,
            drop_views_below=drop_views_below,
            ratios=ratios,
            measured="verdict",
            shards=shards,
            reports=reports,
        )
        table = parted.outputs["parted"]
        counted = never_cached(count_listings(table=table, reports=reports, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER))
        counted.set_display_name("Count the listings")
        trained = on_gpu(
            train_authenticity(
                table=table,
                checkpoints=checkpoints,
                variant=variant,
                epochs=epochs,
                batch_size=batch_size,
                image_size=image_size,
                backbone=backbone,
                weights=weights,
                trunk=trunk,
                learning_rate=learning_rate,
                seed=seed,
                nodes=nodes,
                gpus=gpus,
                gpu=gpu,
                prototype_lambda=prototype_lambda,
                accept_counterfeit=accept_counterfeit,
                refuse_authentic=refuse_authentic,
                ask=ask,
            )
        ).after(counted)
        trained.set_display_name("Train")
        rules = min_gain, max_drop, keep, model_registry
        add_gate("authenticity", trained, parted, registry, reports, *rules, allow_below_baseline=allow_below_baseline)
    sizes = train_cpu, train_memory, step_cpu, step_memory
    place(image, credentials, gpu, held, pool, tolerations, volume, *sizes)
