"""Random views of a drawing: as a camera, a screen or another vendor might show it.

Demo pictures are clean vector drawings. What a user uploads waves, tilts, fades,
is small, or stands before something. Each view is a pure function of the picture
and a numpy generator, so that a cache of views can be made again exactly.
"""

import math
from io import BytesIO

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

VIEW_SIZE = 224


def random_view(picture: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """Return one augmented RGB view, VIEW_SIZE on each side.

    Args:
        picture: RGB or RGBA; transparent parts show the view's background.
        kind: "flag" (never mirrored, may wave) or anything else.
        rng: the only source of randomness.
    """
    view = picture.convert("RGBA").resize((VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC)
    is_flag = kind == "flag"
    if not is_flag and rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < (0.6 if is_flag else 0.15):
        view = wave(view, rng)
    if rng.random() < 0.7:
        view = perspective(view, rng)
    view = place(view, rng)
    view = recolour(view, rng, strongest_hue=0.02 if is_flag else 0.05)
    return degrade(view, rng)


def wave(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture as cloth in the wind: displaced in y, shaded by the slope."""
    pixels = np.asarray(view).astype(np.float32)
    height, width = pixels.shape[:2]
    amplitude = rng.uniform(0.02, 0.10) * height
    turns, phase = rng.uniform(0.6, 2.2), rng.uniform(0, 2 * math.pi)
    slant = rng.uniform(-0.5, 0.5)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    angle = 2 * math.pi * turns * (x + slant * y) / width + phase
    margin = amplitude * 1.05
    source_y = (y + amplitude * np.sin(angle) - margin) * height / (height - 2 * margin)
    inside = (source_y >= 0) & (source_y <= height - 1)
    waved = pixels[np.clip(source_y, 0, height - 1).round().astype(int), x]
    waved[..., 3] *= inside
    waved[..., :3] *= 1 + rng.uniform(0, 0.3) * np.cos(angle)[..., None]
    return Image.fromarray(np.clip(waved, 0, 255).astype(np.uint8), "RGBA")


def perspective(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture turned by up to 20 degrees and seen from a little to the side."""
    if rng.random() < 0.5:
        view = view.rotate(rng.normal(0, 8), Image.Resampling.BICUBIC, expand=True)
    width, height = view.size
    jitter = rng.uniform(-0.1, 0.1, size=(4, 2)) * (width, height)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    coefficients = _homography(corners, corners + jitter)
    return view.transform(
        view.size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC
    )


def place(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture on a square background, scaled, stretched and shifted."""
    background = _background(rng)
    largest = 1.0 if rng.random() < 0.4 else rng.uniform(0.5, 1.0)
    aspect = math.exp(rng.normal(0, 0.18))
    width = largest * min(1.0, aspect) * VIEW_SIZE
    height = largest * min(1.0, 1 / aspect) * VIEW_SIZE
    size = max(8, round(width)), max(8, round(height))
    corner = tuple(int(rng.integers(0, VIEW_SIZE - side + 1)) for side in size)
    resized = view.resize(size, Image.Resampling.BICUBIC)
    background.paste(resized, (corner[0], corner[1]), resized)
    return background


def recolour(view: Image.Image, rng: np.random.Generator, strongest_hue: float) -> Image.Image:
    """Return the view in another light: brightness, contrast, saturation, a little hue."""
    for enhance, spread in (
        (ImageEnhance.Brightness, 0.2),
        (ImageEnhance.Contrast, 0.2),
        (ImageEnhance.Color, 0.3),
    ):
        view = enhance(view).enhance(float(np.clip(rng.normal(1, spread), 0.4, 1.7)))
    hue, saturation, value = view.convert("HSV").split()
    shift = round(rng.uniform(-strongest_hue, strongest_hue) * 255)
    hue = hue.point(lambda h: (h + shift) % 256)
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def degrade(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the view blurred, shrunk and enlarged again, noisy or JPEG-compressed, at random."""
    if rng.random() < 0.35:
        small = int(rng.uniform(40, 128))
        view = view.resize((small, small), Image.Resampling.BILINEAR).resize(
            (VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC
        )
    elif rng.random() < 0.25:
        view = view.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.5)))
    if rng.random() < 0.25:
        noise = rng.normal(0, rng.uniform(2, 14), size=(VIEW_SIZE, VIEW_SIZE, 3))
        view = Image.fromarray(np.clip(np.asarray(view) + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        buffer = BytesIO()
        view.save(buffer, "JPEG", quality=int(rng.integers(25, 90)))
        view = Image.open(buffer).convert("RGB")
    return view


def _background(rng: np.random.Generator) -> Image.Image:
    """Return white half of the time, else one colour, a gradient or blurred noise."""
    choice = rng.random()
    if choice < 0.5:
        return Image.new("RGB", (VIEW_SIZE, VIEW_SIZE), "white")
    colour = rng.uniform(0, 255, 3)
    if choice < 0.7:
        pixels = np.broadcast_to(colour, (VIEW_SIZE, VIEW_SIZE, 3))
    elif choice < 0.85:
        ramp = np.linspace(0, 1, VIEW_SIZE)[:, None, None]
        pixels = np.broadcast_to(
            colour + ramp * (rng.uniform(0, 255, 3) - colour), (VIEW_SIZE, VIEW_SIZE, 3)
        )
        if rng.random() < 0.5:
            pixels = pixels.transpose(1, 0, 2)
    else:
        cells = int(rng.integers(3, 16))
        blobs = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        return blobs.resize((VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC)
    return Image.fromarray(np.ascontiguousarray(pixels).astype(np.uint8))


def _homography(target: np.ndarray, source: np.ndarray) -> list[float]:
    """Return Pillow's eight coefficients of the map that takes target points to source points."""
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        values += [u, v]
    solution: list[float] = np.linalg.solve(np.array(rows), np.array(values)).tolist()
    return solution
