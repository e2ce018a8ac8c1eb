"""`python -m vitrine.cli`."""

from vitrine.cli.entry import main

if __name__ == "__main__":
    main()
