"""Procedurally drawn dermoscopy-like pictures with exact masks: no download, the same from the same seed.

A picture is skin (tone, mottling, fine lines, freckles), one irregular lesion (a closed curve bent by noise, filled by
absorbing light as melanin and blood do, with pigment network, globules or veil and a soft border) and what disturbs in
practice: satellites, hairs, a ruler, ink, bubbles, stickers, a dark aperture, colour casts. The lesion's outline is
where its border has lost half of its pigment; the mask is exactly its inside.

Lengths are in half sides of the picture: x and y run from -1 to 1. S = side of the canvas in pixels. Images are
(S, S, 3) float32 from 0 to 1 while they are drawn.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.datasets import pixels

SEED = 2025
CANVAS = 256  # pixels; smaller pictures are drawn at this side and shrunk, so that hairs and edges stay smooth

SKIN_TONES = np.array(  # red, green, blue of untouched skin under a dermatoscope
    [
        (0.89, 0.70, 0.66),
        (0.82, 0.66, 0.55),
        (0.87, 0.84, 0.78),
        (0.90, 0.53, 0.47),
        (0.68, 0.56, 0.48),
        (0.76, 0.72, 0.74),
        (0.91, 0.79, 0.72),
    ],
    dtype=np.float32,
)
MELANIN = np.array((0.45, 0.88, 1.42), dtype=np.float32)  # absorption of red, green, blue at density 1
BLOOD = np.array((0.12, 0.75, 0.62), dtype=np.float32)
VEIL = np.array((0.42, 0.45, 0.55), dtype=np.float32)  # blue-white veil
INKS = np.array([(0.35, 0.22, 0.62), (0.20, 0.28, 0.60), (0.30, 0.15, 0.45)], dtype=np.float32)
STICKERS = np.array(
    [
        (0.92, 0.85, 0.15),
        (0.88, 0.15, 0.12),
        (0.15, 0.40, 0.75),
        (0.20, 0.60, 0.30),
        (0.62, 0.63, 0.65),
        (0.95, 0.6, 0.1),
    ],
    dtype=np.float32,
)


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture being drawn: its random stream and its coordinates."""

    rng: np.random.Generator
    side: int
    x: np.ndarray  # (S, S)
    y: np.ndarray  # (S, S)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def noise(self, cells: float, octaves: int = 1, aspect: float = 1.0) -> np.ndarray:
        """(S, S) smooth noise of mean 0 and deviation 1 with about `cells` bumps a side; `aspect` stretches them."""
        total = np.zeros((self.side, self.side), dtype=np.float32)
        for octave in range(octaves):
            rows, columns = (max(2, round(cells * 2**octave * stretch)) + 3 for stretch in (aspect, 1 / aspect))
            grid = Image.fromarray(self.rng.standard_normal((rows, columns)).astype(np.float32))
            fine = grid.resize((self.side, self.side), Image.Resampling.BICUBIC)
            total += np.asarray(fine) / 2**octave
        return (total - total.mean()) / total.std()


def draw(number: int, size: int, seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Picture `number` of the set: image (size, size, 3) and mask (size, size), uint8; shrunk masks have soft edges."""
    side = max(CANVAS, size)
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    scene = Scene(np.random.default_rng([seed, number]), side, x, y)
    image = _skin(scene)
    depth = _outline(scene)
    image = _satellites(scene, image, depth)
    image = _lesion(scene, image, depth)
    image = _disturbed(scene, image)
    image, visible = _aperture(scene, image)
    mask = (depth > 0) & visible
    image = _photographed(scene, image)
    drawn = (Image.fromarray((255 * channel).round().astype(np.uint8)) for channel in (image, mask))
    small_image, small_mask = (np.asarray(pixels.resized(each, size)) for each in drawn)
    return small_image, small_mask


def _smoothstep(values: np.ndarray) -> np.ndarray:
    clipped = np.clip(values, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)


def _absorbed(image: np.ndarray, density: np.ndarray, pigment: np.ndarray) -> np.ndarray:
    """Light left after a pigment of the given density (S, S); Beer and Lambert's law."""
    return image * np.exp(-np.maximum(density, 0)[..., None] * pigment)


def _blended(image: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return image + alpha[..., None] * (colour - image)


def _skin(scene: Scene) -> np.ndarray:
    """Tone, uneven light, mottled redness, fine lines, freckles."""
    rng = scene.rng
    first, second = rng.choice(len(SKIN_TONES), 2, replace=False)
    tone = SKIN_TONES[first] + rng.uniform(0, 0.45) * (SKIN_TONES[second] - SKIN_TONES[first])
    image = np.broadcast_to(tone, (scene.side, scene.side, 3)).copy()
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0, 0.1) * (math.cos(angle) * scene.x + math.sin(angle) * scene.y)
    light = 1 + slope + rng.uniform(0.005, 0.03) * scene.noise(3, octaves=3)
    image *= light[..., None]
    image = _absorbed(image, rng.uniform(0.01, 0.1) * (0.6 + scene.noise(4, octaves=5)), BLOOD)
    image = _absorbed(image, rng.uniform(0.01, 0.07) * (0.6 + scene.noise(9, octaves=3)), MELANIN)
    lines = scene.noise(30, octaves=2, aspect=rng.uniform(0.5, 2.0))
    image *= (1 + rng.uniform(0.002, 0.014) * lines + 0.008 * scene.noise(90))[..., None]
    if scene.chance(0.3):
        freckles = _smoothstep((scene.noise(rng.uniform(12, 26), octaves=3) - 0.9) / 2)
        image = _absorbed(image, rng.uniform(0.1, 0.45) * freckles, MELANIN)
    return image


def _outline(scene: Scene) -> np.ndarray:
    """(S, S) signed depth inside the lesion, in half sides: positive inside, one piece without holes."""
    rng = scene.rng
    radius = math.exp(rng.uniform(math.log(0.16), math.log(0.95)))
    reach = min(0.45, 1.0 - 0.6 * radius)
    centre_x, centre_y = rng.normal(0, 0.16, 2).clip(-reach, reach).tolist()
    bend = rng.uniform(0.02, 0.13) * radius
    x = scene.x - centre_x + bend * scene.noise(2.5 / max(radius, 0.25), octaves=2)
    y = scene.y - centre_y + bend * scene.noise(2.5 / max(radius, 0.25), octaves=2)
    tilt, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.6)
    along, across = math.cos(tilt) * x + math.sin(tilt) * y, math.cos(tilt) * y - math.sin(tilt) * x
    along, across = along / math.sqrt(stretch), across * math.sqrt(stretch)
    angle = np.arctan2(across, along)
    border = np.ones_like(angle)
    for lobes in range(2, 8):
        border += rng.normal(0, 0.2 / lobes) * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi))
    ragged = rng.uniform(0.0, 0.06) * scene.noise(14, octaves=3)
    depth = radius * (border + ragged) - np.hypot(along, across)
    parts, count = ndimage.label(depth > 0)
    largest = 1 + int(np.argmax(ndimage.sum_labels(depth > 0, parts, range(1, count + 1))))
    inside = ndimage.binary_fill_holes(parts == largest)
    return np.where(inside, np.abs(depth), -np.abs(depth)).astype(np.float32)


def _lesion(scene: Scene, image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Fill the outline with melanin, blood or both; strength runs from hardly visible to almost black."""
    rng = scene.rng
    width = float(depth.max())
    softness = rng.uniform(0.03, 0.3) * width
    cover = _smoothstep(0.5 + depth / (2 * softness))
    centre = rng.uniform(-0.35, 0.5) * _smoothstep(depth / width)
    patches = 0.28 * scene.noise(rng.uniform(3, 7), octaves=4) + rng.uniform(0.03, 0.2) * scene.noise(48, octaves=2)
    texture = _texture(scene)
    kind = rng.choice(("brown", "dark", "pink", "faint"), p=(0.4, 0.25, 0.15, 0.2))
    strength = {"brown": (0.45, 1.1), "dark": (1.3, 3.2), "pink": (0.1, 0.25), "faint": (0.2, 0.38)}[str(kind)]
    melanin = rng.uniform(*strength) * (0.85 + centre + patches + texture)
    blood = rng.uniform(*((0.35, 0.8) if kind == "pink" else (0.0, 0.35))) * (0.8 + 0.3 * scene.noise(5, octaves=4))
    if scene.chance(0.35):
        halo = _smoothstep(1 + depth / rng.uniform(0.1, 0.35)) * (depth < 0)
        image = _absorbed(image, rng.uniform(0.05, 0.22) * halo, BLOOD)
    image = _absorbed(image, cover * np.maximum(melanin, 0.06), MELANIN)
    image = _absorbed(image, cover * np.maximum(blood, 0), BLOOD)
    if kind == "dark" and scene.chance(0.5):
        veil = _smoothstep(scene.noise(3, octaves=3) - 0.2) * _smoothstep(depth / (0.4 * width))
        image = _blended(image, VEIL, rng.uniform(0.3, 0.7) * veil)
    return image


def _texture(scene: Scene) -> np.ndarray:
    """(S, S) pigment network, globules or nothing, as a change of density."""
    rng = scene.rng
    cells = rng.uniform(22, 44)
    kind = rng.choice(("network", "globules", "plain"), p=(0.45, 0.3, 0.25))
    if kind == "plain":
        return np.zeros_like(scene.x)
    where = _smoothstep(0.5 + 0.6 * scene.noise(3, octaves=2))
    bumps = scene.noise(cells)
    if kind == "network":
        return rng.uniform(0.25, 0.7) * where * (np.exp(-((bumps / 0.35) ** 2)) - 0.4)
    return rng.uniform(0.3, 0.8) * where * _smoothstep((bumps - 0.5) / 0.8)


def _satellites(scene: Scene, image: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Small spots of pigment or blood beside the lesion: they look like lesions and are not the lesion."""
    rng = scene.rng
    if not scene.chance(0.45):
        return image
    for _ in range(rng.integers(1, 7)):
        centre_x, centre_y = rng.uniform(-0.95, 0.95, 2).tolist()
        row, column = (round((value + 1) / 2 * (scene.side - 1)) for value in (centre_y, centre_x))
        radius = rng.uniform(0.02, 0.09)
        if depth[row, column] > -2 * radius:
            continue
        distance = np.hypot(scene.x - centre_x, (scene.y - centre_y) * rng.uniform(0.7, 1.4))
        spot = _smoothstep(0.5 + (radius - distance + 0.012 * scene.noise(14)) / (1.2 * radius))
        image = _absorbed(image, rng.uniform(0.15, 0.9) * spot, MELANIN if scene.chance(0.7) else BLOOD)
    return image


def _disturbed(scene: Scene, image: np.ndarray) -> np.ndarray:
    """Whatever lies on the skin, each with its own probability."""
    for probability, put in ((0.12, _ink), (0.12, _sticker), (0.3, _bubbles), (0.55, _hairs), (0.35, _ruler)):
        if scene.chance(probability):
            image = put(scene, image)
    return image


def _strokes(scene: Scene, curves: list[np.ndarray], widths: list[float]) -> np.ndarray:
    """(S, S) coverage from 0 to 1 of curves (points, 2) in half sides, of the given widths in half sides."""
    double = 2 * scene.side
    sheet = Image.new("L", (double, double))
    pen = ImageDraw.Draw(sheet)
    for curve, width in zip(curves, widths, strict=True):
        points = [tuple(point) for point in ((curve + 1) * scene.side).tolist()]
        pen.line(points, fill=255, width=max(1, round(width * scene.side)), joint="curve")
    small = sheet.resize((scene.side, scene.side), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255


def _curve(start: np.ndarray, bend: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Points (24, 2) of a quadratic Bezier curve."""
    t = np.linspace(0, 1, 24)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end


def _hairs(scene: Scene, image: np.ndarray) -> np.ndarray:
    rng = scene.rng
    count = int(math.exp(rng.uniform(math.log(2), math.log(32))))
    heading = rng.uniform(0, 2 * np.pi)
    curves, widths = [], []
    for _ in range(count):
        angle = heading + rng.normal(0, 0.7)
        start = rng.uniform(-1.1, 1.1, 2)
        end = start + rng.uniform(0.3, 1.8) * np.array((math.cos(angle), math.sin(angle)))
        curves.append(_curve(start, (start + end) / 2 + rng.normal(0, 0.25, 2), end))
        widths.append(rng.uniform(0.003, 0.012))
    colour = np.array((0.16, 0.11, 0.08)) if scene.chance(0.75) else np.array((0.62, 0.50, 0.38))
    cover = ndimage.gaussian_filter(_strokes(scene, curves, widths), 0.4 * scene.side / CANVAS)
    return _blended(image, colour.astype(np.float32), rng.uniform(0.5, 0.95) * cover)


def _ruler(scene: Scene, image: np.ndarray) -> np.ndarray:
    """A scale with ticks near the rim: a thin printed one, or ticks alone as on the dermatoscope's glass."""
    rng = scene.rng
    angle = rng.normal(0, 0.12) + rng.integers(4) * np.pi / 2
    along, inward = np.array((math.cos(angle), math.sin(angle))), np.array((math.sin(angle), -math.cos(angle)))
    origin = -inward * rng.uniform(0.62, 0.9) + along * rng.uniform(-0.9, -0.3)
    step, ticks = rng.uniform(0.03, 0.07), int(rng.integers(11, 22))
    curves = [np.stack((origin, origin + along * step * (ticks - 1)))] if scene.chance(0.7) else []
    for tick in range(ticks):
        foot = origin + along * step * tick
        curves.append(np.stack((foot, foot + inward * (0.075 if tick % 5 == 0 else 0.045))))
    colour = np.float32(0.12 if scene.chance(0.8) else 0.95) * np.ones(3, dtype=np.float32)
    cover = _strokes(scene, curves, [rng.uniform(0.006, 0.012)] * len(curves))
    return _blended(image, colour, rng.uniform(0.5, 0.9) * cover)


def _ink(scene: Scene, image: np.ndarray) -> np.ndarray:
    """Strokes of a surgical marker, worn off in places."""
    rng = scene.rng
    anchor = rng.choice((-1, 1), 2) * rng.uniform(0.55, 0.95, 2)
    curves = [_curve(*(anchor + rng.normal(0, 0.25, (3, 2)))) for _ in range(rng.integers(1, 4))]
    cover = _strokes(scene, curves, [rng.uniform(0.03, 0.09)] * len(curves))
    cover = ndimage.gaussian_filter(cover, 1.5 * scene.side / CANVAS) * _smoothstep(
        0.9 + 0.5 * scene.noise(25, octaves=3)
    )
    return _blended(image, image * INKS[rng.integers(len(INKS))] * 1.3, rng.uniform(0.4, 0.9) * cover)


def _sticker(scene: Scene, image: np.ndarray) -> np.ndarray:
    """A coloured disc at the rim, as beside many of the pictures of children."""
    rng = scene.rng
    angle, distance, radius = rng.uniform(0, 2 * np.pi), rng.uniform(1.05, 1.25), rng.uniform(0.25, 0.5)
    from_centre = np.hypot(scene.x - distance * math.cos(angle), (scene.y - distance * math.sin(angle)) * 0.8)
    cover = _smoothstep((radius - from_centre) / 0.012)
    colour = STICKERS[rng.integers(len(STICKERS))] * (0.95 + 0.03 * scene.noise(100)[..., None])
    return _blended(image, colour, cover)


def _bubbles(scene: Scene, image: np.ndarray) -> np.ndarray:
    """Bubbles in the contact gel: a dark rim, a lit inside and a bright spot."""
    rng = scene.rng
    for _ in range(rng.integers(2, 14)):
        centre_x, centre_y = rng.uniform(-1, 1, 2).tolist()
        radius = rng.uniform(0.01, 0.06)
        distance = np.hypot(scene.x - centre_x, scene.y - centre_y)
        rim = np.exp(-(((distance - radius) / (0.008 + 0.1 * radius)) ** 2))
        spot = np.exp(
            -((np.hypot(scene.x - centre_x + radius / 2, scene.y - centre_y + radius / 2) / (0.4 * radius)) ** 2)
        )
        image = image * (1 - rng.uniform(0.08, 0.25) * rim)[..., None]
        image = _blended(image, np.ones(3, dtype=np.float32), rng.uniform(0.2, 0.7) * spot)
    return image


def _aperture(scene: Scene, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The dermatoscope's round field of view: none, darkened corners, or a black surround; and what stays visible."""
    rng = scene.rng
    distance = np.hypot(scene.x - rng.normal(0, 0.04), scene.y - rng.normal(0, 0.04))
    everything = np.ones_like(distance, dtype=bool)
    kind = rng.choice(("none", "corners", "black"), p=(0.45, 0.35, 0.2))
    if kind == "none":
        return image, everything
    if kind == "corners":
        shade = _smoothstep((distance - rng.uniform(0.6, 0.9)) / 0.8)
        return image * (1 - rng.uniform(0.3, 0.9) * shade)[..., None], everything
    radius, edge = rng.uniform(0.95, 1.25), rng.uniform(0.02, 0.14)
    lit = _smoothstep(0.5 + (radius - distance) / edge)
    return np.float32(0.02) + (image - np.float32(0.02)) * lit[..., None], distance < radius


def _photographed(scene: Scene, image: np.ndarray) -> np.ndarray:
    """White balance, exposure, contrast, focus and sensor noise."""
    rng = scene.rng
    image = image * rng.normal(1, 0.045, 3).astype(np.float32) * np.float32(rng.uniform(0.82, 1.12))
    image = image.clip(0, 1) ** np.float32(rng.uniform(0.85, 1.2))
    blur = rng.uniform(0, 1.1) * scene.side / CANVAS
    image = ndimage.gaussian_filter(image, (blur, blur, 0))
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    return (image + np.float32(rng.uniform(0.004, 0.02)) * grain).clip(0, 1)
