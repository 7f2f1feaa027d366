"""Pictures that people upload: decoded by Pillow and encoded anew, so that only pixels are kept."""

from dataclasses import dataclass
from io import BytesIO

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from PIL import Image, ImageOps, UnidentifiedImageError

MOST_BYTES = 10 * 1024 * 1024
MOST_PIXELS = 40_000_000
LONGEST_SIDE = 2400
# What is read; SVG is a document with scripts and no picture.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
HEAVY_PNG = 2 * 1024 * 1024
BROKEN = (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Picture:
    """What is stored: `content` is PNG or JPEG made here, at most LONGEST_SIDE pixels wide and high."""

    content: bytes
    content_type: str
    width: int
    height: int


def picture_of(upload: UploadedFile) -> Picture:
    """The uploaded picture, encoded anew without its metadata. Raises ValidationError by what is wrong with it."""
    if (upload.size or 0) > MOST_BYTES:
        raise ValidationError({"image": f"The image is larger than {MOST_BYTES // 1024**2} MB. Send a smaller one."})
    try:
        with Image.open(upload, formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ValidationError({"image": f"The image has more than {MOST_PIXELS // 10**6} million pixels."})
            return _encoded(ImageOps.exif_transpose(opened), opened.format == "JPEG")
    except BROKEN as error:
        raise ValidationError({"image": "This is no image the desk reads: send PNG, JPEG, WebP or GIF."}) from error


def _encoded(image: Image.Image, photo: bool) -> Picture:
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    content = b"" if photo else _saved(image.convert("RGBA"), "PNG")
    if photo or len(content) > HEAVY_PNG:
        return Picture(_saved(_flat(image), "JPEG"), "image/jpeg", image.width, image.height)
    return Picture(content, "image/png", image.width, image.height)


def _flat(image: Image.Image) -> Image.Image:
    """Without transparency, which JPEG does not know: on white."""
    ground = Image.new("RGB", image.size, "white")
    clear = image.convert("RGBA")
    ground.paste(clear, mask=clear.getchannel("A"))
    return ground


def _saved(image: Image.Image, kind: str) -> bytes:
    out = BytesIO()
    image.save(out, kind, optimize=True)
    return out.getvalue()
