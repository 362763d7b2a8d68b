"""One folder per deployment: settings, a few steps of its own, a thin router."""
