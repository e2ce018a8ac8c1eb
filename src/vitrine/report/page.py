"""A report page, built section by section and rendered through one Jinja template."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitrine.files import atomic_write
from vitrine.report.thumbnails import data_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# HTML allows no control characters but tab and line ends, and a terminal that shows the page may act on them.
LONG_WORD = 24  # characters; a column is at least as wide as a shorter one
UNPRINTABLE = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127), "\ufffd")


@dataclass(frozen=True)
class Tile:
    """A headline figure. `tone` is "", "good", "warn" or "bad"."""

    label: str
    value: str
    tone: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Photo:
    """A thumbnail (see `vitrine.report.thumbnail`; None shows a placeholder) with lines of caption."""

    thumbnail: str | None
    caption: Sequence[str] = ()
    tone: str = ""


@dataclass
class Page:
    """Collects sections in reading order; `write` renders them.

    Strings given here are plain text: the template escapes every one of them.
    """

    title: str
    subtitle: str = ""
    verdict: str = ""
    tone: str = ""
    sections: list[dict[str, Any]] = field(default_factory=list)

    def heading(self, text: str, note: str = "") -> None:
        """Starts a part of the page, with an optional sentence that says how to read it."""
        self.sections.append({"kind": "heading", "text": text, "note": note})

    def text(self, text: str) -> None:
        """A paragraph."""
        self.sections.append({"kind": "text", "text": text})

    def code(self, lines: Iterable[str]) -> None:
        """Lines of a log, as they are."""
        self.sections.append({"kind": "code", "text": "\n".join(lines)})

    def tiles(self, tiles: Iterable[Tile]) -> None:
        """A row of headline figures."""
        self.sections.append({"kind": "tiles", "tiles": list(tiles)})

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[object]], shown: int = 200) -> None:
        """A table; numbers are set right, long words broken. Rows beyond `shown` are counted, not printed."""
        body = [list(row) for row in rows]
        self.sections.append(
            {
                "kind": "table",
                "headers": headers,
                "rows": body[:shown],
                "hidden": len(body) - shown,
                "classes": [_class_of([row[i] for row in body]) for i in range(len(headers))],
            }
        )

    def bars(self, bars: Iterable[tuple[str, float, str]], maximum: float | None = None) -> None:
        """Horizontal bars: (label, length, printed value)."""
        body = list(bars)
        top = maximum if maximum is not None else max((abs(value) for _, value, _ in body), default=1.0)
        widths = [min(100.0, 100 * abs(value) / top) if top else 0.0 for _, value, _ in body]
        self.sections.append({"kind": "bars", "bars": list(zip(body, widths, strict=True))})

    def photos(self, photos: Iterable[Photo], empty: str = "None.") -> None:
        """A grid of thumbnails, or the sentence `empty`."""
        self.sections.append({"kind": "photos", "photos": list(photos), "empty": empty})

    def links(self, links: Iterable[tuple[str, str, str]]) -> None:
        """Links to other pages: (label, relative or absolute address, what is there)."""
        self.sections.append({"kind": "links", "links": list(links)})

    def figure(self, figure: "Figure", alt: str) -> None:
        """A matplotlib figure, embedded."""
        self.drawn(draw(figure), alt)

    def drawn(self, source: str, alt: str) -> None:
        """A figure that was drawn before; see `draw`."""
        self.sections.append({"kind": "figure", "source": source, "alt": alt})

    def render(self) -> str:
        """The page as HTML."""
        from jinja2 import Environment, PackageLoader

        environment = Environment(
            loader=PackageLoader("vitrine.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        return environment.get_template("page.html.j2").render(page=self).translate(UNPRINTABLE)

    def write(self, path: str | Path) -> None:
        """Writes the page as one file."""
        with atomic_write(Path(path)) as temporary:
            temporary.write_text(self.render(), encoding="utf-8")


def draw(figure: "Figure") -> str:
    """The `data:` address of a PNG of a figure of a constrained layout.

    It is drawn once; `savefig` draws it twice, to know before what is to be trimmed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    figure.set_dpi(110)
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return data_uri(buffer.getvalue(), "image/png")


def percent(fraction: float) -> str:
    """0.1234 as `12.3 %`."""
    return f"{100 * fraction:.1f} %"


def _class_of(column: Sequence[object]) -> str:
    """`n` for numbers, `long` where a word is so long that it has to be broken (an address, a sum), else ""."""
    if column and all(isinstance(value, int | float) or _is_number(value) for value in column):
        return "n"
    return "long" if any(len(word) > LONG_WORD for value in column for word in str(value).split()) else ""


def _is_number(value: object) -> bool:
    text = str(value).removeprefix("< ").replace(" %", "").replace(",", "").replace("–", "0")
    try:
        float(text)
    except ValueError:
        return False
    return True
