"""Vitrine: a marketplace's product photos into trained, evaluated, promoted models."""

__version__ = "0.1.0"
