"""Networks of segmentation-models-pytorch, made on demand for names "smp:<architecture>/<encoder>".

They stand in the same tables under the same recipe, e.g. "smp:unet/resnet18": what a practitioner would pick instead.
Encoders start from random weights, because the suite compares networks and not pre-training. The library's EfficientNet
encoders (not timm's) draw stochastic depth inside a function; for training their blocks are given a module that has a
stream of its own.
"""

from functools import cache, partial
from typing import Any

from torch import Tensor, nn

from baselines.drop_path import DropPath
from benchmarks.networks.entry import Entry
from benchmarks.networks.seeding import undisturbed
from results.errors import RequestError

EFFICIENT_NET = "segmentation_models_pytorch.encoders.efficientnet.EfficientNetEncoder"


@cache
def entry(name: str) -> Entry:
    """The entry of an "smp:..." name, the same one at every look-up.

    Raises RequestError where the library is absent or does not know the name.
    """
    try:
        import segmentation_models_pytorch as smp
        import timm
    except ImportError:
        raise RequestError(
            f"{name} needs segmentation-models-pytorch; install it with `pip install segmentation-models-pytorch`."
        ) from None
    architecture, _, encoder = name.removeprefix("smp:").partition("/")
    build = partial(smp.create_model, architecture, encoder, encoder_weights=None, in_channels=3, classes=1)
    try:
        with undisturbed():
            build()
    except Exception as error:
        raise RequestError(
            f"segmentation-models-pytorch cannot build {name} ({type(error).__name__}: {error}); names read "
            "smp:<architecture>/<encoder>, for example smp:unet/resnet18."
        ) from error
    return Entry(
        name,
        f"{architecture} / {encoder} (smp)",
        build,
        paper="segmentation-models-pytorch",
        upstream=f"segmentation-models-pytorch {smp.__version__}",
        deviations=("Beyond the paper; trained from random weights under the suite's recipe.",),
        training_builder=partial(_trainable, build),
        library=f"segmentation-models-pytorch {smp.__version__}, timm {timm.__version__}",
    )


def _trainable(build: Any, size: int) -> nn.Module:
    """The network whose stochastic depth has streams; weights and their names are those of `build()`."""
    network = build()
    encoder: Any = getattr(network, "encoder", None)
    if f"{type(encoder).__module__}.{type(encoder).__name__}" == EFFICIENT_NET:
        for k, block in enumerate(encoder._blocks):
            if block._has_drop_connect:
                block.drop_path = DropPath(encoder._drop_connect_rate * k / len(encoder._blocks))
                block._has_drop_connect = False  # the library's, and the skip connection with it
                block.__class__ = _streamed(type(block))  # type: ignore[arg-type]
    return network


@cache
def _streamed(block: type[nn.Module]) -> type[nn.Module]:
    """The library's inverted residual block with the stochastic depth of `baselines/drop_path.py`."""

    class StreamedBlock(block):  # type: ignore[misc, valid-type]
        def forward(self, inputs: Tensor, drop_connect_rate: float | None = None) -> Tensor:
            return self.drop_path(super().forward(inputs)) + inputs

    return StreamedBlock
