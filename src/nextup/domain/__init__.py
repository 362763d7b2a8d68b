"""Plain types that every floor speaks: no I/O, no third-party imports."""
