"""Writing pictures, one after the other, as GIF, MP4 or a page of HTML."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np
from matplotlib.animation import FFMpegWriter
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import KDTree

from splinecam.errors import InvalidArgumentError, SplineCamError
from splinecam.plotting._pages import Page

N_KEPT, N_MIXED = 128, 128
"""Of a GIF's colours, those that are kept as they are, and those that stand for all others."""

PALETTE_PIXELS = 1_000_000
"""From about how many pixels, evenly spread over the frames, a GIF's colours are chosen."""

LAST_FRAME = 2.0
"""Seconds for which the last picture stays before a GIF begins again."""


def rasterise(figure: Figure, dpi: float) -> Image.Image:
    """Return a figure as an image, RGB."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return Image.open(buffer).convert("RGB")


def write_gif(path: Path, frames: Iterable[Image.Image], fps: float, dpi: float) -> None:
    """Write a GIF whose frames share one palette, so that colours that stay do not flicker."""
    pictures = list(frames)
    colours = _palette(pictures)
    flat = [_in_palette(picture, colours) for picture in pictures]
    seconds = [1 / fps] * (len(flat) - 1) + [max(LAST_FRAME, 1 / fps)]
    milliseconds = [round(1000 * duration) for duration in seconds]
    flat[0].save(
        *(path, "GIF"), save_all=True, append_images=flat[1:], duration=milliseconds, loop=0
    )


def _palette(pictures: list[Image.Image]) -> NDArray[np.uint8]:
    """Colours (n, 3) of a GIF: the commonest ones, and median cuts of the others."""
    packed = np.concatenate([_packed(picture).ravel() for picture in pictures])
    sample = packed[:: max(1, len(packed) // PALETTE_PIXELS)]
    colours, counts = np.unique(sample, return_counts=True)
    commonest = colours[np.argsort(-counts, kind="stable")[:N_KEPT]]
    rest = sample[~np.isin(sample, commonest)]
    if not len(rest):
        return _unpacked(commonest)
    mixed = Image.fromarray(_unpacked(rest)[None]).quantize(N_MIXED, Image.Quantize.MEDIANCUT)
    cuts = np.array(mixed.getpalette(), np.uint8).reshape(-1, 3)
    return np.concatenate([_unpacked(commonest), cuts])


def _in_palette(picture: Image.Image, palette: NDArray[np.uint8]) -> Image.Image:
    """A picture with each pixel in the nearest colour of a palette."""
    colours, places = np.unique(_packed(picture), return_inverse=True)
    # Pillow's own choice of the nearest does not tell apart colours that differ by less than 4.
    nearest = np.asarray(KDTree(palette).query(_unpacked(colours))[1], np.uint8)
    flat = Image.fromarray(nearest[places])
    flat.putpalette(palette.ravel().tolist())
    return flat


def _packed(picture: Image.Image) -> NDArray[np.uint32]:
    """The pixels of a picture (height, width), each as one number."""
    pixels: NDArray[np.uint8] = np.asarray(picture.convert("RGBA"))
    return pixels.view(np.uint32)[..., 0]


def _unpacked(colours: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The colours (n, 3) of such numbers."""
    return colours.view(np.uint8).reshape(-1, 4)[:, :3]


def write_mp4(path: Path, frames: Iterable[Image.Image], fps: float, dpi: float) -> None:
    """Write a film with ffmpeg."""
    if not FFMpegWriter.isAvailable():
        raise SplineCamError(
            f"path is {str(path)!r}: films of this kind are written by ffmpeg, which is not "
            "installed; accepted without it: .gif or .html"
        )
    # The stub asks for an integer; ffmpeg reads any number.
    writer = FFMpegWriter(fps=fps)  # pyright: ignore[reportArgumentType]
    canvas, shown = Figure(), None
    for frame in frames:
        if shown is None:
            canvas.set_size_inches(frame.width / dpi, frame.height / dpi)
            shown = canvas.figimage(np.asarray(frame))
            writer.setup(canvas, path, dpi)
        shown.set_data(np.asarray(frame))
        writer.grab_frame()
    writer.finish()


def write_page(path: Path, frames: Iterable[Image.Image], fps: float, dpi: float) -> None:
    """Write a page of HTML that holds the pictures and a player, and loads nothing else."""
    film_page(frames, fps).save(path)


def film_page(frames: Iterable[Image.Image], fps: float) -> Page:
    """Return what `write_page` writes."""
    sources = []
    for frame in frames:
        buffer = io.BytesIO()
        frame.save(buffer, "PNG", optimize=True)
        sources.append(f"data:image/png;base64,{b64encode(buffer.getvalue()).decode('ascii')}")
    template = files("splinecam.plotting").joinpath("player.html").read_text("utf-8")
    return Page(
        template.replace("{{frames}}", json.dumps(sources)).replace("{{fps}}", json.dumps(fps))
    )


WRITERS: dict[str, Callable[[Path, Iterable[Image.Image], float, float], None]] = {
    ".gif": write_gif,
    ".html": write_page,
    ".mp4": write_mp4,
}
"""By the suffix of the file."""


def writer_for(path: Path) -> Callable[[Path, Iterable[Image.Image], float, float], None]:
    """Return the writer for a file's suffix, or refuse it."""
    if path.suffix not in WRITERS:
        raise InvalidArgumentError(f"path is {str(path)!r}; accepted: {', '.join(WRITERS)}")
    return WRITERS[path.suffix]
