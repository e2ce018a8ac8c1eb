"""One file per pipeline step: a short typed function around a step of the library. No logic of its own."""

from vitrine import __version__

IMAGE = f"ghcr.io/vitrine/vitrine:{__version__}"
