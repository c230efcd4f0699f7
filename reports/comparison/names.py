"""Names in words: data sets, and what a reader must know of a network's architecture (from results/catalogue.py)."""

from results.catalogue import NETWORKS

DATASETS = {"isic2017": "ISIC2017", "isic2018": "ISIC2018", "synthetic": "Synthetic lesions"}
REFERENCE_ONLY = {"synthetic": "isic2018"}  # data without published numbers -> data whose numbers are shown instead

DAGGER = "†"  # behind the label of a network that is our interpretation of the paper
DAGGER_NOTE = (
    f"{DAGGER} Our interpretation: the released code has no switch for this network, and the paper's counts alone do "
    "not decide."
)
INTERPRETATIONS = {name: network.interpretation for name, network in NETWORKS.items() if network.interpretation}
NOTES = {name: network.note for name, network in NETWORKS.items() if network.note}


def dataset_label(dataset: str) -> str:
    """A data set's name as the paper writes it; the key itself where the paper has none."""
    return DATASETS.get(dataset, dataset)


def place(dataset: str, recipe: str) -> str:
    """ "ISIC2018, recipe paper"."""
    return f"{dataset_label(dataset)}, recipe {recipe}"
