"""The event log: one file per backend."""
