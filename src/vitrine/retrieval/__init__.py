"""Nearest neighbours among unit vectors: how good they are, finding them exactly or nearly, keeping them on disk.

Knows nothing of nets or photos; `vitrine.visual_search` joins the two.
"""
