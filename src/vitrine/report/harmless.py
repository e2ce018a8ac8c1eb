"""Text from a catalog on pages that other libraries render, which do not escape all of it."""

SHOWN_AS = str.maketrans({"<": "‹", ">": "›", '"': "”", "&": "＆", **dict.fromkeys(map(chr, (*range(32), 127)), " ")})


def harmless(text: str) -> str:
    """Text with characters that look alike in the place of those that could act as markup."""
    return text.translate(SHOWN_AS)
