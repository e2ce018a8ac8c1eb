"""The `monitor` DAG: from the new photos of a period to a decision, and to a retraining where it is needed."""

from kfp import dsl

from components import IMAGE
from components.detect_drift import detect_drift
from components.name_period import name_period
from components.report_run import report_run
from components.request_retraining import request_retraining
from pipelines.front import add_cleaned
from pipelines.resources import CREDENTIALS, SETTINGS, STEP_CPU, STEP_MEMORY, calls_kubeflow, never_cached, place_steps


@dsl.pipeline(
    name="monitor",
    description="Validates and cleans new photos, compares them with what the models in use learnt, and starts one "
    "retraining where they have moved away.",
)
def monitor(
    catalog: str = "s3://vitrine/new/%Y-%m-%d",
    period: str = "",
    revision: str = "",
    remote: str = "",
    registry: str = "s3://vitrine/registry",
    reports: str = "s3://vitrine/reports",
    task: str = "",
    retrain: str = "retrain",
    settings: dict = SETTINGS,
    endpoint: str = "http://ml-pipeline.kubeflow:8888",
    namespace: str = "",
    experiment: str = "vitrine",
    unchanged: bool = False,
    lost_minutes: int = 60,
    near_duplicates: bool = True,
    shards: int = 1,
    image: str = IMAGE,
    credentials: str = CREDENTIALS,
    step_cpu: str = STEP_CPU,
    step_memory: str = STEP_MEMORY,
) -> None:
    """Watches new photos.

    Args:
        catalog: Folder, s3:// prefix or .dvc file of the new photos; %Y, %m, %d and %H are filled in from the period.
        period: The day (2026-11-25) or hour (2026-11-25T13) to look at, UTC; empty = yesterday.
        revision: DVC revision to look at; empty = whatever is there.
        remote: DVC remote of a .dvc file: a folder or s3://bucket/prefix.
        registry: Folder or s3:// prefix of the model registry.
        reports: Folder or s3:// prefix below which each run leaves its summary page and reports.
        task: Whose model in use; empty = of every task that has one.
        retrain: Pipeline that drift starts.
        settings: Its parameters, such as {"catalog": "s3://vitrine/data.dvc"}.
        endpoint: Address of the Kubeflow Pipelines API; empty = only say that a retraining is due.
        namespace: The profile's namespace; empty = the monitor's own.
        experiment: Experiment of the retraining.
        unchanged: Retrain also on data that the models in use were trained on.
        lost_minutes: Age from which on a run that has no pod any more does not count as going.
        near_duplicates: Drop near copies of photos, as retrain does; false for authenticate.
        shards: Pods that share the photos when these are looked at.
        image: Container image of every step; published packages name one by its digest.
        credentials: Secret with AWS_ACCESS_KEY_ID and so on; need not exist where pods have a role.
        step_cpu: Processors that every step asks for.
        step_memory: Memory that every step gets at most.
    """
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    farewell = never_cached(report_run(reports=reports, run_id=run_id, title="monitor", due="drift")).set_display_name(
        "Summary"
    )
    with dsl.ExitHandler(farewell, name="run"):
        source = never_cached(name_period(catalog=catalog, period=period)).set_display_name("Name the period")
        state, cleaned = add_cleaned(
            source.output,
            revision,
            remote,
            strict=False,
            min_class_count=0,  # a rare label may be the news
            near_duplicates=near_duplicates,
            shards=shards,
            reports=reports,
            history=f"{reports}/monitor",
        )
        found = never_cached(
            detect_drift(table=cleaned.outputs["cleaned"], registry=registry, reports=reports, run_id=run_id, task=task)
        ).set_display_name("Look for drift")
        with dsl.If(found.outputs["Output"] == "drift", name="drifted"):
            asked = request_retraining(
                drift=found.outputs["drift"],
                state=state.output,
                registry=registry,
                reports=reports,
                run_id=run_id,
                pipeline=retrain,
                settings=settings,
                endpoint=endpoint,
                namespace=namespace,
                experiment=experiment,
                unchanged=unchanged,
                lost_minutes=lost_minutes,
            )
            calls_kubeflow(never_cached(asked)).set_display_name("Ask for a retraining")
    place_steps(image, credentials, step_cpu, step_memory)
