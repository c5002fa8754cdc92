"""The one exception that users see."""


class SpotError(Exception):
    """Something that the user can put right.

    Its text is one line that names the file, key or video at fault and the remedy. Commands print it without a
    traceback and exit with status 1.
    """
