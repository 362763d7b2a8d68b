"""From scores to lists: the best, blended, varied, and sometimes something new."""
