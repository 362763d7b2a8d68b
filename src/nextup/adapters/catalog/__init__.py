"""Items and people: one file per backend."""
