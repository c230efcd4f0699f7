"""The card of weights that ship, for people: Markdown with the head that model hubs read."""

from results.metrics import METRICS
from results.weights import MODEL, Card, OverSeeds


def card_text(card: Card, bibtex: str) -> str:
    """README.md of a folder of weights. bibtex: entries of the suite, the paper and the network."""
    return "\n".join([_head(card), _what(card), _scores(card), _use(card), _rest(card, bibtex)])


def _head(card: Card) -> str:
    """YAML in front, as the Hugging Face Hub has it."""
    iou = f"{card.metrics['iou']:.4f}"
    return f"""---
license: other
license_name: see-licence-of-the-data
library_name: lesion-benchmarks
pipeline_tag: image-segmentation
tags: [skin-lesion-segmentation, dermoscopy, {card.network}]
metrics: [mean_iou]
model-index:
  - name: {card.label}
    results:
      - task: {{type: image-segmentation}}
        dataset: {{name: "{card.dataset_label}, split {card.split.rule}", type: {card.dataset}}}
        metrics: [{{type: mean_iou, name: "pooled IoU of the lesion", value: {iou}}}]
---
"""


def _what(card: Card) -> str:
    sizes = card.split.sizes
    losses = ", ".join(f"{loss:.4f} (seed {seed})" for seed, loss in card.validation_losses.items())
    return f"""# {card.label}, trained on {card.dataset_label}

Segments skin lesions in dermoscopic photographs. {card.parameters:,} parameters, float32; pictures are scaled to
{card.size} px.

* Trained on {card.dataset_label}, split `{card.split.rule}`: {sizes.train} images; {sizes.validation} chose the epoch,
  {sizes.test} were scored.
* Recipe `{card.recipe}`, seed {card.seed}, epoch {card.best_epoch}: the one of {len(card.validation_losses)} seeds
  with the lowest validation loss; the test split chose nothing. Validation losses: {losses}.
{f"* {card.note}" + chr(10) if card.note else ""}"""


def _scores(card: Card) -> str:
    lines = ["| metric, % | this seed | mean over seeds | 95 % interval | seeds |", "|---|---:|---:|---:|---:|"]
    for metric in METRICS:
        if metric.name in card.metrics:
            lines.append(_score(metric.own_heading, card.metrics[metric.name], card.over_seeds.get(metric.name)))
    table = "\n".join(lines)
    return f"""## What it scores on its test split

{table}

All are of the lesion, from pixels summed over all test images. The interval is of the mean over seeds, and covers test
images and trainings; it says nothing of photographs from other clinics and cameras.
"""


def _score(heading: str, own: float, over: OverSeeds | None) -> str:
    rest = (
        "| | |"
        if over is None
        else f"{100 * over.mean:.2f} | {100 * over.low:.2f} to {100 * over.high:.2f} | {over.seeds} |"
    )
    return f"| {heading} | {100 * own:.2f} | {rest}"


def _use(card: Card) -> str:
    return f"""## Use

```python
import benchmarks

network = benchmarks.load("{card.network}", dataset="{card.dataset}")
mask = network.mask(picture)  # (H, W, 3) uint8 RGB to (H, W) bool
```

Or `python -m benchmarks predict PHOTOS --network {card.network} --dataset {card.dataset} --output DIR`. The scaling of
size and pixels is inside.

**For** research on segmentation and for comparing networks. **Not for** diagnosis, screening or treatment: this is no
medical device, nobody has tested it on patients, and it is asked for a mask of any picture, whether or not there is a
lesion in it. The data hold few pictures of dark skin, of children and of rare lesions.
"""


def _rest(card: Card, bibtex: str) -> str:
    commit = card.code.commit if card.code and card.code.commit else "unknown"
    return f"""## Where it comes from

* `{MODEL}`: SHA-256 `{card.weights}`; `config.json` has these facts for programs.
* Data: fingerprint `{card.fingerprint[:16]}`, licence {card.licence or "not recorded"}. {card.citation}
* Network: identity `{card.identity}`; trained by commit `{commit}`.

```bibtex
{bibtex.rstrip()}
```
"""
