"""Measuring models: metrics, reports, and the comparison with the model in use."""

# What an evaluation's folder holds; here, so that reading one imports nothing of what wrote it.
METRICS, REPORT, CONFUSION, EXAMPLES = "metrics.json", "report.html", "confusion.json", "examples.json"
SAMPLES = "samples.npz"
