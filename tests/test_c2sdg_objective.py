"""C2SDG's style views against plain numpy, under vmap, and the direction of every term of its objective."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import vmap

from baselines.c2sdg import C2SDG, standardised
from benchmarks.objectives import c2sdg
from benchmarks.objectives.losses import DRAWS, bce_dice


@pytest.fixture
def images() -> Tensor:
    """(4, 3, 40, 48) float64 in [0, 255], image i brighter than image i - 1."""
    generator = torch.Generator().manual_seed(0)
    level = torch.tensor([0.25, 0.5, 0.75, 1.0], dtype=torch.float64).reshape(-1, 1, 1, 1)
    return 255 * level * torch.rand(4, 3, 40, 48, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("draw", "reach"), [(0.0, 2), (0.5, 4), (0.999, 6)])
@pytest.mark.parametrize("size", [(40, 48), (41, 45)])
def test_fourier_view_is_an_amplitude_swap(images: Tensor, draw: float, reach: int, size: tuple[int, int]) -> None:
    images = (
        images[..., : size[0], : size[1]] if size[0] <= 40 else torch.cat([images, images[..., :1, :]], -2)[..., :45]
    )
    source = images.numpy()
    spectrum = np.fft.fftshift(np.fft.fft2(source), axes=(-2, -1))
    amplitude, phase = np.abs(spectrum), np.angle(spectrum)
    row, column = source.shape[-2] // 2, source.shape[-1] // 2
    square = (..., slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1))
    amplitude[square] = amplitude[::-1][square].copy()
    expected = np.fft.ifft2(np.fft.ifftshift(amplitude * np.exp(1j * phase), axes=(-2, -1))).real

    view = c2sdg.fourier_view(images, torch.tensor([draw], dtype=torch.float64))
    np.testing.assert_allclose(view.numpy(), expected, atol=1e-9)
    assert (view - images).abs().max() > 10


@pytest.mark.parametrize(("scale_draw", "scale"), [(0.75, 1 + 0.1 * 0.6744897501960817), (0.99, 1.1), (0.01, 0.9)])
def test_bezier_view_is_a_monotone_curve(images: Tensor, scale_draw: float, scale: float) -> None:
    draws = torch.tensor([0.9, 0.2, 0.7, 0.1, scale_draw, 0.3], dtype=torch.float64)
    low, high = images.min().item(), images.max().item()
    x = np.array([low, *(low + (high - low) * draws[:2].numpy()), high])
    y = np.array([low, *(low + (high - low) * draws[2:4].numpy()), high])
    t = np.linspace(0, 1, c2sdg.CURVE_POINTS)[:, None]
    curve = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    remapped = np.interp(images.numpy(), np.sort(curve @ x), np.sort(curve @ y))
    shift = 0.5 * -0.5244005127080409  # the normal quantile of 0.3; that of 0.75 is in the scale
    expected = np.clip(remapped * scale + shift, low, high)
    np.testing.assert_allclose(c2sdg.bezier_view(images, draws).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-24])
def test_views_survive_the_ends_of_the_draws(images: Tensor, draw: float) -> None:
    draws = torch.full((DRAWS,), draw)
    assert c2sdg.fourier_view(images.float(), draws[:1]).isfinite().all()
    view = c2sdg.bezier_view(images.float(), draws[1:7])  # a straight curve, scale 0.9 or 1.1, shift 1.5
    assert (view - images).abs().max() < 0.1 * 255 + 1.6
    assert view.min() >= images.float().min()
    assert view.max() <= images.float().max()


@pytest.mark.parametrize("level", [0.0, 100.0])
def test_a_constant_image_survives_both_views(level: float) -> None:
    grey = torch.full((2, 3, 32, 32), level)
    draws = torch.full((DRAWS,), 0.5)
    torch.testing.assert_close(c2sdg.fourier_view(grey, draws[:1]), grey)
    torch.testing.assert_close(c2sdg.bezier_view(grey, draws[1:7]), grey)


def test_vmap_equals_a_loop(images: Tensor) -> None:
    draws = torch.rand(3, DRAWS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    batches = torch.stack([images, images.flip(0), images / 2])
    for view, part in (c2sdg.fourier_view, draws[:, :1]), (c2sdg.bezier_view, draws[:, 1:7]):
        single = torch.stack([view(batch, draw) for batch, draw in zip(batches, part, strict=True)])
        torch.testing.assert_close(vmap(view)(batches, part), single, rtol=0, atol=1e-9)


def test_style_contrast_counts_each_pair_twice() -> None:
    flat = [torch.full((2, 4), value) for value in (0.0, 1.0, 3.0)]
    same = [torch.zeros(2, 4)] * 3
    assert c2sdg.style_contrast(flat, same) == pytest.approx(2 * (1 + 3 + 2))
    assert c2sdg.style_contrast(same, flat) == pytest.approx(-2 * (1 + 3 + 2))


def test_standardised_removes_scale_and_shift(images: Tensor) -> None:
    result = standardised(images)
    assert result.mean((-2, -1)).abs().max() < 1e-12
    assert (result.std((-2, -1), correction=0) - 1).abs().max() < 1e-6
    torch.testing.assert_close(standardised(1.07 * images - 3), result, rtol=0, atol=1e-6)


def test_objective_sums_three_segmentation_losses_and_the_contrast(images: Tensor) -> None:
    masks = (images.mean(1, keepdim=True) > 60).double()
    draws = torch.rand(DRAWS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    seen: list[Tensor] = []

    def forward(view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen.append(view)
        vector = torch.full((4, 8), float(len(seen)), dtype=torch.float64)
        return view[:, :1] / 255, vector, 3 * vector

    loss = c2sdg.objective(forward, images, masks, draws)
    segmentation = sum(bce_dice(view[:, :1] / 255, masks) for view in seen)
    assert len(seen) == 3
    torch.testing.assert_close(seen[2], images)
    torch.testing.assert_close(loss, segmentation + 2 * (1 + 2 + 1) * (1 - 3))


def test_contrast_reaches_only_projector_and_prompt(images: Tensor) -> None:
    torch.manual_seed(0)
    network = C2SDG(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), decoder_width=8, projector_size=32, embedding=16)
    views = [images[..., :32, :32].float() / 255, images[..., 8:40, 16:].float() / 255]
    _, contents, styles = zip(*(network(view) for view in views), strict=True)
    c2sdg.style_contrast(contents, styles).backward()
    reached = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"channel_prompt", "projector"}
    torch.testing.assert_close(contents[0].norm(dim=1), torch.ones(4))
