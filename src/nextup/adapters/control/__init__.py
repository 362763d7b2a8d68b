"""The platform's memory of itself: one file per backend."""
