"""The command line. Exit codes: 0 done; 1 ran, and the answer is no; 2 unusable input or arguments;
3 failed: what was asked is not known.

A command imports its room only when it runs, so that `--help` answers at once.
"""

from vitrine.cli.entry import cli, main, process

__all__ = ["cli", "main", "process"]
