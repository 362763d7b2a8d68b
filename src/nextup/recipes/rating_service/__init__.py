"""Ratings in, predicted ratings out."""
