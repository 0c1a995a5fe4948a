"""Random views of a drawing: as a camera, a screen or another vendor might show it.

Demo pictures are clean vector drawings. What a user uploads waves, tilts, fades,
is small, round, cut off or half hidden, or stands before something. Each view is a pure
function of the picture and a numpy generator, so that a cache of views can be made again
exactly.
"""

import math
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

VIEW_SIZE = 224


def random_view(
    picture: Image.Image,
    kind: str,
    rng: np.random.Generator,
    others: Sequence[Image.Image] = (),
) -> Image.Image:
    """Return one augmented RGB view, VIEW_SIZE on each side: a calm one for one in three.

    Args:
        picture: RGB or RGBA; transparent parts show the view's background.
        kind: "flag" (never mirrored, may wave) or anything else.
        rng: the only source of randomness.
        others: RGBA pictures of other things, pieces of which may stand behind.
    """
    if rng.random() < 1 / 3:
        return calm_view(picture, kind, rng)
    is_flag = kind == "flag"
    cut = crop(picture.convert("RGBA"), rng, round_chance=0.15 if is_flag else 0.03)
    view = cut.resize((VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC)
    if not is_flag and rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < (0.5 if is_flag else 0.15):
        view = wave(view, rng)
    if rng.random() < 0.3:
        view = shade(view, rng)
    if rng.random() < 0.7:
        view = perspective(view, rng)
    view = place(view, _background(rng, others), rng)
    if rng.random() < 0.2:
        view = hide(view, rng)
    view = recolour(view, rng, strongest_hue=0.02 if is_flag else 0.06)
    return degrade(view, rng)


def calm_view(picture: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """Return a view in which details stay: whole, upright, on white, perhaps waved or small.

    Flags that differ in a badge are mixed up by a training that sees distorted ones alone.
    """
    view = picture.convert("RGBA").resize((VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC)
    if kind == "flag" and rng.random() < 0.5:
        view = wave(view, rng)
    white = Image.new("RGB", view.size, "white")
    view = place(view, white, rng, smallest=0.85)
    view = recolour(view, rng, strongest_hue=0.0, spread=0.07)
    if rng.random() < 0.5:
        small = int(rng.uniform(56, 128))
        view = view.resize((small, small), Image.Resampling.BILINEAR).resize(
            (VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC
        )
    return view


def crop(picture: Image.Image, rng: np.random.Generator, round_chance: float) -> Image.Image:
    """Return the picture as it is, a window of it, with rounded corners, or as a disc.

    Args:
        picture: RGBA, of any shape.
        rng: the only source of randomness.
        round_chance: of a disc. Icon sets cut it out of the largest square.
    """
    chance = rng.random()
    if chance < round_chance:
        if rng.random() < 0.75:
            side = min(picture.size)
            x, y = (round((full - side) * rng.beta(3, 3)) for full in picture.size)
            picture = picture.crop((x, y, x + side, y + side))
        return _rounded(picture, 0.5)
    if chance < round_chance + 0.08:
        return _rounded(picture, rng.uniform(0.05, 0.35))
    if chance < round_chance + 0.25:
        width, height = (full * rng.uniform(0.65, 1) for full in picture.size)
        left, top = rng.uniform(0, picture.width - width), rng.uniform(0, picture.height - height)
        right, bottom = left + width, top + height
        return picture.crop((round(left), round(top), round(right), round(bottom)))
    return picture


def _rounded(picture: Image.Image, radius: float) -> Image.Image:
    """Return the picture with corners cut at a radius given as a share of each side."""
    width, height = picture.size
    x = np.abs(np.linspace(-0.5, 0.5, width))[None, :]
    y = np.abs(np.linspace(-0.5, 0.5, height))[:, None]
    beyond = np.hypot(np.maximum(x - (0.5 - radius), 0), np.maximum(y - (0.5 - radius), 0))
    pixels = np.array(picture)
    pixels[..., 3] = np.where(beyond > radius, 0, pixels[..., 3])
    return Image.fromarray(pixels, "RGBA")


def shade(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture with the uneven light and grain of a real surface."""
    pixels = np.asarray(view).astype(np.float32)
    light = 1 + rng.uniform(0.1, 0.45) * (_cloud(rng)[..., :1] * 2 - 1)
    pixels[..., :3] *= light
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGBA")


def hide(view: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the view with something before it: a disc or bar over up to a quarter."""
    mask = Image.new("L", view.size, 0)
    width, height = (rng.uniform(0.15, 0.5, 2) * VIEW_SIZE).tolist()
    left, top = rng.uniform(-0.5 * width, VIEW_SIZE - 0.5 * width), rng.uniform(0, VIEW_SIZE)
    draw = ImageDraw.Draw(mask)
    shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
    shape((left, top - height / 2, left + width, top + height / 2), fill=255)
    front = _scene(rng) if rng.random() < 0.5 else Image.new("RGB", view.size, _colour(rng))
    return Image.composite(front, view, mask)


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


def place(
    view: Image.Image, background: Image.Image, rng: np.random.Generator, smallest: float = 0.5
) -> Image.Image:
    """Return the picture on a square background, scaled, stretched and shifted."""
    largest = 1.0 if rng.random() < 0.4 else rng.uniform(smallest, 1.0)
    aspect = math.exp(rng.normal(0, 0.18))
    width = largest * min(1.0, aspect) * VIEW_SIZE
    height = largest * min(1.0, 1 / aspect) * VIEW_SIZE
    size = max(8, round(width)), max(8, round(height))
    corner = tuple(int(rng.integers(0, VIEW_SIZE - side + 1)) for side in size)
    resized = view.resize(size, Image.Resampling.BICUBIC)
    background.paste(resized, (corner[0], corner[1]), resized)
    return background


def recolour(
    view: Image.Image, rng: np.random.Generator, strongest_hue: float, spread: float = 0.2
) -> Image.Image:
    """Return the view in another light: brightness, contrast, saturation, a little hue."""
    for enhance, deviation in (
        (ImageEnhance.Brightness, spread),
        (ImageEnhance.Contrast, spread),
        (ImageEnhance.Color, 1.5 * spread),
    ):
        view = enhance(view).enhance(float(np.clip(rng.normal(1, deviation), 0.4, 1.7)))
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
        view = view.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3.5)))
    if rng.random() < 0.25:
        noise = rng.normal(0, rng.uniform(2, 14), size=(VIEW_SIZE, VIEW_SIZE, 3))
        view = Image.fromarray(np.clip(np.asarray(view) + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        buffer = BytesIO()
        view.save(buffer, "JPEG", quality=int(rng.integers(25, 90)))
        view = Image.open(buffer).convert("RGB")
    return view


def _background(rng: np.random.Generator, others: Sequence[Image.Image]) -> Image.Image:
    """Return white for one in four, else one colour, a gradient, blurred noise or a scene."""
    choice = rng.random()
    if choice < 0.25:
        return Image.new("RGB", (VIEW_SIZE, VIEW_SIZE), "white")
    colour = rng.uniform(0, 255, 3)
    if choice < 0.35:
        pixels = np.broadcast_to(colour, (VIEW_SIZE, VIEW_SIZE, 3))
    elif choice < 0.43:
        ramp = np.linspace(0, 1, VIEW_SIZE)[:, None, None]
        pixels = np.broadcast_to(
            colour + ramp * (rng.uniform(0, 255, 3) - colour), (VIEW_SIZE, VIEW_SIZE, 3)
        )
        if rng.random() < 0.5:
            pixels = pixels.transpose(1, 0, 2)
    elif choice < 0.5:
        cells = int(rng.integers(3, 16))
        blobs = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        return blobs.resize((VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC)
    else:
        return _scene(rng, others)
    return Image.fromarray(np.ascontiguousarray(pixels).astype(np.uint8))


def _scene(rng: np.random.Generator, others: Sequence[Image.Image] = ()) -> Image.Image:
    """Return what stands for a photograph's background: shapes and clouds in one light.

    Pieces of other pictures stand in it, large, so that it has a photograph's edges.
    """
    ground = Image.new("RGB", (VIEW_SIZE, VIEW_SIZE), _colour(rng))
    draw = ImageDraw.Draw(ground)
    for _ in range(int(rng.integers(2, 9))):
        x, y = rng.uniform(-50, VIEW_SIZE, 2)
        width, height = rng.uniform(20, 200, 2)
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x, y, x + width, y + height), fill=_colour(rng))
    ground = ground.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 12)))
    for other in others:
        piece = _piece(other, rng)
        left, top = rng.integers(-piece.width // 2, VIEW_SIZE - piece.width // 2, 2).tolist()
        ground.paste(piece, (left, top), piece)
    if others:
        ground = ground.filter(ImageFilter.GaussianBlur(rng.uniform(0, 3)))
    clouds = _cloud(rng)
    if rng.random() < 0.6:  # in one colour, as grass, walls and sky are
        clouds = clouds[..., :1]
    strength = rng.uniform(0.2, 0.9)
    pixels = np.asarray(ground) * (1 - strength * clouds) + 255 * rng.uniform(0, 0.4) * clouds
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _piece(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a window of an RGBA picture, turned and enlarged: what it shows can hardly be told."""
    width, height = (full * rng.uniform(0.3, 0.6) for full in picture.size)
    left, top = rng.uniform(0, picture.width - width), rng.uniform(0, picture.height - height)
    window = picture.crop((round(left), round(top), round(left + width), round(top + height)))
    side = int(rng.uniform(0.5, 1.2) * VIEW_SIZE)
    enlarged = window.resize((side, side), Image.Resampling.BICUBIC)
    return enlarged.rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR, expand=True)


def _cloud(rng: np.random.Generator) -> np.ndarray:
    """Return noise [VIEW_SIZE, VIEW_SIZE, 3] between 0 and 1, coarse and fine as photographs are.

    Photographs have about as much contrast at every scale: each octave counts the same here.
    """
    total = np.zeros((VIEW_SIZE, VIEW_SIZE, 3), np.float32)
    for cells in (3, 7, 14, 28, 56, 112):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(noise.resize((VIEW_SIZE, VIEW_SIZE), Image.Resampling.BICUBIC))
    total -= total.min()
    scaled: np.ndarray = total / total.max()
    return scaled


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _homography(target: np.ndarray, source: np.ndarray) -> list[float]:
    """Return Pillow's eight coefficients of the map that takes target points to source points."""
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        values += [u, v]
    solution: list[float] = np.linalg.solve(np.array(rows), np.array(values)).tolist()
    return solution
