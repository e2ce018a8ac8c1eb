"""KFP step: where the new photos of a period are."""

from kfp.dsl import component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def name_period(catalog: str, period: str = "") -> str:
    """Fills a period in. Never cached: yesterday is another day tomorrow.

    Args:
        catalog: Folder, s3:// prefix or .dvc file, in which %Y, %m, %d and %H stand for the period.
        period: A day (2026-11-25) or hour (2026-11-25T13), UTC; empty = yesterday.

    Returns:
        The address.
    """
    from vitrine import steps

    return steps.name_period(catalog, period)
