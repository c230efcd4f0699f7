"""A user's own files: what they may import, what stays behind, and what their errors say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.networks import plugins, registry
from benchmarks.networks.entry import Entry
from results.errors import RequestError

ROOT = Path(__file__).parents[1]
BLOCK = """
from torch import nn

class Block(nn.Sequential):
    def __init__(self, width: int = 4) -> None:
        super().__init__(nn.BatchNorm2d(3), nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 1, 1))
"""
NETWORK = """
from {module} import Block
from benchmarks.networks.entry import Entry

NETWORKS = [Entry("{name}", "Mine", Block, deviations=("Not of the paper.",))]
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """Registry, modules and search path as they were."""
    monkeypatch.setattr(registry, "ENTRIES", dict(registry.ENTRIES))
    modules, path = dict(sys.modules), list(sys.path)
    yield
    assert sys.path == path
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)


def write(folder: Path, name: str = "mine", module: str = "blocks", block: str = BLOCK) -> str:
    """A plugin with a file beside it; its path."""
    beside = folder.joinpath(*module.split(".")).with_suffix(".py")
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_text(block)
    path = folder / f"{name}_file.py"
    path.write_text(NETWORK.format(module=module, name=name))
    return str(path)


def files(name: str) -> list[str]:
    plugin = registry.entry(name).plugin
    assert plugin is not None
    return [path.name for path in plugin.files]


@pytest.mark.parametrize("module", ["blocks", "my_networks.blocks", "models"])
def test_files_beside_a_plugin_are_its_own(tmp_path, module):
    """Also where this project, or an earlier plugin, has a module of that name; that one stays what it was."""
    ours = sys.modules.get(module.partition(".")[0])
    path = write(tmp_path, module=module)
    assert registry.load_plugin(path) == ["mine"]
    assert files("mine") == ["mine_file.py", f"{module.rpartition('.')[2]}.py"]
    assert type(registry.build("mine")).__name__ == "Block"
    assert ours is None or sys.modules[module.partition(".")[0]] is ours


def test_two_plugins_have_each_their_own_file_of_one_name(tmp_path):
    registry.load_plugin(write(tmp_path / "a", "first"))
    registry.load_plugin(write(tmp_path / "b", "second", block=BLOCK.replace("= 4", "= 5")))
    assert [registry.build(name)[1].out_channels for name in ("first", "second")] == [4, 5]


def test_imports_inside_functions_of_packages_and_relative_ones_belong_to_a_plugin(tmp_path):
    package = tmp_path / "parts"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "layer.py").write_text("from ..shared import WIDTH\n")
    (package / "shared.py").write_text("WIDTH = 4\n")
    (package / "unused.py").write_text("")
    path = tmp_path / "mine.py"
    path.write_text("import json\nNETWORKS = []\ndef build():\n    import torch\n    from parts.deep import layer\n")
    registry.load_plugin(str(path))
    plugin = plugins._plugin(sys.modules["plugin_mine"], str(path))
    assert [file.name for file in plugin.files] == ["mine.py", "__init__.py", "layer.py", "shared.py"]


def test_a_module_is_a_plugin_too(tmp_path, monkeypatch):
    write(tmp_path / "own_package", module="blocks")
    (tmp_path / "own_package" / "__init__.py").write_text("")
    file = tmp_path / "own_package" / "mine_file.py"
    file.write_text(file.read_text().replace("from blocks", "from .blocks"))
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        assert registry.load_plugin("own_package.mine_file") == ["mine"]
    assert files("mine") == ["mine_file.py", "__init__.py", "blocks.py"]


def test_a_plugin_in_this_folder_is_not_all_of_this_project(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "OURS", tmp_path)
    path = Path(write(tmp_path, module="baselines"))
    module = type(sys)("plugin_mine_file")
    module.__file__ = str(path)
    assert [file.name for file in plugins._plugin(module, str(path)).files] == ["mine_file.py"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nraise ValueError('no such width.')\n", r"ValueError: no such width \(mine.py line 2\); mend it there"),
        ("x = (\n", r"SyntaxError: '\(' was never closed \(mine.py line 1\)"),
        ("import no_such_library\n", r"ModuleNotFoundError: No module named 'no_such_library' \(mine.py line 1\)"),
        ("from helper import broken\n", r"ZeroDivisionError: division by zero \(helper.py line 3\)"),
        ("NETWORKS = [3]\n", "needs a list NETWORKS of benchmarks.networks.entry.Entry"),
    ],
)
def test_a_plugin_that_cannot_be_used_says_where(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "helper.py").write_text("\n\n1 / 0\n")
    with pytest.raises(RequestError, match=f"--plugin .*mine.py .*{message}") as caught:
        registry.load_plugin(str(tmp_path / "mine.py"))
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path):
    with pytest.raises(RequestError, match=r"cannot be imported: FileNotFoundError: no such file: .*absent.py"):
        registry.load_plugin(str(tmp_path / "nowhere" / "absent.py"))


def test_the_traceback_of_the_users_code_is_for_those_who_ask(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nfrom benchmarks.networks.registry import Entry\n\nclass Mine(nn.Conv2d):\n"
        "    def forward(self, x):\n        return undefined_name(x)\n\n"
        'NETWORKS = [Entry("mine", "Mine", lambda: Mine(3, 1, 1))]\n'
    )
    command = [sys.executable, "-m", "benchmarks", "run", "--suite", "quick", "--network", "mine", "--size", "32"]
    command += ["--plugin", str(tmp_path / "mine.py"), "--results", str(tmp_path / "results")]
    environment = os.environ | {"LESION_BENCHMARKS_CACHE": str(tmp_path / "cache")}
    plain, debug = (
        subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
        for more in ([], ["--debug"])
    )
    assert plain.returncode == debug.returncode == 2
    sentence = "mine: its forward raises NameError: name 'undefined_name' is not defined (mine.py line 6)"
    assert sentence in plain.stderr
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert "return undefined_name(x)" in debug.stderr
    assert not (tmp_path / "results").exists(), "something was stored for a network that cannot train"


def test_registering_a_name_twice_is_refused(tmp_path):
    path = write(tmp_path)
    registry.load_plugin(path)
    assert isinstance(registry.entry("mine"), Entry)
    with pytest.raises(RequestError, match="'mine' is taken"):
        registry.load_plugin(path)


@pytest.mark.parametrize("name", ["", ".", "..", "n" * 256])
def test_a_network_whose_name_cannot_name_a_folder_is_refused(tmp_path, name):
    path = tmp_path / "mine.py"
    path.write_text(NETWORK.format(module="torch.nn", name=name).replace("Block", "Identity"))
    with pytest.raises(RequestError, match=r"mine\.py .* the name '.*' of a network cannot be a folder's; give"):
        registry.load_plugin(str(path))
    assert name not in registry.names()
