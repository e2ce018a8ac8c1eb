"""`python -m vitrine.cli`."""

from vitrine.cli.entry import process

if __name__ == "__main__":
    process()
