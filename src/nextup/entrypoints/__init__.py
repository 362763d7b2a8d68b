"""Where the outside world calls in."""
