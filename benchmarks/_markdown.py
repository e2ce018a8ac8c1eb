"""Tables of results."""

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, in which no column says the same in every row, or the same as another.

    >>> print(table(["net", "a", "b", "seeds"], [["x", "1.0", "1.0", "3"], ["y", "2.0", "2.0", "3"]]), end="")
    | net | a, b |
    | --- | --- |
    | x | 1.0 |
    | y | 2.0 |
    <BLANKLINE>
    In every row: seeds 3.
    """
    constant, columns = [], {}
    for name, *cells in zip(header, *rows, strict=True):
        if columns and len(cells) > 1 and len(set(cells)) == 1:
            constant.append(f"{name} {cells[0] or 'none'}")
        else:
            columns.setdefault(tuple(cells), []).append(name)
    lines = [[", ".join(names) for names in columns.values()], ["---"] * len(columns), *zip(*columns, strict=True)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return text + (f"\nIn every row: {', '.join(constant)}.\n" if constant else "")
