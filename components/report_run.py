"""KFP exit step: the one page of a run, however it ended."""

from kfp.dsl import HTML, Output, PipelineTaskFinalStatus, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def report_run(status: PipelineTaskFinalStatus, run: str, title: str, summary: Output[HTML]) -> None:
    """Writes the summary of a run.

    Args:
        status: How the run ended.
        run: Folder or s3:// prefix for the pages of this run.
        title: The pipeline's name.
        summary: The page.
    """
    from pathlib import Path

    from vitrine.files import read_bytes, write_bytes
    from vitrine.journal import summarise

    address = summarise(run, status.state, status.error_message or "", title)
    write_bytes(str(Path(summary.path)), read_bytes(address))
    print(f"Summary: {address}", flush=True)
