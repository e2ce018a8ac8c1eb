"""The `match` DAG: from a revision's photos to a promoted (or refused) matching and an index of the shop's photos."""

from kfp import dsl

from components import IMAGE
from components.report_run import report_run
from pipelines.back import add_gate, add_training
from pipelines.form import BACKBONE, EPOCHS, VARIANTS, default_settings, described, documented
from pipelines.front import add_front, add_plan
from pipelines.resources import CREDENTIALS, VOLUME, never_cached, place

ABOUT = (
    "Validates, cleans and splits a catalog of user and shop photos, trains their matching (robust contrastive and "
    "softmax loss), measures it on products it never saw, promotes it if it beats the one in use, and indexes the "
    "shop's photos."
)


@dsl.pipeline(name="match", description=described("match", ABOUT))
@documented
def match(
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
    settings: dict = default_settings("match"),  # noqa: B008
    train_backbone: str = BACKBONE,
    train_epochs: int = EPOCHS,
    train_variant: str = VARIANTS["match"],
) -> None:
    """From a revision's photos to a promoted (or refused) matching and an index of the shop's photos."""
    farewell = never_cached(
        report_run(reports=out_reports, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, title="match", due="examine")
    ).set_display_name("Summary")
    with dsl.ExitHandler(farewell, name="run"):
        begun, checked, parted = add_front(
            "match",
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
        planned = add_plan("match", begun, checked, parted, variant=train_variant, **asked)
        trained = add_training("matching", train_variant, "training", begun, parted, cluster_gpus).after(planned)
        trained.set_display_name("Train")
        add_gate("matching", trained, begun, parted, out_registry, out_reports, gate_max_drop, indexed=True)
    place(cluster_image, cluster_credentials, begun, cluster_volume)
