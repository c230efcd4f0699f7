"""C2SDG's training objective: segmentation on three views of a batch, and a contrast of their content and style.

Paper: Hu, Liao, Xia, "Devil is in Channels: Contrastive Single Domain Generalization for Medical Image Segmentation",
MICCAI 2023. The Fourier view is FDA (Yang, Soatto, CVPR 2020), the Bezier view is the global part of SLAug's
location-scale augmentation (Su et al., AAAI 2023).

Everything here is a pure function of tensors that runs under `vmap`: randomness comes in as `draws`, uniform numbers in
[0, 1), because torch's generator cannot give each replica a stream of its own.

Shapes: B batch, C channels, H and W pixels, E embedding.

Deviations from the authors' procedure:
1. One optimiser step on the sum of the four losses. Theirs takes four (contrast; then segmentation of the Fourier view,
   of the Bezier view and of the original), each at the weights that the last one left, with a second optimiser of
   constant learning rate for the contrast. The stacked trainer, and the suite's one recipe, know one optimiser and one
   step per batch. Where each gradient goes is kept: the contrast reaches projector and prompt only.
2. The segmentation loss is the suite's BCE + Dice; theirs is BCE alone.
3. The suite's rotations and flips replace their augmentation (elastic deformation, zoom, mirroring, brightness, noise).
4. The z-score of every view is part of `forward`, as the registry gives it; theirs is in the loader.
5. The Bezier curve is read off at 1,001 points; its scale and shift come from uniform numbers by the inverse normal
   distribution, and the shift is clipped at three standard deviations. Half a grey level of shift is next to nothing in
   0 to 255 (it was designed for images in 0 to 1); kept.
6. A third, label-aware view, which the authors compute and never use, is not made.
"""

from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from torch import Tensor

from benchmarks.objectives.losses import bce_dice

CURVE_POINTS = 1001


def fourier_view(images: Tensor, draws: Tensor) -> Tensor:
    """Image i with its own phase and the low-frequency amplitude of image B - 1 - i of the same batch.

    images (B, C, H, W), draws (1,); to (B, C, H, W), which may leave the range of `images`. The swapped square of the
    centred spectrum has 2 b + 1 frequencies per side, b = floor(L min(H, W)), L = 0.05 to 0.15 in whole hundredths.
    """
    height, width = images.shape[-2:]
    hundredths = (5 + 10 * draws[0]).round()
    reach = (hundredths * min(height, width) / 100).floor()
    rows = torch.arange(height, device=images.device)
    rows = torch.minimum(rows, height - rows).unsqueeze(1)  # (H, 1) absolute frequencies
    columns = torch.arange(width // 2 + 1, device=images.device)
    low = torch.maximum(rows, columns) <= reach  # (H, W / 2 + 1)

    spectrum = torch.fft.rfft2(images)  # (B, C, H, W / 2 + 1): the other half is its mirror image
    amplitude = spectrum.abs()
    amplitude = torch.where(low, amplitude.flip(0), amplitude)
    return torch.fft.irfft2(torch.polar(amplitude, spectrum.angle()), s=(height, width))


def bezier_view(images: Tensor, draws: Tensor) -> Tensor:
    """The batch through one random monotone grey-level curve, then a random scale and shift.

    images (B, C, H, W), draws (6,): abscissae of the two free control points, their ordinates, scale, shift;
    to (B, C, H, W) in the range of `images`. The curve is a cubic Bezier from (min, min) to (max, max) of the batch,
    its points sorted in x and in y.
    """
    low, high = images.amin(), images.amax()
    inner = low + (high - low) * draws[:4].reshape(2, 2)  # x and y of the two free control points
    control = torch.stack([low.expand(2), inner[:, 0], inner[:, 1], high.expand(2)], dim=1)  # (2, 4)
    t = torch.linspace(0, 1, CURVE_POINTS, device=images.device, dtype=images.dtype)
    bernstein = torch.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])  # (4, points)
    curve = (control.unsqueeze(-1) * bernstein).sum(dim=1)  # (2, points)
    x, y = (axis.sort().values for axis in curve)

    scale, shift = torch.special.ndtri(draws[4:6])
    scale = (1 + 0.1 * scale).clamp(0.9, 1.1)
    shift = 0.5 * shift.clamp(-3, 3)
    return (interpolated(images, x, y) * scale + shift).clamp(low, high)


def interpolated(values: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Piecewise linear interpolation in the points (x, y).

    x (N,) ascending, y (N,); values of any shape in [x[0], x[-1]].
    """
    right = torch.searchsorted(x, values.flatten()).reshape(values.shape).clamp(min=1)
    left = right - 1
    step = x[right] - x[left]
    part = torch.where(step > 0, (values - x[left]) / step, 0)
    return y[left] + part * (y[right] - y[left])


def style_contrast(contents: Sequence[Tensor], styles: Sequence[Tensor]) -> Tensor:
    """Draws the contents of the views together and their styles apart.

    contents, styles: one (B, E) per view. Returns L_content + L_style: each pair of views counts twice with the mean
    absolute difference of its vectors, positive for content, negative for style.
    """

    def spread(views: Sequence[Tensor]) -> Tensor:
        return 2 * torch.stack([(one - other).abs().mean() for one, other in combinations(views, 2)]).sum()

    return spread(contents) - spread(styles)


def objective(
    forward: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]], images: Tensor, masks: Tensor, draws: Tensor
) -> Tensor:
    """The loss of one training step, a scalar.

    forward: a C2SDG in training mode with a projector, images to (logits, content, style). images (B, 3, H, W) in the
    recipe's range, masks (B, 1, H, W) in [0, 1], draws: uniform numbers in [0, 1), of which the first 7 are used.
    """
    views = (
        fourier_view(images, draws[:1]),
        bezier_view(images, draws[1:7]),
        images,  # last, as in the authors' order, so that the running statistics end on it
    )
    logits, contents, styles = zip(*(forward(view) for view in views), strict=True)
    segmentation = torch.stack([bce_dice(view, masks) for view in logits]).sum()
    return segmentation + style_contrast(contents, styles)
