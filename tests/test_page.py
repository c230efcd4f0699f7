"""The page: complete and self-contained as text, and well-behaved in a real browser where one is installed."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reports.comparison.verdict import Verdict
from reports.render import render
from results.cell import Cell
from results.metrics import metric_named
from results.predictions import write
from results.runs import load_runs
from tests import fake_runs

SKILLS = {"unet": 0.8, "malunet": 0.84, "aulunet_v1": 0.86, "aulunet_v3": 0.9}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with runs of two recipes, a failed seed, a truncated file and a profile."""
    root = tmp_path_factory.mktemp("results")
    fake_runs.write_suite(root, SKILLS, masks=12)
    fake_runs.write_run(root, dataset="synthetic", recipe="quick", network="unet")
    fake_runs.write_failure(root, "malunet", 6)
    truncated = fake_runs.write_run(root, network="ege_unet") / "per_image.csv"
    truncated.write_text("".join(truncated.read_text().splitlines(keepends=True)[:20]))
    fake_runs.write_complexity(root)
    fake_runs.write_profile(root, networks=tuple(SKILLS))
    output = tmp_path_factory.mktemp("rendered")
    render(root, output, {"html"}, fake_runs.pictures)
    return output / "index.html"


class Reader(HTMLParser):
    """Collects ids, links within the page, and whatever the page would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.targets: set[str] = set()
        self.fetched: list[str] = []
        self.files: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids[str(value)] += 1
            elif name in ("href", "xlink:href") and str(value).startswith("#"):
                self.targets.add(str(value)[1:])
            elif tag == "a" and name == "href":
                self.files.add(str(value))
            elif name in ("src", "href", "xlink:href", "srcset") and not str(value).startswith("data:"):
                self.fetched.append(f"{tag} {name}={value}")


def test_page_fetches_nothing_and_its_anchors_meet(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    reader = Reader(text)
    assert reader.fetched == []
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert [name for name, number in reader.ids.items() if number > 1] == []
    assert reader.targets - set(reader.ids) == set()
    assert reader.files == {path.name for path in page.parent.glob("network-*.html")} & reader.files


def test_every_link_to_a_file_meets_one(tmp_path: Path) -> None:
    """Of the page with all that is written beside it, and of each network's own page."""
    root, output = tmp_path / "results", tmp_path / "rendered"
    fake_runs.write_suite(root, SKILLS)
    fake_runs.write_complexity(root)
    render(root, output, {"html", "md", "latex", "csv", "figures"})
    names = {path.name for path in output.iterdir()}
    index = Reader((output / "index.html").read_text(encoding="utf-8"))
    assert {"table1.csv", "table1.tex", "claims.md", "figure2b.pdf", "network-aulunet-v3.html"} <= index.files
    assert index.files <= names
    assert {each.partition("=")[2] for each in index.fetched} <= names, "drawings beside the page"
    pages = list(output.glob("network-*.html"))
    assert len(pages) > 20
    for each in pages:
        own = Reader(each.read_text(encoding="utf-8"))
        assert own.fetched == []
        assert own.files == {"index.html"}
        assert own.targets <= set(own.ids)


def test_a_network_has_a_page_with_what_is_known_of_it(page: Path) -> None:
    text = (page.parent / "network-aulunet-v3.html").read_text(encoding="utf-8")
    for said in (
        "AKF: two depthwise",
        "Parameters</th><td>",
        "@inproceedings",
        "seeds 1-5",
        "Learning curves",
        "ISIC_00000",
    ):
        assert said in text
    bare = (page.parent / "network-vm-unet.html").read_text(encoding="utf-8")
    assert "selective scan along rows" in bare
    assert "No finished run is stored" in bare


def test_first_screen_names_what_was_run_and_every_verdict(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    summary = text[text.index('<section id="summary"') : text.index('<section id="table1"')]
    assert "20 runs of 4 networks (seeds 1-5)" in summary
    assert "1 failed seed and 1 file that could not be used" in summary
    assert all(verdict.value in summary for verdict in Verdict if verdict is not Verdict.NO_CLAIM)


def test_problems_are_listed_with_path_and_cure(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    problems = text[text.index('<section id="problems"') : text.index('<section id="provenance"')]
    assert "ege_unet/seed-1/per_image.csv" in problems
    assert "truncated" in problems
    assert "run this cell again" in problems
    assert "isic2018 / paper / malunet / seed 6" in problems
    assert str(page.parents[1]) not in text


def test_the_hardest_images_are_shown_where_photographs_are_at_hand(tmp_path: Path) -> None:
    folder = fake_runs.write_run(tmp_path, network="unet")
    write(folder / "predictions.tif", fake_runs.prediction(Cell("isic2018", "paper", "unet", 1), 0.85))
    render(tmp_path, tmp_path / "rendered", {"html"}, fake_runs.pictures)
    text = (tmp_path / "rendered" / "network-unet.html").read_text(encoding="utf-8")
    images = text[text.index('<section id="images"') : text.index('<section id="runs"')]
    assert images.count("data:image/jpeg;base64") == 1
    run = load_runs(tmp_path).runs[0]
    assert metric_named("iou")(run.counts).argmin() == int(re.search(r"<td>ISIC_0*(\d+)</td>", images)[1] or 0)


def test_page_says_which_rows_are_our_interpretation(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "AULUNet-v1†" in text
    differences = text[text.index('<section id="differences"') :]
    assert re.search(r"AULUNet-v1[^<]*</strong>: Our interpretation", differences)


def test_page_without_runs_says_so(tmp_path: Path) -> None:
    render(tmp_path, tmp_path / "rendered", {"html"})
    text = (tmp_path / "rendered" / "index.html").read_text(encoding="utf-8")
    assert "no finished run is stored" in text
    assert "Predictions need finished runs" in text
    assert text.count("not measured") > 50


def test_page_without_photographs_says_why(tmp_path: Path) -> None:
    fake_runs.write_run(tmp_path)
    render(tmp_path, tmp_path / "rendered", {"html"})
    assert "No photographs" in (tmp_path / "rendered" / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright for Python is not installed")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def tab(browser, page: Path) -> Iterator:
    """The page in a fresh tab; fails if it logs, throws or fetches anything."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    tab, heard = context.new_page(), []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("request", lambda request: heard.append(request.url) if request.url.startswith("http") else None)
    tab.goto(page.as_uri())
    yield tab
    context.close()
    assert heard == []


TABLE = "#table1-isic2018-paper table"


def column(tab, number: int) -> list[str]:
    return tab.locator(f"{TABLE} tbody tr > :nth-child({number})").all_inner_texts()


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_sorting_a_column_up_down_and_back(tab, how: str) -> None:
    header = tab.locator(f"{TABLE} th[data-column='7']")
    assert header.inner_text().startswith("measured")

    def sort() -> str:
        if how == "mouse":
            header.locator("button").click()
        else:
            header.locator("button").focus()
            tab.keyboard.press("Enter")
        return header.get_attribute("aria-sort")

    order = column(tab, 1)
    assert sort() == "ascending"
    rising = [float(text.split()[0]) for text in column(tab, 8) if text[0].isdigit()]
    assert rising == sorted(rising)
    assert len(rising) == len(SKILLS)
    assert column(tab, 8)[-1].startswith("not")
    assert sort() == "descending"
    falling = [float(text.split()[0]) for text in column(tab, 8)[: len(SKILLS)]]
    assert falling == rising[::-1]
    assert sort() == "none"
    assert column(tab, 1) == order
    assert tab.locator("#announcer").inner_text() == "order of the paper"


def test_words_sort_by_letters_and_groups_stay_together(tab) -> None:
    tab.locator("#table3-isic2018-paper th[data-column='0'] button").click()
    bodies = tab.locator("#table3-isic2018-paper tbody")
    assert [len(bodies.nth(k).locator("tr:not(.group)").all()) for k in range(bodies.count())] == [6, 4]
    names = bodies.first.locator("tr:not(.group) th").all_inner_texts()
    assert names == sorted(names)


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_is_wider_than_the_window(tab, width: int) -> None:
    tab.set_viewport_size({**PHONE, "width": width})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_claims_are_on_the_first_screen(tab) -> None:
    assert tab.locator("#claims tbody tr").first.bounding_box()["y"] < 900


def test_rows_that_are_not_measured_are_shown_when_asked_for(tab) -> None:
    assert len(visible(tab)) == len(SKILLS)
    tab.locator("#measured-only").uncheck()
    assert len(visible(tab)) == 16
    assert tab.locator("#table1-isic2017-paper table").is_visible()
    tab.locator("#measured-only").check()
    assert len(visible(tab)) == len(SKILLS)
    assert not tab.locator("#table1-isic2017-paper table").is_visible()
    assert "None of these 16 rows is measured yet" in tab.locator("#table1-isic2017-paper").inner_text()


def visible(tab) -> list[str]:
    """Names in Table 1 that can be seen."""
    rows = tab.locator(f"{TABLE} tbody tr:not(.group)")
    return [rows.nth(k).locator("th").inner_text() for k in range(rows.count()) if rows.nth(k).is_visible()]


def test_a_search_leaves_the_rows_with_its_words(tab) -> None:
    tab.locator("#search").fill("aulunet v1")
    assert visible(tab) == ["AULUNet-v1†"]
    assert not tab.locator("#claims table").is_visible()
    assert "rows with aulunet v1" in tab.locator("#announcer").inner_text()
    tab.locator("#search").fill("")
    assert len(visible(tab)) == len(SKILLS)


def test_a_group_of_columns_folds_into_what_was_measured(tab) -> None:
    def headings() -> list[str]:
        found = tab.locator(f"{TABLE} thead tr:nth-child(2) th")
        return [found.nth(k).inner_text().strip("↕ ") for k in range(found.count()) if found.nth(k).is_visible()]

    before = headings()
    group = tab.locator(f"{TABLE} thead button.group", has_text="mIoU")
    group.click()
    assert headings() == [*before[:4], "measured", *before[8:]]
    assert group.get_attribute("aria-expanded") == "false"
    first = tab.locator(f"{TABLE} tbody tr").first
    assert first.locator("td").nth(5).is_hidden()
    group.click()
    assert headings() == before


def test_heads_of_long_tables_stay_in_sight(tab) -> None:
    tab.locator("#measured-only").uncheck()
    tab.set_viewport_size({"width": 1440, "height": 420})
    box = tab.locator("#table1-isic2018-paper .scroll")
    box.evaluate("each => { each.scrollTop = 200; }")
    head = tab.locator(f"{TABLE} thead th").first.bounding_box()
    assert abs(head["y"] - box.bounding_box()["y"]) < 3


def test_theme_follows_the_system_and_the_button(tab) -> None:
    def background() -> str:
        return tab.evaluate("getComputedStyle(document.body).backgroundColor")

    light = background()
    tab.emulate_media(color_scheme="dark")
    dark = background()
    assert light == "rgb(255, 255, 255)"
    assert dark != light
    tab.locator("#theme").click()
    assert background() == light


def test_runs_are_one_click_away(tab) -> None:
    runs = tab.locator("#runs-isic2018-paper-aulunet-v3")
    assert not runs.locator("table").is_visible()
    tab.locator(f"{TABLE} tbody a", has_text="AULUNet-v3").click()
    assert runs.locator("table").is_visible()
    assert runs.locator("tbody tr").count() == 5
    assert "Data fingerprint" in runs.inner_text()
