"""Pictures of every kind open as RGB; bad ones are a plain word on the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nemo_core.errors import ConfigError, DataError
from nemo_mm.images import open_image
from nemo_mm.images.opening import count_frames


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.fixture
def photo() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8))


@pytest.mark.parametrize("as_what", ["path", "text", "bytes", "array", "image"])
def test_all_sources_give_the_same_pixels(as_what, photo, tmp_path):
    path = tmp_path / "photo.png"
    photo.save(path)
    source = {
        "path": path,
        "text": str(path),
        "bytes": path.read_bytes(),
        "array": np.asarray(photo),
        "image": photo,
    }[as_what]
    pixels = open_image(source)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(photo))


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV"])
def test_colour_spaces_agree_with_rgb(mode, photo):
    flat = Image.new("RGB", (5, 4), (200, 30, 60)).convert(mode)
    format = {"CMYK": "TIFF", "YCbCr": "JPEG", "HSV": None}.get(mode, "PNG")
    source = encoded(flat, format) if format else flat
    expected = np.asarray(flat.convert("RGB"))
    assert np.abs(open_image(source).astype(int) - expected).max() <= 2


def test_a_cmyk_jpeg_is_converted():
    pixels = open_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert pixels.shape == (8, 8, 3)
    assert (pixels[0, 0] > [200, -1, -1]).all()
    assert (pixels[0, 0, 1:] < 40).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(mode):
    if mode == "P":
        image = Image.new("P", (2, 1), 0)
        image.putpalette([0, 0, 0, 0, 0, 255])
        image.putpixel((1, 0), 1)
        source = encoded(image, transparency=0)
        colour = [0, 0, 255]
    else:
        image = Image.new(mode, (2, 1), (9,) * (len(mode) - 1) + (0,))
        image.putpixel((1, 0), (9,) * (len(mode) - 1) + (255,))
        source, colour = encoded(image), [9, 9, 9]
    pixels = open_image(source)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 1].tolist() == colour


def test_half_transparent_is_half_white():
    assert open_image(encoded(Image.new("RGBA", (1, 1), (0, 0, 0, 128))))[0, 0].tolist() == [127] * 3


@given(value=st.integers(0, 65535))
@settings(max_examples=30, deadline=None)
def test_sixteen_bits_are_scaled_not_cut(value):
    expected = round(value / 65535 * 255)
    grey = np.full((2, 3), value, np.uint16)
    for source in (grey, encoded(Image.fromarray(grey)), encoded(Image.fromarray(grey), "TIFF")):
        assert set(open_image(source).ravel().tolist()) == {expected}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_set_upright(orientation, photo):
    exif = Image.Exif()
    exif[274] = orientation
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    expected = photo.transpose(turn) if turn is not None else photo
    np.testing.assert_array_equal(open_image(encoded(photo, exif=exif)), np.asarray(expected))


def test_a_damaged_exif_block_does_not_cost_the_picture(photo):
    content = encoded(photo, "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff")
    assert open_image(content).shape == (20, 30, 3)


def test_one_pixel():
    assert open_image(encoded(Image.new("RGB", (1, 1), (1, 2, 3)))).tolist() == [[[1, 2, 3]]]


def test_moving_pictures(tmp_path):
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / "blink.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert open_image(path)[0, 0].tolist() == [255, 0, 0]
    with pytest.raises(DataError, match=r"blink\.gif: moves \(3 frames\)"):
        open_image(path, animated="error")
    with pytest.raises(ConfigError, match="animated is 'all'"):
        open_image(path, animated="all")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_cut_off_files_are_said_to_be(format, photo, tmp_path):
    path = tmp_path / "cut.dat"
    path.write_bytes(encoded(photo, format)[:-60])
    with pytest.raises(DataError, match=r"cut\.dat: .*(damaged|cannot be read)") as caught:
        open_image(path)
    assert caught.value.hint


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_damage_anywhere_never_ends_in_a_foreign_error(data):
    """Whatever bytes are changed: pixels or a DataError that names the file."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    format = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"]))
    content = bytearray(encoded(Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)), format))
    for _ in range(data.draw(st.integers(1, 8))):
        content[rng.integers(len(content))] = rng.integers(256)
    error = None
    try:
        pixels = open_image(bytes(content), name="x.img", max_pixels=10_000)
    except DataError as caught:
        error = caught
    if error is None:
        assert pixels.dtype == np.uint8
    else:
        assert error.message.startswith("x.img: ")


def test_too_large_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (30_000, 20_000)).save(path)
    assert path.stat().st_size < 200_000
    with pytest.raises(DataError, match=r"bomb\.png: has far more than 89478485 pixels"):
        open_image(path)
    Image.new("1", (200, 100)).save(path)
    with pytest.raises(DataError, match=r"bomb\.png: 200 x 100 pixels are more than 19999"):
        open_image(path, max_pixels=19_999)
    assert open_image(path, max_pixels=20_000).shape == (100, 200, 3)


def test_a_higher_limit_holds_and_leaves_pillows_own_as_it_was(tmp_path):
    path = tmp_path / "large.png"
    Image.new("1", (1000, 600)).save(path)
    before = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = 1000
        assert open_image(path, max_pixels=600_000).shape == (600, 1000, 3)
        assert Image.MAX_IMAGE_PIXELS == 1000
    finally:
        Image.MAX_IMAGE_PIXELS = before


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "none.png", "there is no such file"),
        (lambda folder: folder, "is a folder"),
        (lambda folder: _write(folder / "empty.png", b""), "the file is empty"),
        (lambda folder: _write(folder / "words.png", b"not a picture at all"), "cannot be read as a picture"),
        (lambda folder: 17, "neither a path"),
        (lambda folder: np.zeros((3, 4, 5), np.uint8), "shape"),
        (lambda folder: np.zeros((0, 4), np.uint8), "no pixels"),
        (lambda folder: np.zeros((3, 4), np.float32), "float32"),
        (lambda folder: Image.new("F", (2, 2)), "floating"),
    ],
)
def test_what_is_not_a_picture(make, words, tmp_path):
    with pytest.raises(DataError, match=words):
        open_image(make(tmp_path))


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_frames_are_counted_and_chosen(tmp_path):
    path = tmp_path / "moves.gif"
    frames = [Image.new("RGB", (8, 8), (40 * place, 0, 0)) for place in range(5)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert count_frames(path) == 5
    assert [open_image(path, frame=place)[0, 0, 0] for place in (0, 3)] == [0, 120]
    Image.new("1", (30_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match="far more"):
        count_frames(tmp_path / "bomb.png")
    with pytest.raises(DataError, match="is damaged or cut off"):
        open_image(path, frame=9)
