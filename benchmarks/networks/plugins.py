"""Networks of the user's own: a Python file or module whose `NETWORKS` is a list of `Entry`.

A plugin may import files that lie beside it. What it consists of, its own file and those, is hashed when it is loaded:
the hash is part of its networks' identity, so that a network edited between two commands is another network.
"""

import ast
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from opcode import opname
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks.networks.entry import Entry
from results.errors import RequestError

PREFIX = "plugin_"  # of the module name of a plugin's file
OURS = Path(__file__).resolve().parents[2]
CURES = {"more than 1 value per channel": "the last batch of an epoch has one image: choose another --batch"}
"""Of errors that are known by some of their words."""
OUR_PACKAGES = ("models", "baselines", "benchmarks", "results", "reports")


@dataclass(frozen=True)
class Plugin:
    """Where a network comes from, as it was when it was loaded."""

    source: str
    """Absolute path of the plugin's own file, or the name of its module."""
    files: tuple[Path, ...]
    """The plugin's own first."""
    digest: str
    """SHA-256 over the contents of the files."""

    def entry(self, name: str) -> Entry:
        """The network of this name, loaded anew: what an entry of a plugin is unpickled by.

        Raises RequestError where its files cannot be loaded or have changed.
        """
        for each in load(self.source):
            if each.name == name and each.plugin and each.plugin.digest == self.digest:
                return each
        raise RequestError(changed(name, self.source))


def changed(name: str, source: str) -> str:
    """What is said where a plugin is not what it was when its network was planned."""
    return f"The files of --plugin {source} have changed since {name} was planned; start the command again."


class Unfit(RequestError):
    """A network that cannot be used; `what`: the fault and the cure, half a sentence."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}.")
        self.what = what


@contextmanager
def blamed(entry: Entry, what: str, cure: str = "") -> Iterator[None]:
    """Within runs code of a network, and `what` says which: what it raises becomes Unfit, with its place in the files.

    That goes for `sys.exit()` too, and not for Ctrl-C, for a full GPU, or for the networks that our own tests know.
    """
    try:
        yield
    except (RequestError, torch.cuda.OutOfMemoryError):
        raise
    except BaseException as error:
        if not entry.foreign or not raised_by_code(error):
            raise
        known = [cure for words, cure in CURES.items() if words in str(error)]
        usual = known[0] if known else "choose another --size or network" if entry.library else "mend it there"
        told = described(error, entry.plugin.files if entry.plugin else ())
        shown = "(`run --debug` shows the traceback)"
        raise Unfit(entry.name, f"{what} raises {told}; {cure or usual} {shown}") from error


def raised_by_code(error: BaseException) -> bool:
    """Whether code raised this and not somebody at the keyboard: of a KeyboardInterrupt, whether a `raise` did."""
    trace = error.__traceback__
    if trace is None or not isinstance(error, KeyboardInterrupt):
        return True
    while trace.tb_next is not None:
        trace = trace.tb_next
    return opname[trace.tb_frame.f_code.co_code[trace.tb_lasti]] == "RAISE_VARARGS"


def load(source: str) -> list[Entry]:
    """The `NETWORKS` of a Python file or importable module. Nothing is registered.

    Raises RequestError, with the error as its cause, where it cannot be imported or has no such list.
    """
    is_file = source.endswith(".py")
    if not is_file and not all(part.isidentifier() for part in source.split(".")):
        raise RequestError(
            f"--plugin {source!r} is neither a Python file, whose name ends in .py, nor the name of a module; give one."
        )
    try:
        module = _import_file(Path(source)) if is_file else importlib.import_module(source)
        plugin = _plugin(module, str(Path(source).resolve()) if is_file else source)
    except BaseException as error:
        if not raised_by_code(error):
            raise
        raise RequestError(
            f"--plugin {source} cannot be imported: {described(error, _beside(source))}; mend it there "
            "(`run --debug` shows the traceback)."
        ) from error
    added = getattr(module, "NETWORKS", None)
    if not isinstance(added, list) or not all(isinstance(each, Entry) for each in added):
        raise RequestError(f"--plugin {source} needs a list NETWORKS of benchmarks.networks.entry.Entry.")
    return [replace(each, plugin=plugin, foreign=True) for each in added]


def described(error: BaseException, files: Any) -> str:
    """ "ValueError: what was wrong (tiny.py line 12)": the innermost line of the traceback that lies in `files`.

    files: paths, or a folder in which all count.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError) and error.filename:
        frames.append(traceback.FrameSummary(error.filename, error.lineno, ""))
    where = [frame for frame in frames if _within(Path(frame.filename), files)]
    lines = str(error.msg if isinstance(error, SyntaxError) else error).strip().splitlines()
    told = f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
    return f"{told} ({Path(where[-1].filename).name} line {where[-1].lineno})" if where else told


def _within(path: Path, files: Any) -> bool:
    if isinstance(files, Path):
        return path.resolve().is_relative_to(files)
    return path.resolve() in files


def _beside(source: str) -> Any:
    return Path(source).resolve().parent if source.endswith(".py") else ()


def _import_file(path: Path) -> ModuleType:
    name = PREFIX + path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"{'not a file' if path.exists() else 'no such file'}: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _importable(path.resolve().parent):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Within, `import name` finds the files of a folder first, as for a script that is run there; afterwards not.

    What was loaded under such a name before, by another plugin or by this project, is put aside and then put back.
    """
    own = {name for name in _names(folder) if _may_be_put_aside(name, folder)}
    aside = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in own}
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] in own]:
            del sys.modules[name]
        sys.modules.update(aside)


def _names(folder: Path) -> set[str]:
    """What can be imported from a folder, by its top-level name."""
    return {path.stem for path in folder.glob("*.py")} | {path.name for path in folder.iterdir() if path.is_dir()}


def _may_be_put_aside(name: str, folder: Path) -> bool:
    """Whether a module that is loaded under this name may give way to a file of the user's: a library's may not."""
    module = sys.modules.get(name)
    if module is None or name in sys.stdlib_module_names or name == "benchmarks":
        return False
    if name in OUR_PACKAGES:
        return folder != OURS
    places = [getattr(module, "__file__", None) or "", *getattr(module, "__path__", ())]
    return not any("site-packages" in place or "dist-packages" in place for place in places)


def _plugin(module: ModuleType, source: str) -> Plugin:
    """What an imported plugin consists of."""
    is_file = source.endswith(".py")
    path, parts = Path(str(module.__file__)).resolve(), module.__name__.split(".")
    root = path.parent if is_file else path.parents[len(parts) - (path.name != "__init__.py")]
    first = {path} if is_file else {path, *_found(root, parts)}
    alone = root.name in ("site-packages", "dist-packages")  # there, only the plugin's own package is the user's
    foreign = OUR_PACKAGES if root == OURS else ("benchmarks",)
    files, new = set(first), first
    while new:
        imported = {file for each in new for file in _imported(each, root) if file not in files}
        tops = {file: file.relative_to(root).parts[0].removesuffix(".py") for file in imported}
        new = {file for file in imported if tops[file] not in foreign and (not alone or tops[file] == parts[0])}
        files |= new
    ordered = (path, *sorted(files - {path}))
    digest = sha256()
    for file in ordered:
        content = file.read_bytes()
        digest.update(f"{len(content)}:".encode() + content)
    return Plugin(source, ordered, digest.hexdigest())


def _imported(file: Path, root: Path) -> Iterator[Path]:
    """Files under `root` that the text of a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _found(root, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = file.parents[node.level - 1] if node.level else root
            for alias in node.names:
                yield from _found(start, [*(node.module or "").split("."), alias.name])


def _found(start: Path, parts: Sequence[str]) -> Iterator[Path]:
    """The files of a dotted name: of each package on the way, and of the module where it is one."""
    place = start
    for part in parts:
        place = place / part
        yield from (file for file in (place.with_name(f"{place.name}.py"), place / "__init__.py") if file.is_file())
