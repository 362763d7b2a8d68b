"""A ranker learned on outcomes, over what was known before each of them."""
