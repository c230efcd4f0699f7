"""What the README, CONTRIBUTING and the pages of docs/ say is what happens."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file
from typer.testing import CliRunner

from benchmarks.cli.app import app
from benchmarks.datasets.splits import COUNTS, RULES
from benchmarks.protocol.recipe import RECIPES, Recipe
from benchmarks.protocol.suites import SUITES
from results.metrics import DEFINITIONS, METRICS

ROOT = Path(__file__).parents[1]
PAGES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", *PAGES]
EXAMPLES = {"tiny": "own_network", "supervised": "own_objective", "bounded": "own_training_head"}
QUICK = (  # commands of the pages that take a second, and what they print; tests/test_cli.py lists networks
    ("docs/index.md", "python -m benchmarks list suites", "ablation-dilations"),
    ("docs/index.md", "python -m benchmarks list runs", "aulunet_v3"),
)


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str = "") -> list[str]:
    """The fenced blocks of a document."""
    return re.findall(rf"```{language}\n(.*?)```", text(name), flags=re.DOTALL)


def environment(home: Path) -> dict[str, str]:
    """Of a process that finds this checkout and nothing of the user's."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(ROOT)}


def test_ci_runs_the_readmes_test_command():
    command = next(block for block in blocks("README.md") if "pytest" in block).strip()
    assert command in text(".ci/run").splitlines()


def test_the_start_page_installs_as_the_readme_does():
    assert blocks("README.md")[0] in blocks("docs/index.md")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_shown_exists_with_its_options(document):
    for command, arguments in re.findall(r"python -m benchmarks (\w+)([^\n#&`]*)", text(document)):
        usage = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [command, "--help"])
        assert usage.exit_code == 0, command
        for option in re.findall(r"--[a-z-]+", arguments):
            assert option in usage.output, f"{command} {option}"


def test_commands_are_found_where_they_are_shown():
    """The test above is not satisfied by finding nothing."""
    pages = (
        "index",
        "own-network",
        "own-data",
        "recipes",
        "many-machines",
        "results-format",
        "reproduction",
        "performance",
    )
    for document in ("README.md", "CONTRIBUTING.md", *(f"docs/{page}.md" for page in pages)):
        assert re.search(r"python -m benchmarks \w+", text(document)), document


@pytest.mark.parametrize(("document", "command", "said"), QUICK, ids=lambda value: str(value).split("/")[-1])
def test_quick_commands_do_what_the_page_says(document, command, said):
    assert command in "".join(blocks(document))
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, command.split()[3:])
    assert done.exit_code == 0, done.output
    assert said in done.output


def test_parts_of_a_divided_suite_are_put_together_as_the_page_says(tmp_path):
    """docs/many-machines.md, from two results folders to one report."""
    together, report = next(block for block in blocks("docs/many-machines.md") if "cp -r" in block).strip().splitlines()
    for part, seed in (("part-a", "seed-1"), ("part-b", "seed-2")):
        whole = ROOT / "results/runs/isic2018/small/unext_s" / seed
        copy = tmp_path / part / whole.relative_to(ROOT / "results")
        copy.mkdir(parents=True)
        for name in ("config.json", "history.csv", "per_image.csv", "report.json"):
            (copy / name).write_bytes((whole / name).read_bytes())
    subprocess.run(together, shell=True, cwd=tmp_path, check=True)
    arguments = [
        *report.split()[3:-1],
        str(tmp_path / "together"),
        "--format",
        "csv",
        "--output",
        str(tmp_path / "out"),
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert " 2" in (tmp_path / "out" / "table1.csv").read_text().replace(",2,", ", 2,")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_paths_lead_somewhere(document):
    """Links between documents, and every path of this repository that is named in code font."""
    page = re.sub(r"<!--.*?-->", "", text(document), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page):
        assert (ROOT / document).parent.joinpath(target).exists(), target
    folders = "models|baselines|benchmarks|results|reports|tests|docs|examples|\\.github|\\.ci"
    for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", page):
        assert (ROOT / path).exists() or path in ("results/runs", "results/runs/"), path


def test_every_page_is_in_the_navigation():
    """mkdocs warns too, but the gate's tests should not wait for it."""
    listed = re.findall(r": ([\w/-]+\.md)$", text("mkdocs.yml"), flags=re.MULTILINE)
    assert sorted(f"docs/{page}" for page in listed) == PAGES


@pytest.mark.parametrize("page", [page for page in PAGES if "/api/" in page])
def test_what_the_api_reference_lists_exists_and_is_described(page):
    names = re.findall(r"^::: ([\w.]+)$", text(page), flags=re.MULTILINE)
    assert names
    for name in names:
        module, _, attribute = name.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except AttributeError:
            found = importlib.import_module(name)
        described = inspect.getdoc(found)
        assert described, f"{name} has no docstring"
        assert not re.search(r"<\w", re.sub("`[^`]*`", "", described)), f"{name}: Markdown takes <root> for HTML"


def test_the_recipes_page_has_every_setting_recipe_and_suite():
    page = text("docs/recipes.md")
    settings = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", page, flags=re.MULTILINE))
    paper = {field.name: str(getattr(Recipe(), field.name)) for field in fields(Recipe) if field.name != "base"}
    assert {name: settings.get(name) for name in paper} == paper
    for name, recipe in RECIPES.items():
        assert re.search(
            rf"^\| `{name}` \|.*\| {recipe.size} \| {recipe.batch} \| {recipe.epochs} \|$", page, re.MULTILINE
        )
    for suite in SUITES.values():
        assert re.search(rf"^\| `{suite.name}` \|.*\| 1 to {len(suite.seeds)} \|$", page, flags=re.MULTILINE), (
            suite.name
        )


def test_the_protocol_and_data_pages_have_every_split_metric_and_data_set():
    protocols, data = text("docs/protocols.md"), text("docs/own-data.md")
    for name in (*RULES, *(metric.name for metric in (*METRICS, *DEFINITIONS))):
        assert f"| `{name}` |" in protocols, name
    for name, counts in COUNTS.items():
        row = f"| `{name}` | {sum(counts):,} | {' / '.join(map(str, counts))} |"
        assert row in data


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The plugins of examples/, trained for one epoch each by one command; their run folders by name."""
    home = tmp_path_factory.mktemp("examples")
    arguments = []
    for name, file in EXAMPLES.items():
        arguments += ["--network", name, "--plugin", f"examples/{file}.py"]
    small = ["--suite", "quick", "--size", "32", "--epochs", "1", "--seeds", "1", "--no-kernels"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "run", *arguments, *small, "--results", str(home / "results")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment(home),
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return {name: home / "results/runs/synthetic/quick+epochs=1,size=32" / name / "seed-1" for name in EXAMPLES}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_plugins_train(name, trained):
    """From a file to a table; what only training needs is not stored."""
    assert (trained[name] / "report.json").exists()
    stored = load_file(trained[name] / "weights.safetensors")
    assert not [key for key in stored if "boundary" in key or "stream" in key]
    command = f"--network {name} --plugin examples/{EXAMPLES[name]}.py"
    assert command in text(f"examples/{EXAMPLES[name]}.py")
    assert f'--8<-- "examples/{EXAMPLES[name]}.py"' in text("docs/own-network.md")


def test_every_file_and_field_of_a_run_is_described(trained):
    page = text("docs/results-format.md")
    folder = trained["tiny"]
    for path in folder.iterdir():
        assert f"`{path.name}" in page, path.name
    for file in ("config.json", "report.json", "history.csv"):
        section = page.split(f"### {file}\n")[1].split("\n#")[0]
        path = folder / file
        names = json.loads(path.read_text()) if file.endswith("json") else pd.read_csv(path).columns
        for name in names:
            assert f"`{name}`" in section, f"{file}: {name}"
    for name in json.loads((folder / "report.json").read_text())["host"]:
        assert f"`{name}`" in page


@pytest.mark.parametrize(
    ("file", "section"),
    [
        ("complexity.csv", "complexity.csv"),
        ("accepted.csv", "accepted.csv"),
        ("near_duplicates.csv", "near_duplicates.csv and shared_ids.csv"),
        ("shared_ids.csv", "near_duplicates.csv and shared_ids.csv"),
        ("published/contradictions.csv", "published/"),
    ],
)
def test_every_column_of_the_other_tables_is_described(file, section):
    described = text("docs/results-format.md").split(f"## {section}\n")[1].split("\n## ")[0]
    for column in pd.read_csv(ROOT / "results" / file, nrows=1).columns:
        assert f"`{column}`" in described, column


def test_every_field_of_a_profile_is_described():
    described = text("docs/results-format.md").split("## profiles/MACHINE.json\n")[1].split("\n## ")[0]
    for path in (ROOT / "results/profiles").glob("*.json"):
        profile = json.loads(path.read_text())
        for name in (*profile, *profile["machine"], *profile["rows"][0], *profile["rows"][0]["latency_ms"]):
            assert f"`{name}`" in described, name


def test_the_example_of_use_from_python_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, "examples/use_from_python.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert "28,636 parameters" in done.stdout
    assert "isic2018 / small / aulunet_v3" in done.stdout


def test_the_citation_command_of_the_readme_runs(tmp_path):
    command = next(block for block in blocks("README.md") if "bibtex" in block)
    assert command in blocks("docs/index.md")
    code = re.search(r'python -c "(.*)"', command)[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=environment(tmp_path),
    )
    assert done.stdout.count("@inproceedings{") == 3  # the paper and two networks


def commands_of(workflow: str) -> set[str]:
    """All that the jobs of a workflow run, a line each."""
    jobs = yaml.safe_load(text(f".github/workflows/{workflow}.yml"))["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    return {line.strip() for run in runs for line in run.splitlines()}


def test_the_workflows_run_the_documented_check():
    """Every command of tox in its plain form, besides installation nothing else, and the same in CONTRIBUTING."""
    by_hand = next(block for block in blocks("CONTRIBUTING.md") if "mypy" in block).replace(" && ", "\n")
    documented = set(by_hand.strip().splitlines())
    gate = text("tox.ini")
    for command in documented:
        assert re.sub(r"^python -m pytest$", "pytest", command).replace("--site-dir site", "--site-dir") in gate, (
            command
        )
    install = {"python -m pip install uv", 'uv pip install --system -e ".[dev]"'}
    assert commands_of("ci") == documented | install


def test_published_numbers_are_checked_as_the_readme_says():
    commands = commands_of("published-numbers")
    checked = next(command for command in commands if " check " in command)
    shown = next(line for line in "".join(blocks("README.md")).splitlines() if "published-numbers.yml" in line)
    assert set(checked.split()) == set(shown.split("#")[0].split())


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/**/*.yml")), ids=lambda path: path.name)
def test_forms_and_workflows_are_whole(path):
    content = yaml.safe_load(path.read_text())
    if "workflows" in path.parts:
        assert {"name", True, "permissions", "jobs"} <= set(content)  # YAML 1.1 reads the key "on" as true
        assert all("timeout-minutes" in job for job in content["jobs"].values())
    elif path.name != "config.yml":
        asked = [part for part in content["body"] if part["type"] != "markdown"]
        assert {"name", "description", "body"} <= set(content)
        assert len({part["id"] for part in asked}) == len(asked) >= 5
        assert all(part["attributes"]["label"] for part in asked)


def test_the_hooks_are_the_gates_lint():
    (repository,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    entries = [hook["entry"].replace(" --force-exclude", " .") for hook in repository["hooks"]]
    assert repository["repo"] == "local"
    assert all(entry in text("tox.ini") for entry in entries)
