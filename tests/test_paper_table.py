"""The table that papers print: what stands in it, and that a page of two columns takes it in readable letters."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from reports.comparison.findings import Findings
from reports.formats.paper import paper_files
from reports.formats.paper_options import PLAIN, Paper
from reports.render import render
from results.errors import RequestError
from results.runs import load_runs
from tests import fake_runs

SKILLS = {"unet": 0.7, "malunet": 0.9, "ege_unet": 0.91, "aulunet_v3": 0.92}
TABLE = "plain-isic2018-paper.tex"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    fake_runs.write_suite(root, SKILLS)
    fake_runs.write_complexity(root)
    return root


def table(root: Path, asked: Paper = PLAIN) -> str:
    return paper_files(Findings.load(root), asked)[TABLE].decode()


def line(text: str, label: str) -> list[str]:
    """The cells of a network's row."""
    found = next(each for each in text.splitlines() if re.match(rf"{re.escape(label)}\*? &", each))
    return [cell.strip() for cell in found.removesuffix(r" \\").split("&")]


def test_a_row_says_what_was_measured_best_bold_second_underlined(root: Path) -> None:
    runs = {name: [run for run in load_runs(root).runs if run.cell.network == name] for name in SKILLS}
    values = {name: 100 * np.array([run.metrics["iou"] for run in mine]) for name, mine in runs.items()}
    ranked = sorted(values, key=lambda name: -values[name].mean())
    text = table(root)
    labels = {"unet": "U-Net", "malunet": "MALUNet", "ege_unet": "EGE-UNet", "aulunet_v3": "AULUNet-v3"}
    forms = [r"\textbf{{{}}}", r"\underline{{{}}}", "{}", "{}"]
    for name, form in zip(ranked, forms, strict=True):
        cell = line(text, labels[name])[3]
        mean, spread = f"{values[name].mean():.2f}", f"{values[name].std(ddof=1):.2f}"
        assert cell == f"{form.format(mean)}\\,{{$\\pm$}}\\,{spread}", name
    assert line(text, "AULUNet-v3")[1] == r"{\textbf{0.029}}", "fewest parameters"
    assert line(text, "U-Net")[0] == "U-Net*", "it is separated from the best"
    assert "5 seeds" in text
    assert "resizebox" not in text


def test_what_is_asked_for_is_shown(root: Path) -> None:
    wide = table(root, Paper("wide", networks=("unet", "malunet")))
    assert r"\begin{table*}" in wide
    assert [len(line(wide, label)) for label in ("U-Net", "MALUNet")] == [8, 8]
    assert "EGE-UNet" not in wide
    chosen = table(root, Paper(columns=("published", "sen")))
    assert line(chosen, "MALUNet")[1] == "81.03"
    everything = table(root, Paper(measured=False))
    assert line(everything, "VM-UNet")[3] == r"\multicolumn{1}{c}{--}"
    assert everything.count(r"\\") > table(root).count(r"\\") + 8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"style": "wider"}, "--style takes one of: narrow, wide"),
        ({"columns": ("iou", "auc")}, "--columns takes any of: params"),
        ({"columns": ("params", "gflops", "iou", "dsc", "acc")}, "name fewer, or give --style wide"),
    ],
)
def test_what_there_is_not(options: dict, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        Paper(**options)


def test_a_network_that_the_tables_have_not(root: Path) -> None:
    with pytest.raises(RequestError, match="--networks takes any of"):
        table(root, Paper(networks=("nnunet",)))


def test_what_is_shown_is_cited(root: Path) -> None:
    found = paper_files(Findings.load(root), PLAIN)["references.bib"].decode()
    assert found.count("@") == 5, "the suite, the paper and three networks of others"
    assert "malunet" in found.lower()


SKELETON = r"""
\documentclass[10pt,twocolumn]{article}
\usepackage[margin=1.9cm,a4paper]{geometry}
\usepackage{array,booktabs,longtable,siunitx}
\begin{document}
Words. \input{FILE}
\end{document}
"""


@pytest.mark.parametrize("name", [TABLE, "table1.tex", "claims.tex", "statistics.tex", "counts.tex"])
def test_a_page_of_two_columns_takes_it(root: Path, tmp_path: Path, name: str) -> None:
    """Compiled: nothing is too wide, and no letter is smaller than 7 pt."""
    if not shutil.which("pdflatex") or not shutil.which("pdftohtml"):
        pytest.skip("pdflatex or pdftohtml is not installed")
    render(root, tmp_path, {"latex"})
    (tmp_path / "paper.tex").write_text(SKELETON.replace("FILE", name))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "paper.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    told = subprocess.run(
        ["pdftohtml", "-xml", "-stdout", "paper.pdf"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    sizes = {each: int(size) / 1.5 for each, size in re.findall(r'fontspec id="(\d+)" size="(\d+)"', told)}
    letters = {
        font: text for font, text in re.findall(r'font="(\d+)">(.*?)</text>', told) if re.search("[A-Za-z]{2}", text)
    }
    assert len(letters) > 1
    assert min(sizes[font] for font in letters) >= 6.6, "7 pt, as whole pixels of 1.5 to a point"
