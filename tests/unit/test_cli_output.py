"""What commands print."""

from __future__ import annotations

import subprocess
import sys

from nextup.entrypoints.cli.output import Output

TALKING = """
import sys
from nextup.entrypoints.cli.output import Output
sys.stdin.readline()
Output(as_json=False).say("a line")
print("went on", file=sys.stderr)
"""


def test_a_line_is_printed_as_it_is(capsys) -> None:
    """No word of it means anything; what would garble a terminal is left out."""
    Output(as_json=False).say("[bold]Ünlü[/] :smile: 12\x07\r ok")
    Output(as_json=True).say("nobody is told")
    assert capsys.readouterr().out == "[bold]Ünlü[/] :smile: 12 ok\n"


def test_a_command_ends_when_its_reader_has_left() -> None:
    """At the next line, with the status of a failure and without a word."""
    run = [sys.executable, "-c", TALKING]
    with subprocess.Popen(
        run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        process.stdin.write("\n")
        process.stdin.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1
