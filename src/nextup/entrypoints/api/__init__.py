"""The HTTP interface: translates requests into calls of services, and nothing more."""
