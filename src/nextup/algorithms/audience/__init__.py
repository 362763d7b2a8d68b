"""Simulated people with known tastes."""
