"""The command line. Modules here import the rest of Nextup inside their commands only, so that
`nextup --help` and shell completion answer at once."""
