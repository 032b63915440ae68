"""Images as people have them: every mode, turned, cut off, empty; each read right or named."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from small_study import small_study

from collect.datasets import Data, load
from collect.readers.decoding import centre, decoded
from store.design import Design
from store.errors import DataError

SIDE = 16
COLOUR = np.random.default_rng(0).integers(0, 256, size=(SIDE, SIDE, 3), dtype=np.uint8)
GREY = COLOUR[:, :, 0]


def _png(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG", **options)
    return stream.getvalue()


def _jpeg(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=100, subsampling=0, **options)
    return stream.getvalue()


def _rgb16() -> bytes:
    """A colour PNG of 16 bits a channel, which Pillow reads and cannot write."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    wide = (COLOUR.astype(">u2") * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _turned() -> bytes:
    """A JPEG that a camera held sideways: its pixels lie on their side, a note says so."""
    image = Image.fromarray(_smooth())
    exif = Image.Exif()
    exif[0x0112] = 6
    return _jpeg(image.transpose(Image.Transpose.ROTATE_90), exif=exif)


def _smooth() -> np.ndarray:
    ramp = np.linspace(0, 255, SIDE).astype(np.uint8)
    return np.stack([np.tile(ramp, (SIDE, 1)), np.tile(ramp[:, None], (1, SIDE)), GREY // 8], 2)


def _rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


PALETTE = Image.fromarray(COLOUR).quantize(256)
OPAQUE = np.dstack([COLOUR, np.full((SIDE, SIDE), 255, np.uint8)])
CLEAR = np.dstack([COLOUR, np.tile(np.arange(SIDE, dtype=np.uint8) * 16, (SIDE, 1))])
KINDS = {
    "colour": (_png(Image.fromarray(COLOUR)), COLOUR, 0),
    "grey": (_png(Image.fromarray(GREY)), _rgb(GREY), 0),
    "grey of 16 bits": (_png(Image.fromarray(GREY.astype(np.uint16) * 257)), _rgb(GREY), 0),
    "colour of 16 bits": (_rgb16(), COLOUR, 1),
    "black and white": (_png(Image.fromarray(GREY > 128)), _rgb((GREY > 128) * np.uint8(255)), 0),
    "palette": (_png(PALETTE), np.asarray(PALETTE.convert("RGB")), 0),
    "palette, partly clear": (
        _png(PALETTE, transparency=bytes(range(256))),
        np.asarray(PALETTE.convert("RGB")),
        0,
    ),
    "alpha": (_png(Image.fromarray(OPAQUE)), COLOUR, 0),
    "alpha, partly clear": (_png(Image.fromarray(CLEAR)), COLOUR, 0),
    "grey and alpha": (_png(Image.fromarray(GREY).convert("LA")), _rgb(GREY), 0),
    "JPEG": (_jpeg(Image.fromarray(_smooth())), _smooth(), 4),
    "grey JPEG": (_jpeg(Image.fromarray(_smooth()[:, :, 0])), _rgb(_smooth()[:, :, 0]), 4),
    "CMYK JPEG": (_jpeg(Image.fromarray(_smooth()).convert("CMYK")), _smooth(), 6),
    "turned by its camera": (_turned(), _smooth(), 4),
}
BROKEN = {
    "empty": (b"", "it is empty, 0 bytes"),
    "text": (b"no image", "no image of a known format"),
    "half a PNG": (KINDS["colour"][0][:400], "cannot be decoded"),
    "half a JPEG": (KINDS["JPEG"][0][: len(KINDS["JPEG"][0]) // 2], "cannot be decoded"),
    "a PNG's beginning": (KINDS["colour"][0][:20], "cannot be decoded"),
    "flipped bytes": (
        KINDS["colour"][0][:60] + bytes(40) + KINDS["colour"][0][100:],
        "cannot be decoded",
    ),
    "floating-point": (None, "floating-point numbers; allowed: 8 or 16 bit"),
    "32 bits": (None, "grey values of 0 to 70000; allowed: 8 or 16 bit"),
}


def _broken(name: str) -> bytes:
    content = BROKEN[name][0]
    if content is not None:
        return content
    stream = io.BytesIO()
    wide = np.array([[0, 70_000]] * 2, dtype=np.int32 if name == "32 bits" else np.float32)
    Image.fromarray(wide).save(stream, format="TIFF")
    return stream.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_of_any_kind_is_read_as_what_it_shows(kind: str):
    content, expected, tolerance = KINDS[kind]
    found = decoded(content, SIDE, named="image").transpose(1, 2, 0).astype(int)
    assert found.shape == (SIDE, SIDE, 3)
    assert np.abs(found - expected).max() <= tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_and_a_row_are_decoded_alike(kind: str, tmp_path: Path):
    # 14 -> 16 is the 8/7 that the centre is cut out of
    content, _, _ = KINDS[kind]
    path = tmp_path / "image"
    path.write_bytes(content)
    whole = decoded(content, SIDE, named="image")
    assert np.array_equal(centre(path, 14), whole[:, 1:15, 1:15])


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_image_is_named_in_one_line(fault: str, tmp_path: Path):
    path = tmp_path / "image.png"
    path.write_bytes(_broken(fault))
    for read in (lambda: centre(path, 8), lambda: decoded(_broken(fault), 8, named=f"{path}:")):
        with pytest.raises(DataError, match=BROKEN[fault][1]) as caught:
            read()
        assert str(caught.value).startswith(f"{path}: cannot be decoded: ")
        assert "\n" not in str(caught.value)
        assert "0x" not in str(caught.value)


def _parquet(folder: Path, images: list[bytes | None], **changes: object) -> Design:
    labels = [index % 2 for index in range(len(images))]
    struct = pl.Struct({"bytes": pl.Binary, "path": pl.String})
    table = pl.DataFrame(
        {"img": [{"bytes": content, "path": None} for content in images], "label": labels},
        schema={"img": struct, "label": pl.Int64},
    )
    # in two files each, so that a row has to be found in its own
    for split in ("train", "test"):
        for part, rows in enumerate((table[:15], table[15:])):
            rows.write_parquet(folder / f"{split}-{part}.parquet")
    dataset = {"kind": "parquet", "path": str(folder), "image_size": SIDE, "classes": 2}
    return small_study({**dataset, "test_size": 20, **changes})


def _all(data: Data) -> np.ndarray:
    return data.pool.pixels.read(np.arange(len(data.pool.labels)))


def test_images_of_many_kinds_may_stand_in_one_table(tmp_path: Path):
    contents = [content for content, _, _ in KINDS.values()]
    images = [contents[index % len(contents)] for index in range(30)]
    found = _all(load(_parquet(tmp_path, images)))
    for index, content in enumerate(images):
        assert np.array_equal(found[index], decoded(content, SIDE, named="image"))


def test_a_broken_image_in_a_table_is_named_by_its_file_and_its_row_there(tmp_path: Path):
    images: list[bytes | None] = [KINDS["colour"][0]] * 30
    images[22] = b""
    with pytest.raises(DataError, match=r"train-1\.parquet: image in row 7 cannot be decoded: it"):
        load(_parquet(tmp_path, images))
    images[22] = None
    with pytest.raises(DataError, match=r"train-1\.parquet: image in row 7 cannot be decoded"):
        load(_parquet(tmp_path, images))


def test_a_label_that_is_no_classs_is_named_with_its_file(tmp_path: Path):
    study = _parquet(tmp_path, [KINDS["colour"][0]] * 30)
    wrong = pl.read_parquet(tmp_path / "test-1.parquet").with_columns(label=pl.lit(-1))
    wrong.write_parquet(tmp_path / "test-1.parquet")
    with pytest.raises(DataError, match=r"test-1\.parquet has labels -1 to -1; allowed: 0 to 1"):
        load(study)
    (tmp_path / "test-1.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"test-1\.parquet: cannot be read"):
        load(study)
