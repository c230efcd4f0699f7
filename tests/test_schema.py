"""The formats of the results folder: what is committed comes back byte for byte, and nothing wrong gets through."""

import json
import pickle
import random
import re
from pathlib import Path
from typing import Any

import pytest

from results import files, leakage, profiles
from results.accepted import Accepted
from results.cell import CONFIG, FAILED, HISTORY, PER_IMAGE, REPORT
from results.complexity import ComplexityTable
from results.document import Document
from results.errors import Damaged
from results.profiles import Profile
from results.published import TABLES, Contradictions, PublishedTable
from results.schema import Config, GivenUp, History, PerImage, Report
from results.table import Table
from tests import fake_runs

FORMATS: dict[str, type[Document] | type[Table]] = {
    CONFIG: Config,
    REPORT: Report,
    FAILED: GivenUp,
    HISTORY: History,
    PER_IMAGE: PerImage,
    "profile.json": Profile,
    "complexity.csv": ComplexityTable,
    "accepted.csv": Accepted,
    leakage.PAIRS_FILE: leakage.Pairs,
    leakage.SHARED_FILE: leakage.Shared,
    "contradictions.csv": Contradictions,
}
DOCUMENTS = (CONFIG, REPORT, "profile.json")
Files = dict[str, Path]


@pytest.fixture
def found(tmp_path: Path) -> Files:
    """One file of each format that a test may damage."""
    folder = fake_runs.write_run(tmp_path, images=6)
    places = {name: folder / name for name in (CONFIG, REPORT, HISTORY, PER_IMAGE)}
    places[FAILED] = fake_runs.write_failure(tmp_path, "unet", 2) / FAILED
    places["profile.json"] = fake_runs.write_profile(tmp_path)
    places["complexity.csv"] = fake_runs.write_complexity(tmp_path)
    for name in ("accepted.csv", leakage.PAIRS_FILE, leakage.SHARED_FILE, "published/contradictions.csv"):
        places[Path(name).name] = tmp_path / Path(name).name
        places[Path(name).name].write_bytes((files.HOME / name).read_bytes())
    return places


def committed(name: str) -> list[Path]:
    """All files of a format in this checkout."""
    if name == "profile.json":
        return profiles.found(files.HOME)
    if name in (CONFIG, REPORT, HISTORY, PER_IMAGE):
        return sorted(files.HOME.glob(f"runs/*/*/*/*/{name}"))
    return [path for path in (files.HOME / name, files.HOME / "published" / name) if path.exists()]


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {FAILED}))
def test_committed_files_come_back_byte_for_byte(name: str, tmp_path: Path) -> None:
    paths = committed(name)
    assert paths
    for path in paths:
        FORMATS[name].read(path).write(tmp_path / name)
        if name == "contradictions.csv":  # typed by a person, who quotes more than needed
            assert FORMATS[name].read(tmp_path / name).rows.equals(FORMATS[name].read(path).rows)
        else:
            assert (tmp_path / name).read_bytes() == path.read_bytes().replace(b"miou", b"iou"), path  # earlier keys


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_the_tests_write_comes_back_byte_for_byte(name: str, found: Files, tmp_path: Path) -> None:
    FORMATS[name].read(found[name]).write(tmp_path / "again")
    again = FORMATS[name].read(tmp_path / "again")
    again.write(tmp_path / "third")
    assert (tmp_path / "third").read_bytes() == (tmp_path / "again").read_bytes()
    if name not in ("contradictions.csv", "complexity.csv"):  # without notes, which are added
        assert (tmp_path / "again").read_bytes() == found[name].read_bytes()


def change(path: Path, **keys: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


@pytest.mark.parametrize("name", [*DOCUMENTS, FAILED])
def test_newer_formats_are_refused_by_name(name: str, found: Files) -> None:
    change(found[name], format=3)
    sentence = r": it has format 3, which is newer than this version reads \(1\); read it with the version that wrote"
    with pytest.raises(Damaged, match=re.escape(str(found[name])) + sentence):
        FORMATS[name].read(found[name])


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("version", [None, "1", 0, 1.5, [1]])
def test_a_format_that_is_none_is_refused(name: str, version: object, found: Files) -> None:
    change(found[name], format=version)
    with pytest.raises(Damaged, match="this version reads format 1"):
        FORMATS[name].read(found[name])


def test_keys_of_another_version_survive_a_rewrite(found: Files) -> None:
    content = json.loads(found[CONFIG].read_text())
    content["split"] |= {"ids": "of another version"}
    content |= {"augmentation": {"flip": [0.5, None]}}
    found[CONFIG].write_text(json.dumps(content))
    Config.read(found[CONFIG]).changed(label="another").write(found[CONFIG])
    assert json.loads(found[CONFIG].read_text()) == content | {"label": "another"}


def test_columns_of_another_version_survive_a_rewrite(found: Files) -> None:
    header, *lines = found[HISTORY].read_text().splitlines()
    text = "\n".join([header + ",gradient", *(line + ",NA" for line in lines), ""])
    found[HISTORY].write_text(text)
    History.read(found[HISTORY]).write(found[HISTORY])
    assert found[HISTORY].read_text() == text


def test_what_an_earlier_version_did_not_record_is_none_and_stays_away(found: Files) -> None:
    config, report = Config.read(found[CONFIG]), Report.read(found[REPORT])
    assert (config.identity, config.data, config.engine, report.engine) == (None, None, None, None)
    assert "engine" not in config.content()
    assert config.cell == report.cell
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("name", "keys", "sentence"),
    [
        (CONFIG, {"seed": "1"}, "its seed is '1', and should be a integer"),
        (CONFIG, {"seed": True}, "its seed is True"),
        (CONFIG, {"split": "paper"}, "its split is 'paper', and should be an object"),
        (CONFIG, {"split": {"rule": "paper"}}, r"it has no split\.sizes"),
        (CONFIG, {"deviations": "none"}, "its deviations is 'none', and should be a list"),
        (CONFIG, {"data": {"originals": {"images": -1}}}, r"its data\.originals\.images is -1"),
        (CONFIG, {"recipe_settings": [8]}, "its recipe_settings is"),
        (CONFIG, {"recipe_settings": {"lr": float("inf")}}, r"its recipe_settings\.lr is inf, not a finite number"),
        (REPORT, {"metrics": {"iou": float("nan")}}, r"its metrics\.iou is nan, not a finite number"),
        (REPORT, {"metrics": {"iou": 80.0}}, r"its metrics\.iou is 80\.0"),
        (REPORT, {"host": 3}, "its host is 3, and should be an object"),
        (REPORT, {"seconds": "long"}, "its seconds is 'long', and should be a number"),
        (REPORT, {"note": "\ud800"}, "its 'note' holds a character that does not exist"),
        (FAILED, {"reason": None}, "its reason is None"),
        ("profile.json", {"machine": "box"}, "its machine is 'box', and should be an object"),
        ("profile.json", {"rows": [{"network": "unet"}]}, r"it has no rows\.0\.device"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(name: str, keys: dict, sentence: str, found: Files) -> None:
    change(found[name], **keys)
    with pytest.raises(Damaged, match=f"{re.escape(str(found[name]))}: {sentence}.*; ") as damage:
        FORMATS[name].read(found[name])
    assert damage.value.cure == FORMATS[name].CURE
    assert pickle.loads(pickle.dumps(damage.value)).problem == damage.value.problem


@pytest.mark.parametrize(
    ("name", "line", "sentence"),
    [
        (HISTORY, "1.5,0.1,1,1,0.5,0.5", "epoch is '1.5' in line 2, not a whole number of at least 1"),
        (HISTORY, "1,0.1,1,nan,0.5,0.5", "validation_loss is 'nan' in line 2, not a number"),
        (HISTORY, "1,0.1,1,1,1.5,0.5", "validation_iou is '1.5' in line 2, not a number from 0 to 1"),
        (HISTORY, "1,0.1,1", "line 2 has 3 values where the table has 6"),
        (PER_IMAGE, "a,1,,3,4", "fp is '' in line 2, not a whole number"),
        (PER_IMAGE, "a,1,-2,3,4", "fp is '-2' in line 2"),
        (PER_IMAGE, f"a,1,{10**30},3,4", "fp is '1000.*' in line 2"),
        (PER_IMAGE, "ISIC_0000001,1,2,3,4", "ISIC_0000001 stands twice"),
        ("complexity.csv", "unet,many,,,,,,,", "parameters is 'many' in line 2"),
        ("accepted.csv", "a,b,c,iou,high,3,0.1", "mean is 'high' in line 2"),
        (leakage.SHARED_FILE, "paper,a,training,1,b,test,0", "part is 'training', not one of train, validation, test"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(name: str, line: str, sentence: str, found: Files) -> None:
    if name == "complexity.csv":
        ComplexityTable.read(found[name]).write(found[name])  # with all columns
    header, _, *rest = found[name].read_text().splitlines()
    found[name].write_text("\n".join([header, line, *rest, ""]))
    with pytest.raises(Damaged, match=f"{re.escape(str(found[name]))}: {sentence}.*; "):
        FORMATS[name].read(found[name])


def test_an_empty_count_is_a_counter_that_failed(found: Files) -> None:
    text = found["complexity.csv"].read_text().replace("unet,7765985,", "unet,,", 1)
    found["complexity.csv"].write_text(text)
    table = ComplexityTable.read(found["complexity.csv"])
    assert "parameters" not in table.by_network["unet"]
    assert table.by_network["unet"]["thop_parameters"] == 7_765_985
    table.write(found["complexity.csv"])
    assert found["complexity.csv"].read_text().splitlines()[1].startswith("unet,,7765985,")


def _anything(rng: random.Random) -> Any:
    return rng.choice(
        [None, True, -1, 0, 7, 2.5, 1e300, 10**40, float("nan"), "", "x", "\ud800", [], [[]], {}, {"a": 1}]
    )


def _mutated(content: Any, rng: random.Random) -> Any:
    """One value somewhere in the content replaced, removed or doubled."""
    if isinstance(content, dict) and content and rng.random() < 0.9:
        key = rng.choice(list(content))
        if rng.random() < 0.15:
            return {name: value for name, value in content.items() if name != key}
        return content | {key: _mutated(content[key], rng)}
    if isinstance(content, list) and content and rng.random() < 0.9:
        place = rng.randrange(len(content))
        return [*content[:place], _mutated(content[place], rng), *content[place + rng.randrange(2) :]]
    return _anything(rng)


def _spoiled(path: Path, whole: bytes, rng: random.Random) -> bytes:
    """Of a JSON file mostly one value; of any file else some bytes."""
    if path.suffix == ".json" and rng.random() < 0.8:
        return json.dumps(_mutated(json.loads(whole), rng)).encode()
    place, length = rng.randrange(len(whole)), rng.choice([0, 1, 1, 2, 9, len(whole)])
    new = bytes(rng.choice(b',"\n-.0123456789e{}[]:naif\x00\xff ') for _ in range(rng.randrange(4)))
    return whole[:place] + new + whole[place + length :]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_random_change_is_read_or_refused_in_a_sentence(name: str, found: Files, tmp_path: Path) -> None:
    rng, whole, refused = random.Random(name), found[name].read_bytes(), 0
    for _ in range(100):
        found[name].write_bytes(_spoiled(found[name], whole, rng))
        try:
            FORMATS[name].read(found[name]).write(tmp_path / "again")
            FORMATS[name].read(tmp_path / "again")
        except Damaged as damage:
            refused += damage.path == found[name]
    assert 15 < refused < 100


def test_a_random_change_of_a_published_table_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, noted = fake_runs.copy_published(tmp_path / "published", monkeypatch), 0
    for name in TABLES:
        path, rng = folder / f"{name}.csv", random.Random(name)
        whole = path.read_bytes()
        for _ in range(25):
            path.write_bytes(_spoiled(path, whole, rng))
            try:
                noted += len(PublishedTable.read(name).problems)
            except Damaged as damage:
                noted += damage.path == path
    assert noted > 5


def test_a_message_about_hostile_text_is_one_plain_line() -> None:
    damage = Damaged(Path("a.csv"), "b\0\n\u202e" + "c" * 1000, "mend it")
    assert str(damage.problem) == str(damage)
    assert str(damage).startswith("a.csv: b\\x00\\n\\u202ec")
    assert str(damage).endswith("c ...; mend it.")
    assert len(str(damage)) == len("a.csv: ; mend it.") + 400
