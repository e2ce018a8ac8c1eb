"""The tasks: what to build, what one training step is, how to predict."""
