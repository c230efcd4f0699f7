"""Networks of segmentation-models-pytorch under names "smp:<architecture>/<encoder>", e.g. "smp:unet/resnet18".

They stand in the same tables under the same recipe: what a practitioner would pick instead. Encoders start from random
weights, because the suite compares networks and not pre-training.
"""

from functools import partial

from benchmarks.registry import Entry
from results.errors import RequestError


def entry(name: str) -> Entry:
    """The entry of an "smp:..." name. Raises RequestError where the library is absent or does not know the name."""
    try:
        import segmentation_models_pytorch as smp
    except ImportError:
        raise RequestError(
            f"{name} needs segmentation-models-pytorch; install it with `pip install segmentation-models-pytorch`."
        ) from None
    architecture, _, encoder = name.removeprefix("smp:").partition("/")
    build = partial(smp.create_model, architecture, encoder, encoder_weights=None, in_channels=3, classes=1)
    try:
        build()
    except (KeyError, ValueError, RuntimeError) as error:
        raise RequestError(
            f"segmentation-models-pytorch cannot build {name} ({error}); names read smp:<architecture>/<encoder>, "
            "for example smp:unet/resnet18."
        ) from None
    return Entry(
        name,
        f"{architecture} / {encoder} (smp)",
        build,
        paper="segmentation-models-pytorch",
        upstream=f"segmentation-models-pytorch {smp.__version__}",
        deviations=("Beyond the paper; trained from random weights under the suite's recipe.",),
    )
