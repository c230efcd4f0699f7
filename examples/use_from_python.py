"""Build a network of the suite, segment images with it, and read stored runs: all without the command line.

python examples/use_from_python.py
"""

import statistics

import torch

from benchmarks.networks import registry
from results.installation import results_root
from results.runs import load_runs, of_one_identity

# A network with fresh weights: images (B, 3, H, W) in [0, 255] to logits (B, 1, H, W).
network = registry.build("aulunet_v3").eval()
parameters = sum(parameter.numel() for parameter in network.parameters())
with torch.no_grad():
    masks = network(255 * torch.rand(2, 3, 256, 256)).sigmoid() >= 0.5
print(f"{registry.entry('aulunet_v3').label}: {parameters:,} parameters, masks {tuple(masks.shape)}")

# The stored runs. Metrics are fractions, recomputed from the pixel counts of every image.
runs, _ = of_one_identity(load_runs(results_root()).runs)
for group in sorted({(run.cell.dataset, run.cell.recipe, run.cell.network) for run in runs}):
    scores = [run.metrics["iou"] for run in runs if (run.cell.dataset, run.cell.recipe, run.cell.network) == group]
    print(" / ".join(group), f"pooled IoU {100 * statistics.mean(scores):.2f} % over {len(scores)} seeds")

# One run in full: a row per epoch, and the pixel counts of each test image.
if runs:
    print(runs[0].history().tail(2).to_string(index=False))
    print(runs[0].per_image.head(3))
