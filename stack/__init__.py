"""The real servers that Nextup runs on, started as local processes, without Docker.

`make stack` starts those a deployment needs and prints their URLs; the tests use the same code.
A file in `servers/` is one server; `versions.toml` holds every pin.
"""
