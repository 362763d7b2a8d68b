"""Nextup: send what people do, get what each person should see next, and why."""

__version__ = "0.1.0"
