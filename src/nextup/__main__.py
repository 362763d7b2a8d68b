"""`python -m nextup`: the command line, where its program is not on the path."""

from nextup.entrypoints.cli.app import main

if __name__ == "__main__":
    main()
