"""From catalog rows to batches of pixels."""
