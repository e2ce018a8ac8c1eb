"""What commands print."""

import click

from vitrine.untrusted import printable


def say(text: str, *, err: bool = False) -> None:
    """Prints a line that may hold a stranger's words, to the error output if asked."""
    click.echo(printable(text), err=err)
