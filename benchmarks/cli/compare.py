"""`compare`, `diff` and `merge`: networks against each other, states of results, and other people's results."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from benchmarks.cli import completion
from benchmarks.cli.options import Results, at_home
from benchmarks.cli.session import Session, session_of
from results.errors import RequestError

if TYPE_CHECKING:
    from reports.versus.pair import Pair, Side
    from results.runs import Run


def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help="A network, the folder of a run, or a results folder.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one of the same kind.")],
    dataset: Annotated[
        str | None, typer.Option(help="Of networks: only this data set.", autocompletion=completion.datasets)
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Of networks: only this recipe, by its runs' name.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Also write the images' scores, a scatter plot, and sheets of the images on which they differ most "
            "and on which both fail.",
            file_okay=False,
            callback=at_home,
        ),
    ] = None,
    results: Results = None,
) -> None:
    """Put two networks, runs or results folders side by side: difference, interval, and who wins on which images."""
    session = session_of(context)
    pairs = _pairs(first, second, dataset, recipe, results)
    for where, pair in pairs.items():
        _show(where, pair, session)
        if output is not None:
            for path in _write(pair, where, output / where.replace(" / ", "-") if len(pairs) > 1 else output, session):
                session.say_path(path)


def _pairs(first: str, second: str, dataset: str | None, recipe: str | None, results: Path | None) -> "dict[str, Pair]":
    """Every pair that is asked for, by data set and recipe. Raises RequestError where there is none."""
    from reports.versus.pair import Pair
    from results.cell import REPORT

    folders = [Path(each) for each in (first, second)]
    if all((folder / REPORT).is_file() for folder in folders):
        sides = [_run(folder) for folder in folders]
        return {sides[0].runs[0].cell.dataset: Pair(*sides)}
    if all(folder.is_dir() for folder in folders):
        return _of_states(*folders)
    found = {}
    blocks = _by_block([first, second], results)
    for (data, by), runs in blocks.items():
        if dataset in (None, data) and recipe in (None, by):
            found[f"{data} / {by}"] = Pair(*(_side(runs[name]) for name in (first, second)))
    if not found:
        raise RequestError(
            f"There are no runs of both {first} and {second} on the same data by the same recipe; `list runs` shows "
            "what there is. A folder is taken for a run where it has a report.json."
        )
    return found


def _by_block(names: Sequence[str], results: Path | None) -> "dict[tuple[str, str], dict[str, list[Run]]]":
    """(data set, recipe) -> network -> runs, where all the named networks have some."""
    from results.installation import results_to_read
    from results.runs import poolable

    blocks: dict[tuple[str, str], dict[str, list[Run]]] = {}
    for run in poolable(results_to_read(results)):
        blocks.setdefault((run.cell.dataset, run.cell.recipe), {}).setdefault(run.cell.network, []).append(run)
    return {place: found for place, found in blocks.items() if all(name in found for name in names)}


def _of_states(first: Path, second: Path) -> "dict[str, Pair]":
    """Every network that both results folders have runs of."""
    from reports.evidence import by_network
    from reports.versus.pair import Pair, Side
    from results.runs import poolable

    states = [by_network(poolable(folder)) for folder in (first, second)]
    names = [folder.resolve().name for folder in (first, second)]
    if names[0] == names[1]:
        names = [str(first), str(second)]
    common = [key for key in states[0] if key in states[1]]
    if not common:
        raise RequestError(f"{first} and {second} have no network with runs on the same data by the same recipe.")
    return {
        " / ".join(key): Pair(
            *(Side(f"{key[2]} of {name}", state[key]) for name, state in zip(names, states, strict=True))
        )
        for key in common
    }


def _side(runs: "list[Run]") -> "Side":
    from reports.versus.pair import Side

    return Side(runs[0].config.label or runs[0].cell.network, runs)


def _run(folder: Path) -> "Side":
    from reports.versus.pair import Side
    from results.cell import Cell
    from results.runs import read_run

    cell = Cell.of_folder(folder.resolve())
    return Side(f"{cell.network} seed {cell.seed}", [read_run(cell, folder)])


def _show(where: str, pair: "Pair", session: Session) -> None:
    session.say(
        f"{where}: {pair.first.name} against {pair.second.name}, {len(pair.gaps)} test images, seeds {pair.seeds}"
    )
    table = Table("metric", pair.first.name, pair.second.name, "difference", "95 % interval", "p")
    for row in pair.table().itertuples():
        numbers = (f"{row.first:.2f}", f"{row.second:.2f}", f"{row.difference:+.2f}")
        table.add_row(row.metric, *numbers, f"{row.low:+.2f} to {row.high:+.2f}", f"{row.p:.2g}")
    session.show(table)
    wins = pair.wins
    session.say(
        f"IoU: {pair.verdict}. Image by image {pair.first.name} wins on {100 * wins[0]:.0f} %, {pair.second.name} on "
        f"{100 * wins[1]:.0f} %. One pair at a time: p is not corrected for others."
    )
    session.say(f"They differ most on {', '.join(pair.apart[:5])}.")
    failures = pair.both_fail
    session.say(
        f"Both fail (IoU below 0.5) on {', '.join(failures[:5])}." if failures else "They fail together nowhere."
    )


def _write(pair: "Pair", where: str, output: Path, session: Session) -> list[Path]:
    """The files of one pair, which are named when they are written."""
    import io

    from benchmarks.cli.report import photographs
    from reports.versus.pictures import scatter, sheet
    from results import files

    drawn = scatter(pair, f"{pair.first.name} against {pair.second.name}")
    made = {f"scatter{suffix}": content for suffix, content in ((".svg", drawn.svg.encode()), (".png", drawn.png))}
    made["images.csv"] = pair.images().to_csv(index=False, lineterminator="\n").encode()
    config = pair.first.runs[0].config
    for name, ids in (("differ-most.jpg", pair.apart), ("both-fail.jpg", pair.both_fail)):
        try:
            pictures = photographs(config.dataset, ids, config.size)
        except RequestError as error:
            session.say(f"Without sheets of photographs: {error}")
            break
        if ids:
            content = io.BytesIO()
            sheet(pair, ids, pictures).save(content, "JPEG", quality=88)
            made[name] = content.getvalue()
    written = [output / name for name in made]
    with files.replacing_all(written) as partials:
        for partial, content_of in zip(partials, made.values(), strict=True):
            partial.write_bytes(content_of)
    return written


def diff(
    context: typer.Context,
    before: Annotated[Path, typer.Argument(help="A results folder.", callback=at_home)],
    after: Annotated[Path, typer.Argument(help="The same at another time, or a colleague's.", callback=at_home)],
) -> None:
    """Say which means, numbers of seeds and verdicts are not the same in two results folders; exit 1 where one is."""
    from reports.versus.state import moved

    session = session_of(context)
    for folder in (before, after):
        if not folder.is_dir():
            raise RequestError(f"{folder} is no folder; name two results folders, which hold runs/.")
    found = moved(before, after)
    for each in found:
        session.say_whole(str(each))
    session.say(f"{len(found)} numbers or verdicts moved." if found else "No mean, number of seeds or verdict moved.")
    raise typer.Exit(1 if found else 0)


def merge(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="The results folder to take runs from.", callback=at_home)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be taken in, and copy nothing.")] = False,
    results: Results = None,
) -> None:
    """Take the runs of another results folder in: all are validated first, and nothing is ever written over."""
    from results import merging
    from results.installation import results_root

    session, root = session_of(context), results_root(results)
    planned = merging.plan(folder, root)
    for problem in planned.against:
        session.warn("Against it", str(problem))
    words = (
        f"{len(planned.new)} new run{'' if len(planned.new) == 1 else 's'}, {len(planned.same)} that are there already"
    )
    if dry_run or planned.against:
        session.say(f"{words}, {len(planned.against)} that cannot be taken in. Nothing was copied.")
        raise typer.Exit(1 if planned.against else 0)
    for cell in merging.take(planned, root):
        session.say(f"Taken in: {cell}")
    session.say(f"{words}. `python -m benchmarks report` shows them.")
