"""Self-contained HTML pages: no network, no scripts, everything from a catalog escaped."""

from vitrine.report.page import Page, Photo, Tile, draw, percent
from vitrine.report.thumbnails import thumbnail

__all__ = ["Page", "Photo", "Tile", "draw", "percent", "thumbnail"]
