"""KFP exit step: the one page of a run, however it ended."""

from kfp.dsl import HTML, Output, PipelineTaskFinalStatus, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def report_run(
    status: PipelineTaskFinalStatus, reports: str, run_id: str, title: str, summary: Output[HTML], due: str = ""
) -> None:
    """Writes the summary of a run.

    Args:
        status: How the run ended.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
        title: The pipeline's name.
        summary: The page.
        due: Steps that every run of it comes to, and whose notes say what else is due.
    """
    from pathlib import Path

    from pipelines.last_lines import last_lines
    from pipelines.run_state import run_state
    from pipelines.stages import summarise
    from vitrine.files import read_bytes, write_bytes

    state = run_state(run_id, status.state)
    address = summarise(reports, run_id, state, status.error_message or "", title, due, last_lines)
    write_bytes(str(Path(summary.path)), read_bytes(address))
    print(f"Summary: {address}", flush=True)
