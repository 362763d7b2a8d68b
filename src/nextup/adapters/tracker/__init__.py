"""Where experiments are recorded besides the registry."""
