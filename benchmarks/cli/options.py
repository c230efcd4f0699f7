"""Options that several commands share, and what they mean."""

import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperOption

from benchmarks.cli import completion
from results.errors import RequestError
from results.installation import expanded

SETTINGS_HELP = "Change the recipe: any setting by name, as --set lr=3e-4; may be repeated."


def at_home(path: Path | None) -> Path | None:
    """The path with ~ as the user's home, also where no shell replaced it: --results=~/runs."""
    return None if path is None else expanded(path)


Results = Annotated[
    Path | None,
    typer.Option(
        "--results",
        help="Folder that holds runs/. Default: $LESION_BENCHMARKS_RESULTS, else results/ of this checkout, else "
        "results/ of the working folder.",
        file_okay=False,
        show_default=False,
        callback=at_home,
    ),
]
Networks = Annotated[
    list[str] | None,
    typer.Option(
        "--network",
        metavar="NETWORK",
        help="Only this network; may be repeated. Also smp:<architecture>/<encoder>.",
        autocompletion=completion.networks,
    ),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="FILE|MODULE",
        help="Python file or module with a list NETWORKS of your own networks; may be repeated.",
    ),
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda, or one of several GPUs as cuda:1.", autocompletion=completion.devices)
]
Executor = Annotated[
    str,
    typer.Option(
        help="Who trains: local (this machine, all its cores or GPUs), ray or slurm.",
        autocompletion=completion.executors,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Running Ray cluster to join. Default: one of this machine's own."),
]
SlurmOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE",
        help="Of each Slurm job: time, cpus, gpus, at_once (jobs side by side), or a long option of sbatch, as "
        "partition=gpu; may be repeated.",
    ),
]
PrintScript = Annotated[bool, typer.Option("--print", help="Show the script for sbatch; submit and train nothing.")]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only the I-th of N parts of the plan, for commands that share no results folder.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help=SETTINGS_HELP,
        autocompletion=completion.settings,
    ),
]


class Command(TyperCommand):
    """A command. None of them calls `sys.exit()`; where one ends so, code of a plugin or a library did."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for parameter in given:
            single = isinstance(parameter, TyperOption) and not (parameter.multiple or parameter.is_flag)
            if single and given.count(parameter) > 1:
                raise RequestError(f"{parameter.opts[0]} is given twice; give it once.")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except SystemExit as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise RequestError(
                f"{last.filename} line {last.lineno} ended the command by sys.exit({error.code!r}) before it was done; "
                "take that out, or leave away the plugin that does it."
            ) from error


class RecipeCommand(Command):
    """A command with --set, whose help names the settings; they are looked up only when help is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from benchmarks.protocol.settings import NAMES

        for parameter in self.params:
            if "--set" in parameter.opts:
                parameter.help = f"{SETTINGS_HELP} One of {', '.join(NAMES)}."  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def say_without_runs(root: Path) -> None:
    """On stderr, where there is nothing measured to read: the rest of the report and of the checks stands."""
    if next(root.glob("runs/*/*/*/seed-*"), None) is None:
        sentence = f"{root} holds no runs: only published numbers and counts can be shown."
        Console(stderr=True, soft_wrap=True).print(sentence, highlight=False, markup=False)


def load_plugins(plugins: list[str] | None) -> None:
    """Register the networks of the user's own files and modules."""
    if plugins:
        from benchmarks.networks import registry

        for source in dict.fromkeys(plugins):
            if not registry.load_plugin(str(expanded(Path(source))) if source.startswith("~") else source):
                raise RequestError(f"--plugin {source} has no network in its list NETWORKS; give it an Entry.")
