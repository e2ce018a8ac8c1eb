"""Text from a catalog on pages that other libraries render, which do not escape all of it."""

# An invisible space after & keeps it from starting an entity.
SHOWN_AS = str.maketrans(
    {"<": "‹", ">": "›", '"': "”", "&": "&\u200b", **dict.fromkeys(map(chr, (*range(32), 127)), " ")}
)


POLICY = (  # the page's own scripts, and nothing from elsewhere
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'"
)


def harmless(text: str) -> str:
    """Text with characters that look alike in the place of those that could act as markup."""
    return text.translate(SHOWN_AS)


def confined(page: str) -> str:
    """A page with scripts of its own, such as Evidently's, that may load nothing and send nothing."""
    policy = f'<head><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    return page.replace("<head>", policy, 1)
