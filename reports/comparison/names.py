"""Names in words: data sets, and what a reader must know of a network's architecture.

The only place where the report says which architectures are our interpretation of the paper.
"""

DATASETS = {"isic2017": "ISIC2017", "isic2018": "ISIC2018", "synthetic": "Synthetic lesions"}
REFERENCE_ONLY = {"synthetic": "isic2018"}  # data without published numbers -> data whose numbers are shown instead

DAGGER = "†"  # behind the label of a network that is our interpretation of the paper
DAGGER_NOTE = (
    f"{DAGGER} Our interpretation: the released code has no switch for this network, and the paper's counts alone do "
    "not decide."
)
_WIDTHS = (
    "Our interpretation: the released code has no switch for it, and the widths are inferred from the published counts."
)
_POOLED = "Our second interpretation of the row above it: the released widths and an LSG gate from pooled features."
_THREE = (
    "Our interpretation: the released code has two branches only; a softmax over three is inferred from the published "
    "counts."
)
INTERPRETATIONS = {
    "aulunet_v1": _WIDTHS,
    "aulunet_v2": _WIDTHS,
    "aulunet_v1_pooled": _POOLED,
    "aulunet_v2_pooled": _POOLED,
    "aulunet_d123": _THREE,
    "aulunet_d135": _THREE,
    "aulunet_d157": _THREE,
    "aulunet_d357": _THREE,
}

_ALONE = "Not in the paper: where AKF is absent, a depthwise 3x3 convolution and a PointConv stand in its place."
NOTES = {
    "aulunet_akf": "Not in the paper: AKF without RGF and LSG.",
    "aulunet_rgf": _ALONE,
    "aulunet_lsg": _ALONE,
    "aulunet_rgf_lsg": _ALONE,
}


def dataset_label(dataset: str) -> str:
    """A data set's name as the paper writes it; the key itself where the paper has none."""
    return DATASETS.get(dataset, dataset)


def place(dataset: str, recipe: str) -> str:
    """ "ISIC2018, recipe paper"."""
    return f"{dataset_label(dataset)}, recipe {recipe}"
