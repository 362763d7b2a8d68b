"""What can be trained, one model a file; `by_name` finds them."""
