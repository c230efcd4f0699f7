"""Names in words: data sets, and what a reader must know of a network's architecture (from results/catalogue.py)."""

from collections.abc import Iterable

from results.catalogue import BEYOND, NETWORKS

DATASETS = {
    "isic2016": "ISIC2016",
    "isic2017": "ISIC2017",
    "isic2017_official": "ISIC2017 (official parts)",
    "isic2018": "ISIC2018",
    "isic2018_official": "ISIC2018 (official parts)",
    "ph2": "PH2",
    "ham10000": "HAM10000",
    "kvasir_seg": "Kvasir-SEG",
    "cvc_clinicdb": "CVC-ClinicDB",
    "busi": "BUSI",
    "synthetic": "Synthetic lesions",
}
REFERENCE_ONLY = {"synthetic": "isic2018"}  # data without published numbers -> data whose numbers are shown instead

DAGGER = "†"  # behind the label of a network that is our interpretation of the paper
DAGGER_NOTE = (
    f"{DAGGER} Our interpretation: the released code has no switch for this network, and the paper's counts alone do "
    "not decide."
)
DOUBLE_DAGGER = "‡"  # behind the label of a network that is not in the paper
NOT_IN_THE_PAPER = "Not in the paper"
DOUBLE_DAGGER_NOTE = f"{DOUBLE_DAGGER} {NOT_IN_THE_PAPER}."
INTERPRETATIONS = {name: network.interpretation for name, network in NETWORKS.items() if network.interpretation}
NOTES = {name: network.note for name, network in NETWORKS.items() if network.note}


def label_of(network: str) -> str:
    """The catalogue's label, marked where the network is not in the paper; the key itself where it has none."""
    if network not in NETWORKS:
        return network
    return f"{NETWORKS[network].label}{DOUBLE_DAGGER if network in BEYOND else ''}"


def mark_notes(networks: Iterable[str]) -> list[str]:
    """What the marks behind labels mean, for a table of these networks."""
    return [DAGGER_NOTE, *([DOUBLE_DAGGER_NOTE] if set(networks) & set(BEYOND) else [])]


def dataset_label(dataset: str) -> str:
    """A data set's name as the paper writes it; the key itself where the paper has none."""
    return DATASETS.get(dataset, dataset)


def place(dataset: str, recipe: str) -> str:
    """ "ISIC2018, recipe paper"."""
    return f"{dataset_label(dataset)}, recipe {recipe}"
