"""The one exception a user's own input can cause."""


class InputError(ValueError):
    """Unusable input or arguments. The message is one line that says what and where.

    The command line prints it on stderr and exits with code 2.
    """
