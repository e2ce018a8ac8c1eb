"""The training engine and the model folder it fills."""
