"""`data`: prepare a data set once, and search it for test images that training also shows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from benchmarks.cli import completion
from benchmarks.cli.options import Results, at_home
from benchmarks.cli.session import Session, session_of
from results.errors import RequestError

if TYPE_CHECKING:
    from benchmarks.datasets import PreparedSet
    from benchmarks.datasets.preparation import Findings


def data(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="isic2018, isic2017, another known set (`list datasets` shows them), or a name for your own.",
            autocompletion=completion.datasets,
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Zip or folder of the pictures: official archives, or images and masks.", callback=at_home
        ),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the official archives (several GB).")] = False,
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME",
            help="TOML file that says which files are images and masks and what they mean, or a known set whose files "
            "yours are like. Default: NAME.toml here or beside the pictures, else by convention.",
        ),
    ] = None,
    allow_other_ids: Annotated[
        bool,
        typer.Option(
            "--allow-other-ids", help="With --layout: parts of a known set may hold other images than the published."
        ),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Read and judge the pictures; store nothing.")] = False,
    size: Annotated[int, typer.Option(help="Side of the prepared images, pixels.")] = 256,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Refuse what is only unlikely, too: doubtful masks, vanished lesions. Alone: in the set that was "
            "prepared before.",
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Read the prepared pixels again and compare them with their fingerprint. Alone: of the set that was "
            "prepared before.",
        ),
    ] = False,
    near_duplicates: Annotated[
        bool,
        typer.Option(
            "--near-duplicates",
            help="Count test images of which training or validation has nearly the same. Alone: in the set that was "
            "prepared before.",
        ),
    ] = False,
    results: Results = None,
) -> None:
    """Prepare a data set once: verify, decode, resize and store it in the cache folder."""
    from benchmarks import datasets
    from benchmarks.datasets import judging, preparation
    from results.installation import results_root

    session = session_of(context)
    how: dict[str, Any] = {"size": size, "strict": strict, "layout": layout, "other_ids": allow_other_ids}
    if check:
        if source is None:
            raise RequestError("--check reads the pictures that --from names; give both.")
        _show_findings(preparation.checked(name, source, **how), session)
        return
    if (near_duplicates or verify or strict) and source is None and not download:
        prepared = datasets.load(name, size)
        if strict:
            judging.refuse(prepared.folder, prepared.doubts, prepared.vanished, size)
    else:
        prepared = datasets.prepare(name, source, download=download, **how)
    if verify:
        prepared.verification.check()
    _show_facts(prepared, session)
    _show_doubts(prepared, session)
    if verify:
        session.say("Verified: every pixel is as it was prepared.")
    if near_duplicates:
        _show_near_duplicates(prepared, results_root(results), session)


def _show_facts(prepared: "PreparedSet", session: Session) -> None:
    from results import data_sets

    split = prepared.split(prepared.default_split)
    session.say(
        f"{prepared.name}: {len(prepared.ids)} images at {prepared.size} px "
        f"({len(split.train)} / {len(split.validation)} / {len(split.test)}), fingerprint {prepared.fingerprint[:12]}, "
        f"in {prepared.folder}"
    )
    if prepared.about and prepared.about.convention:
        _say_understood(prepared.about.content(), len(set(prepared.groups or ())), session)
    facts = prepared.data
    session.say(
        f"Originals: {data_sets.originals_in_words(facts)}; masks: {data_sets.masks_in_words(facts)} in the originals, "
        f"{data_sets.trained_masks_in_words(facts)} at {prepared.size} px."
    )


def _say_understood(about: dict, groups: int, session: Session) -> None:
    """Of a data set of the user's own: how its files were read. about: as in prepared.json."""
    layout = f" (layout {about['layout']})" if about.get("layout") else ""
    session.say(f"Paired{layout}: {about['convention']}.")
    low, middle, high = (f"{100 * share:.3g} %" for share in about["shares"])
    session.say(f"Foreground: {low} to {high} of an image, {middle} in the median one.")
    if about.get("empty"):
        session.say(f"{about['empty']} masks mark nothing, as the layout allows.")
    if about.get("ignored"):
        session.say(f"{about['ignored']} pictures are neither image nor mask, and were left aside.")
    if groups:
        session.say(f"{groups} groups, which no split tears apart.")


def _show_findings(found: "Findings", session: Session) -> None:
    """What --check found."""
    from results import data_sets
    from results.schema import DataRecord

    session.say(f"{found.name}: {found.images} images would be prepared at {found.size} px; nothing was stored.")
    if "convention" in found.origin:
        _say_understood(found.origin, len(set(found.groups or ())), session)
    facts = DataRecord.model_validate({"originals": found.origin["originals"]})
    session.say(f"Originals: {data_sets.originals_in_words(facts)}; masks: {data_sets.masks_in_words(facts)}.")
    for doubt in found.origin["doubts"]:
        session.warn("Unlikely", f"{doubt}.")


def _show_doubts(prepared: "PreparedSet", session: Session) -> None:
    """What is unlikely of the files, and which lesions are too small for the size."""
    from benchmarks.datasets import judging

    for doubt in prepared.doubts:
        session.warn("Unlikely", f"{doubt}.")
    if vanished := judging.vanished_in_words(prepared.vanished, prepared.size):
        session.warn("Unlikely", f"{vanished}.")


def _show_near_duplicates(prepared: "PreparedSet", root: Path, session: Session) -> None:
    """Search, write and show the pairs of one data set, and write which ids the data sets share."""
    from benchmarks.datasets import leakage as search
    from results import leakage

    rows = search.near_duplicates(prepared)
    table = Table("split", "test image", "also in", "as", "kind", "distance", "correlation", "detail", "orientation")
    for row in rows:
        if row["kind"] != leakage.NONE:
            numbers = (str(row["distance"]), f"{row['correlation']:.4f}", f"{row['detail']:.4f}", row["orientation"])
            table.add_row(row["split"], row["test_id"], row["other_part"], row["other_id"], row["kind"], *numbers)
    session.show(table)
    for sentence in search.counted(prepared, rows):
        session.say(sentence)
    for path in (leakage.write_pairs(root, prepared.name, rows), leakage.write_shared(root, search.shared_ids())):
        session.say_path(path)
