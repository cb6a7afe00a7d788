"""The IPTC digital source type in XMP: a picture's own metadata say that a trained model made it.

Source: IPTC Photo Metadata Standard 2023.1, "Digital Source Type". Called where pictures are encoded and inspected.
"""

from __future__ import annotations

import re
from typing import Final

from PIL import Image

SOURCE_TYPE: Final = "trainedAlgorithmicMedia"
SOURCE_TYPE_URI: Final = f"http://cv.iptc.org/newscodes/digitalsourcetype/{SOURCE_TYPE}"
XMP: Final = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE_URI}"/>'
    "</rdf:RDF></x:xmpmeta>"
)
_DECLARED: Final = re.compile(r"DigitalSourceType(?:\s*=\s*[\"']|\s*>\s*)[^\"'<]*?digitalsourcetype/(\w{1,64})")


def declared_source_type(picture: Image.Image) -> str | None:
    """The digital source type that the picture's XMP names, such as ``trainedAlgorithmicMedia``."""
    xmp = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
    text = xmp.decode(errors="replace") if isinstance(xmp, bytes) else str(xmp)
    found = _DECLARED.search(text)
    return found[1] if found else None
