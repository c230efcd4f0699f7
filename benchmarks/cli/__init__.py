"""The command line: one file per group of commands, which reads the request, has it done and shows the outcome.

Heavy imports stay in the command that needs them, so that help and mistakes cost no time.
"""


def main() -> None:
    """Run the command line, after making sure that it is this project's packages that Python finds."""
    import sys

    try:
        from benchmarks.cli import foreign

        foreign.refuse()
        from benchmarks.cli.app import main as command_line

        command_line()
    except KeyboardInterrupt:  # in the first second, while this is being imported
        sys.exit(130)
