"""A rendered demo marketplace, bit for bit the same for the same seed."""

from vitrine.synth.render import render_catalog

__all__ = ["render_catalog"]
