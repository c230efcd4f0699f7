"""`cite`: BibTeX for a paper that uses this suite."""

from typing import Annotated

import typer

from benchmarks.cli import completion
from benchmarks.cli.session import session_of


def cite(
    context: typer.Context,
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NETWORK ...",
            help="Names of networks. The suite and the paper that it reproduces are always cited.",
            autocompletion=completion.networks,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print BibTeX entries of the suite, of the paper that it reproduces, and of networks. Needs no torch."""
    from results import citations

    session_of(context).say_whole(citations.bibtex(networks or ()).rstrip("\n"))
