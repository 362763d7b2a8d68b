"""Recommendations sold to streaming platforms."""
