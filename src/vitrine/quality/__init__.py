"""Judging, cleaning and splitting catalogs."""
