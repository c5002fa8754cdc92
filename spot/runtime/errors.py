"""The one exception that users see."""


class SpotError(Exception):
    """An error that the user can correct.

    The message is one line. It names the file, key or video at fault and the remedy. Commands print it without a
    traceback and exit with status 1.
    """
