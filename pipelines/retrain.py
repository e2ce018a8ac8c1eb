"""The `retrain` DAG: from the photos of a data revision to promoted (or refused) models."""

from kfp import dsl

from components import IMAGE
from components.report_run import report_run
from pipelines.back import add_gate, add_training
from pipelines.form import BACKBONE, EPOCHS, VARIANTS, default_settings, described, documented
from pipelines.front import add_front, add_plan
from pipelines.resources import CREDENTIALS, VOLUME, never_cached, place

ABOUT = (
    "Validates, cleans and splits a catalog, trains attributes (MTSS) and categories (ssMTL-CA), evaluates them on "
    "photos they never saw, and promotes what beats the model in use."
)


@dsl.pipeline(name="retrain", description=described("retrain", ABOUT))
@documented
def retrain(
    cluster_credentials: str = CREDENTIALS,
    cluster_gpus: int = 1,
    cluster_image: str = IMAGE,
    cluster_volume: str = VOLUME,
    data_catalog: str = "s3://vitrine/data",
    data_remote: str = "",
    data_revision: str = "",
    gate_max_drop: float = 0.05,
    out_registry: str = "s3://vitrine/registry",
    out_reports: str = "s3://vitrine/reports",
    settings: dict = default_settings("retrain"),  # noqa: B008
    train_backbone: str = BACKBONE,
    train_epochs: int = EPOCHS,
    train_variant: str = VARIANTS["retrain"],
) -> None:
    """Retrains attributes and categories."""
    farewell = never_cached(
        report_run(reports=out_reports, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, title="retrain", due="tasks")
    ).set_display_name("Summary")
    with dsl.ExitHandler(farewell, name="run"):
        begun, checked, parted = add_front(
            "retrain",
            out_reports,
            catalog=data_catalog,
            revision=data_revision,
            remote=data_remote,
            reports=out_reports,
            settings=settings,
            variant=train_variant,
            backbone=train_backbone,
            epochs=train_epochs,
            gpus=cluster_gpus,
        )
        planned = add_plan(
            "retrain", begun, checked, parted, reports=out_reports, gpus=cluster_gpus, volume=cluster_volume
        )
        inputs = begun, parted, cluster_gpus
        gate = begun, parted, out_registry, out_reports, gate_max_drop
        with dsl.If(planned.outputs["tasks"] != "taxonomy", name="attributes"):
            with dsl.ParallelFor(planned.outputs["groups"], name="teachers") as types:
                teacher = add_training("attributes", "teacher", "teacher", *inputs, types=types)
            teacher.set_display_name("Train teachers")
            models = dsl.Collected(teacher.outputs["model"])
            student = add_training("attributes", "student", "student", *inputs, teachers=models)
            add_gate("attributes", student.set_display_name("Train attributes"), *gate)
        with dsl.If(planned.outputs["tasks"] != "attributes", name="taxonomy"):
            net = add_training("taxonomy", train_variant, "training", *inputs)
            add_gate("taxonomy", net.set_display_name("Train categories"), *gate)
    place(cluster_image, cluster_credentials, begun, cluster_volume)
