"""Where transformations run."""
