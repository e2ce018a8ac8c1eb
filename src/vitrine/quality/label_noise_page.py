"""The part of a report about labels that photos contradict: how far to trust it, and the photos."""

from vitrine.catalog import ATTRIBUTE_PREFIX, Catalog
from vitrine.quality.label_noise import LabelNoise
from vitrine.report import Page, Photo, percent, thumbnail

SHOWN = 24


def label_noise_section(page: Page, noise: LabelNoise, catalog: Catalog) -> None:
    """Adds per column how well labels follow from photos, and the most suspect labels with their photos."""
    if not noise.columns:
        return
    page.heading(
        "Labels held against their photos",
        "Simple classifiers that never saw a photo guess its label from those that look alike. The more often they are "
        "right, the more their doubts are worth.",
    )
    page.table(
        ("Column", "Labels judged", "Guessed right", "By always the commonest", "Suspect", "Not judged because"),
        [
            (
                column_title(column.column),
                f"{column.used:,} of {column.labelled:,}",
                percent(column.accuracy) if column.accuracy else "–",
                percent(column.majority) if column.accuracy else "–",
                "–" if column.reason else f"{column.suspects:,}",
                column.reason,
            )
            for column in noise.columns
        ],
    )
    if noise.suspects.empty:
        page.text("No label is suspect.")
        return
    page.heading("The most suspect labels", "Many are right: look before you change or drop them.")
    page.photos(
        Photo(
            thumbnail(catalog.uri(catalog.table["image"].iat[suspect.row])),
            [
                f"{suspect.given} looks like {suspect.suggested}",
                f"{column_title(suspect.column)}, row {suspect.row + 1}",
                f"{percent(suspect.self_confidence)} against {percent(suspect.probability)}",
            ],
        )
        for suspect in noise.suspects.head(SHOWN).itertuples(index=False)
    )


def column_title(column: str) -> str:
    """`level2` and `attr:sleeve_length` as people say them."""
    if column.startswith("level"):
        return f"Category, level {column.removeprefix('level')}"
    return column.removeprefix(ATTRIBUTE_PREFIX).replace("_", " ").capitalize()
