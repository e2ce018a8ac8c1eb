"""Measuring models: metrics, reports, and the comparison with the model in use."""
