"""The table as papers print it: one line per network, for \\input into a page of one or two columns.

booktabs and siunitx, no scaling: letters have the size that the class gives \\footnotesize, 8 pt in a paper of 10 pt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reports.comparison.findings import Findings
from reports.comparison.join import Block, Row
from reports.comparison.names import dataset_label
from reports.formats.contents import Contents
from reports.formats.latex import escape_latex
from reports.formats.paper_options import COUNTS, STYLES, Paper
from reports.statistics.block import RunBlock
from reports.statistics.contrasts import ALPHA
from reports.tables.grid import slug
from results.citations import bibtex
from results.errors import unknown
from results.metrics import metric_named
from results.spread import mean_and_sd

PACKAGES = "% \\usepackage{booktabs,siunitx}"
MARK = "*"


def export(contents: Contents) -> dict[str, bytes]:
    """File name -> content."""
    return paper_files(contents.findings, contents.paper)


def paper_files(findings: Findings, asked: Paper) -> dict[str, bytes]:
    """File name -> content: a plain table for each data set and recipe of Table 1, and the BibTeX of all in them.

    Raises RequestError where a network is asked for that Table 1 has no row of.
    """
    found, cited = {}, dict.fromkeys(asked.networks)
    blocks = [block for block in findings.merged_blocks if not block.reference_only]
    known = {row.network for block in blocks for row in block.rows}
    for name in asked.networks:
        if name not in known:
            raise unknown("row of the tables for", name, known, "--networks takes any of: {names}")
    for block in blocks:
        rows = [row for row in block.rows if _is_shown(row, asked)]
        if rows:
            name = slug("plain", block.dataset, block.recipe)
            runs = findings.run_block(block.dataset, block.recipe)
            found[f"{name}.tex"] = _table(block, rows, runs, asked, name).encode()
            cited |= dict.fromkeys(row.network for row in rows)
    if found:
        found["references.bib"] = bibtex(cited).encode()
    return found


def _is_shown(row: Row, asked: Paper) -> bool:
    if asked.networks and row.network not in asked.networks:
        return False
    return bool(row.runs) or not asked.measured


def _table(block: Block, rows: Sequence[Row], runs: RunBlock | None, asked: Paper, name: str) -> str:
    environment, _ = STYLES[asked.style]
    columns = [_column(key, rows) for key in asked.shown]
    beaten = _beaten(runs, rows)
    lines = [
        f"{escape_latex(row.label)}{MARK if row.network in beaten else ''} & "
        + " & ".join(column.cell(row) for column in columns)
        + r" \\"
        for row in rows
    ]
    head = " & ".join(["Network", *(column.heading for column in columns)])
    return "\n".join(
        [
            PACKAGES,
            f"\\begin{{{environment}}}[t]",
            "\\centering\\footnotesize\\setlength{\\tabcolsep}{2pt}",
            f"\\caption{{{_caption(block, rows, beaten)}}}\\label{{tab:{name}}}",
            f"\\begin{{tabular}}{{@{{}}l{''.join(column.align for column in columns)}@{{}}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            f"\\end{{{environment}}}",
            "",
        ]
    )


def _caption(block: Block, rows: Sequence[Row], beaten: set[str]) -> str:
    """What the numbers are, in one breath."""
    sizes = sorted({len(row.runs) for row in rows if row.runs})
    words = f"{escape_latex(dataset_label(block.dataset))}, recipe \\texttt{{{escape_latex(block.recipe)}}}: percent, "
    words += "from pixels pooled over the test split"
    if sizes:
        number = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        words += f", mean $\\pm$ standard deviation over {number} seeds"
    words += ". Best in bold, second underlined."
    if beaten:
        words += f" {MARK} mIoU differs from the best network's ($p < {ALPHA}$, Holm)."
    return words


def _beaten(runs: RunBlock | None, rows: Sequence[Row]) -> set[str]:
    """Networks whose pooled IoU is separated from the best one's, of those that are shown."""
    if runs is None or len(runs.networks) < 2:
        return set()
    standing = runs.standing(metric_named("iou"))
    shown = {row.network for row in rows}
    best = next((each.network for each in standing.networks if each.network in shown), None)
    return {worse for better, worse in standing.separated if better == best} & shown


@dataclass(frozen=True)
class _Column:
    heading: str
    align: str
    cell: Callable[[Row], str]


def _column(key: str, rows: Sequence[Row]) -> _Column:
    if key in COUNTS:
        return _count_column(key, rows)
    if key == "published":
        return _Column("{mIoU, published}", "S[table-format=2.2]", _published)
    metric = metric_named(key)
    found = {row.network: mean_and_sd([100 * run.metrics[key] for run in row.runs]) for row in rows if row.runs}
    marks = _marks({network: mean for network, (mean, _) in found.items()}, -1)

    def cell(row: Row) -> str:
        if row.network not in found:
            return r"\multicolumn{1}{c}{--}"
        mean, sd = found[row.network]
        spread = "" if sd is None else f"\\,{{$\\pm$}}\\,{sd:.2f}"
        return f"{marks(row.network)(f'{mean:.2f}')}{spread}"

    return _Column(f"\\multicolumn{{1}}{{c}}{{{metric.heading}}}", "r", cell)


def _count_column(key: str, rows: Sequence[Row]) -> _Column:
    field, heading, unit = COUNTS[key]
    values = {row.network: value for row in rows if (value := row.counts[field].counted) is not None}
    marks = _marks({name: round(value, 3) for name, value in values.items()}, 1)

    def cell(row: Row) -> str:
        value = values.get(row.network)
        return "{--}" if value is None else f"{{{marks(row.network)(f'{value:.3f}')}}}"

    digits = max((len(f"{value:.0f}") for value in values.values()), default=1)
    return _Column(f"{{{heading}{f' ({unit})' if unit else ''}}}", f"S[table-format={digits}.3]", cell)


def _published(row: Row) -> str:
    value = row.comparisons["iou"].published
    return "{--}" if value is None else f"{100 * value:.2f}"


def _marks(values: Mapping[str, float], sign: int) -> Callable[[str], Callable[[str], str]]:
    """How the number of a network is set: the best bold, the second underlined, ties alike. sign: 1: less is better."""
    ranked = sorted({round(sign * value, 6) for value in values.values()})

    def of(network: str) -> Callable[[str], str]:
        place = ranked.index(round(sign * values[network], 6))
        forms = {0: "\\textbf{{{}}}", 1: "\\underline{{{}}}"}
        return forms.get(place, "{}").format if len(ranked) > 1 else "{}".format

    return of
