"""Make each named fault in a copy of this checkout, run the tests that should notice, and print which stay green.

    nice python tests/benchmarks_by_hand/named_mutations.py [WORD ...]

With words: only faults whose name contains one of them. Takes about half a minute for each. Exits with 1 where a
fault passes, or where the code that it would change is no longer there. docs/mutation-testing.md says more.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Fault(NamedTuple):
    """One fault: in `file`, `old` becomes `new`, and one of `tests` (a pytest selection) must turn red."""

    name: str
    file: str
    old: str
    new: str
    tests: str


VECTORS, SELECTION = "tests/test_training_vectors.py", "tests/test_selection.py"
RECIPE, FIGURES = "tests/test_paper_recipe.py", "tests/test_figures.py -k colours"
BEGUN = f"{SELECTION} -k begun"
TRAIN, RECORD, LOSSES = (
    "benchmarks/training/loop.py",
    "benchmarks/runner/save_run.py",
    "benchmarks/objectives/losses.py",
)
REPLICAS, PROGRESS, DATA = (
    "benchmarks/training/replicas.py",
    "benchmarks/training/progress.py",
    "benchmarks/training/data.py",
)
SCORING = "benchmarks/runner/evaluate.py"
PROTOCOL, COUNTS = "benchmarks/protocol/recipe.py", "benchmarks/training/pixel_counts.py"
KEPT = '("recipe_settings", "cross_entropy", "fingerprint", "split")'
BEST, LAST = "evaluate(replicas, part, replicas.best)", "evaluate(replicas, part, replicas.tensors())"
TEST = "score(replicas, data.test, pictured(data.test.ids))"
FAULTS = [
    # the loss
    Fault(
        "cross-entropy taken from logits",
        LOSSES,
        "    probabilities = logits.sigmoid()\n    return bce(probabilities, targets) + dice",
        "    probabilities = logits.sigmoid()\n    pixels = F.binary_cross_entropy_with_logits(logits, targets, "
        'reduction="none")\n    return pixels.flatten(1).mean(dim=1) + dice',
        f"{VECTORS} -k saturated",
    ),
    Fault(
        "amax in the spatial attention of MALUNet and ULVM-UNet",
        "baselines/blocks.py",
        "x.max(dim=1, keepdim=True).values",
        "x.amax(dim=1, keepdim=True)",
        f"{VECTORS} -k equal_channels",
    ),
    Fault(
        "boundary against the mask",
        LOSSES,
        "_side_loss, boundaries, boundary)",
        "_side_loss, boundaries, masks)",
        f"{VECTORS} -k lb_unet",
    ),
    Fault(
        "another band as boundary", LOSSES, "masks, inner_boundary(masks))", "masks, masks)", f"{VECTORS} -k inner_band"
    ),
    Fault("band of one pixel", LOSSES, "for _ in range(2):", "for _ in range(1):", f"{VECTORS} -k inner_band"),
    Fault(
        "weights of side losses reversed",
        LOSSES,
        "enumerate(outputs)]",
        "enumerate(outputs[::-1])]",
        f"{VECTORS} -k ege_unet",
    ),
    Fault(
        "NaN ends the process",
        LOSSES,
        "finite = probabilities.nan_to_num(nan=0.5)",
        "finite = probabilities",
        SELECTION,
    ),
    Fault(
        "NaN is hidden",
        LOSSES,
        "torch.where(probabilities.isnan(), probabilities, pixels)",
        "pixels",
        "tests/test_losses_metrics.py -k number",
    ),
    # the optimizer and the recipe
    Fault(
        "betas swapped",
        REPLICAS,
        '"betas": (recipe.beta1, recipe.beta2)',
        '"betas": (recipe.beta2, recipe.beta1)',
        f"{VECTORS} {RECIPE}",
    ),
    Fault("eps of the optimizer", REPLICAS, '"eps": recipe.eps,', '"eps": 1e-7,', RECIPE),
    Fault(
        "weight decay not handed on", REPLICAS, '"weight_decay": recipe.weight_decay,', '"weight_decay": 1e-2,', RECIPE
    ),
    Fault("beta2 of the paper", PROTOCOL, "beta2: float = 0.999", "beta2: float = 0.99", RECIPE),
    Fault(
        "eta_min of the paper",
        PROTOCOL,
        "eta_min: float = 1e-5",
        "eta_min: float = 1e-6",
        RECIPE,
    ),
    Fault(
        "weight decay of the paper",
        PROTOCOL,
        "decay: float = 1e-2",
        "decay: float = 1e-3",
        RECIPE,
    ),
    Fault("learning rate of the paper", PROTOCOL, "lr: float = 1e-3", "lr: float = 2e-3", RECIPE),
    # selection and scoring
    Fault(
        "selected on the test split",
        TRAIN,
        "evaluate(replicas, data.validation,",
        "evaluate(replicas, data.test,",
        SELECTION,
    ),
    Fault(
        "validation and test swapped",
        DATA,
        "(split.train, split.validation, split.test)",
        "(split.train, split.test, split.validation)",
        SELECTION,
    ),
    Fault(
        "<= for < in the choice of the epoch",
        PROGRESS,
        "row.validation_loss < self",
        "row.validation_loss <= self",
        SELECTION,
    ),
    Fault(
        "> for < in the choice of the epoch",
        PROGRESS,
        "row.validation_loss < self",
        "row.validation_loss > self",
        SELECTION,
    ),
    Fault(
        "<= in the reference loop",
        "benchmarks/training/reference_loop.py",
        "if loss < min(",
        "if loss <= min(",
        "tests/test_reference_loop.py -k equal",
    ),
    Fault("last weights scored", SCORING, BEST, LAST, SELECTION),
    Fault(
        "last weights drawn", SCORING, "logits(images, replicas.best)", "logits(images, replicas.tensors())", SELECTION
    ),
    Fault("last weights stored", RECORD, "replicas.best[name][k]", "replicas.tensors()[name][k].detach()", SELECTION),
    Fault("validation split scored", SCORING, TEST, TEST.replace("test", "validation"), SELECTION),
    Fault(
        "threshold on the logit",
        COUNTS,
        "logits.sigmoid() >= THRESHOLD",
        "logits >= 0",
        SELECTION,
    ),
    Fault(
        "> for >= in the threshold",
        COUNTS,
        "sigmoid() >= THRESHOLD",
        "sigmoid() > THRESHOLD",
        SELECTION,
    ),
    # what a run says of itself
    Fault(
        "mIoU and DSC swapped in the history",
        TRAIN,
        'each["iou"], each["dsc"])',
        'each["dsc"], each["iou"])',
        SELECTION,
    ),
    Fault("images/s doubled", RECORD, "round(progress.images /", "round(2 * progress.images /", SELECTION),
    Fault("images counted twice", TRAIN, "images += len(data.train)", "images += 2 * len(data.train)", SELECTION),
    Fault("seconds halved", TRAIN, "seconds += seconds", "seconds += seconds / 2", SELECTION),
    Fault(
        "never dirty",
        "results/installation.py",
        'bool(git("status", "--porcelain", "--", *SOURCES))',
        "False",
        f"{SELECTION} -k version",
    ),
    Fault("failure in training not noted", PROGRESS, "isfinite(row.train_loss) and ", "", SELECTION),
    Fault("other settings go on", RECORD, KEPT, KEPT.replace('"recipe_settings", ', ""), BEGUN),
    Fault(
        "another split goes on",
        RECORD,
        KEPT,
        KEPT.replace(', "split"', ""),
        BEGUN,
    ),
    Fault("other data go on", RECORD, KEPT, KEPT.replace('"fingerprint", ', ""), BEGUN),
    Fault("a run of the earlier loss goes on", RECORD, KEPT, KEPT.replace('"cross_entropy", ', ""), BEGUN),
    Fault(
        "TF32 of products left on",
        "benchmarks/machine.py",
        "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False",
        "torch.backends.cudnn.allow_tf32 = False",
        SELECTION,
    ),
    Fault(
        "TF32 of convolutions left on",
        "benchmarks/machine.py",
        "matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False",
        "matmul.allow_tf32 = False",
        SELECTION,
    ),
    Fault("TF32 left on in a run", "benchmarks/runner/local.py", "    full_precision()\n", "", SELECTION),
    # the figure
    Fault(
        "false positives and negatives swapped",
        "reports/figures/predictions.py",
        '"false positive": ~truth & predicted',
        '"false positive": truth & ~predicted',
        FIGURES,
    ),
    Fault(
        "colours of two cases swapped",
        "reports/figures/predictions.py",
        "np.array(COLOURS[case])",
        'np.array(COLOURS.get(case.replace("positive", "negative"), (0, 158, 115)))',
        FIGURES,
    ),
]


def copy_of_checkout(folder: Path) -> None:
    """The files that git tracks or would add, as they are now, with the history that `code_version` asks for."""
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(folder)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())


def outcome(fault: Fault, copy: Path) -> str:
    """ "red", "GREEN" or "GONE" (the code is not there); the copy is as before afterwards."""
    path = copy / fault.file
    text = path.read_text()
    if text.count(fault.old) != 1:
        return "GONE"
    path.write_text(text.replace(fault.old, fault.new))
    try:
        command = [sys.executable, "-m", "pytest", "-n", "0", "-x", *fault.tests.split()]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    finally:
        path.write_text(text)
    return {0: "GREEN", 1: "red"}.get(done.returncode, f"pytest ended with {done.returncode}")


def main(words: list[str]) -> int:
    chosen = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        copy_of_checkout(copy)
        outcomes = []
        for fault in chosen:
            outcomes.append(outcome(fault, copy))
            print(f"{outcomes[-1]:6} {fault.name}", flush=True)
    red = outcomes.count("red")
    print(f"{red} of {len(chosen)} faults turn a test red")
    return int(red < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
