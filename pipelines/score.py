"""The `score` DAG: what the models in use say about every photo of a catalog, night by night."""

from kfp import dsl

from components import IMAGE
from components.report_run import report_run
from components.score import score as write_tables
from components.score_shard import score_shard
from components.start import start
from pipelines.form import default_settings, described, documented
from pipelines.resources import CREDENTIALS, never_cached, place_steps, resumed

ABOUT = (
    "Asks the models in use about every photo of a catalog, shard by shard, and writes a table for each task: a row a "
    "photo, with the best labels, or why it cannot be read. A step that is stopped goes on where it was."
)


@dsl.pipeline(name="score", description=described("score", ABOUT))
@documented
def score(
    cluster_credentials: str = CREDENTIALS,
    cluster_image: str = IMAGE,
    data_catalog: str = "s3://vitrine/data.dvc",
    data_period: str = "",
    data_remote: str = "",
    data_revision: str = "",
    out_registry: str = "s3://vitrine/registry",
    out_reports: str = "s3://vitrine/reports",
    out_scores: str = "s3://vitrine/scores/%Y-%m-%d",
    settings: dict = default_settings("score"),  # noqa: B008
) -> None:
    """Scores a catalog."""
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    farewell = never_cached(report_run(reports=out_reports, run_id=run_id, title="score", due="score"))
    with dsl.ExitHandler(farewell.set_display_name("Summary"), name="run"):
        begun = never_cached(
            start(
                pipeline="score",
                catalog=data_catalog,
                revision=data_revision,
                remote=data_remote,
                period=data_period,
                reports=out_reports,
                run_id=run_id,
                settings=settings,
            )
        ).set_display_name("Fetch the data")
        given = begun.outputs
        asked = {name: given[name] for name in ("table", "state", "settings")}
        asked |= {"scores": out_scores, "registry": out_registry, "period": data_period}
        with dsl.ParallelFor(given["shards"], name="shards") as shard:
            answered = score_shard(shard=shard, **asked)
            resumed(never_cached(answered)).set_display_name("Ask the models")
        answers = dsl.Collected(answered.output)
        written = write_tables(answers=answers, reports=out_reports, run_id=run_id, **asked)
        resumed(never_cached(written)).set_display_name("Write the tables")
    place_steps(cluster_image, cluster_credentials, begun)
