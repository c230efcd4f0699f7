"""The one exception that is meant for people."""


class RequestError(Exception):
    """The request or the data is wrong: one sentence that names the file or option and the cure. Exit code 2."""
