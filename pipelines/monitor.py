"""The `monitor` DAG: from the new photos of a period to a decision, and to a retraining where it is needed."""

from kfp import dsl

from components import IMAGE
from components.detect_drift import detect_drift
from components.report_run import report_run
from components.request_retraining import request_retraining
from pipelines.form import default_settings, described, documented
from pipelines.front import add_front
from pipelines.resources import CREDENTIALS, calls_kubeflow, never_cached, place_steps

ABOUT = (
    "Validates and cleans new photos, compares them with what the models in use learnt, and starts one retraining "
    "where they have moved away."
)


@dsl.pipeline(name="monitor", description=described("monitor", ABOUT))
@documented
def monitor(
    cluster_credentials: str = CREDENTIALS,
    cluster_image: str = IMAGE,
    data_catalog: str = "s3://vitrine/new/%Y-%m-%d",
    data_period: str = "",
    data_remote: str = "",
    data_revision: str = "",
    out_registry: str = "s3://vitrine/registry",
    out_reports: str = "s3://vitrine/reports",
    retrain_parameters: dict = {},  # noqa: B006
    retrain_pipeline: str = "retrain",
    settings: dict = default_settings("monitor"),  # noqa: B008
) -> None:
    """Watches new photos."""
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    farewell = never_cached(report_run(reports=out_reports, run_id=run_id, title="monitor", due="drift"))
    with dsl.ExitHandler(farewell.set_display_name("Summary"), name="run"):
        begun, checked, cleaned = add_front(
            "monitor",
            f"{out_reports}/monitor",
            catalog=data_catalog,
            revision=data_revision,
            remote=data_remote,
            period=data_period,
            reports=out_reports,
            settings=settings,
            retraining=retrain_pipeline,
            parameters=retrain_parameters,
        )
        places = {"registry": out_registry, "reports": out_reports, "run_id": run_id}
        inputs = {"table": cleaned.outputs["cleaned"], "results": checked.outputs["results"]}
        drift = never_cached(detect_drift(settings=begun.outputs["settings"], **inputs, **places))
        drift.set_display_name("Look for drift")
        with dsl.If(drift.outputs["Output"] == "drift", name="drifted"):
            asked = request_retraining(
                drift=drift.outputs["drift"],
                state=begun.outputs["state"],
                pipeline=retrain_pipeline,
                parameters=retrain_parameters,
                settings=begun.outputs["settings"],
                **places,
            )
            calls_kubeflow(never_cached(asked)).set_display_name("Ask for a retraining")
    place_steps(cluster_image, cluster_credentials, begun)
