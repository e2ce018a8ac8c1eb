"""The `represent` DAG: from the photos of a data revision to promoted (or refused) features and an index to search."""

from kfp import dsl

from components import IMAGE
from components.report_run import report_run
from pipelines.back import add_gate, add_training
from pipelines.form import BACKBONE, EPOCHS, VARIANTS, default_settings, described, documented
from pipelines.front import add_front, add_plan
from pipelines.resources import CREDENTIALS, VOLUME, never_cached, place

ABOUT = (
    "Validates, cleans and splits a catalog, trains features finer than its labels (Base-Indi_eff), measures what they "
    "find on photos they never saw, promotes what beats the ones in use, and indexes the photos."
)


@dsl.pipeline(name="represent", description=described("represent", ABOUT))
@documented
def represent(
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
    settings: dict = default_settings("represent"),  # noqa: B008
    train_backbone: str = BACKBONE,
    train_epochs: int = EPOCHS,
    train_variant: str = VARIANTS["represent"],
) -> None:
    """From a revision's photos to promoted (or refused) features and an index of the photos."""
    farewell = never_cached(
        report_run(reports=out_reports, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, title="represent", due="examine")
    ).set_display_name("Summary")
    with dsl.ExitHandler(farewell, name="run"):
        begun, checked, parted = add_front(
            "represent",
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
        asked = {"reports": out_reports, "gpus": cluster_gpus, "volume": cluster_volume}
        planned = add_plan("represent", begun, checked, parted, variant=train_variant, **asked)
        trained = add_training("representation", train_variant, "training", begun, parted, cluster_gpus).after(planned)
        trained.set_display_name("Train")
        add_gate("representation", trained, begun, parted, out_registry, out_reports, gate_max_drop, indexed=True)
    place(cluster_image, cluster_credentials, begun, cluster_volume)
