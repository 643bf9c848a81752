"""HTML and SVG elements. Texts are escaped by the standard library, and hold nothing that is not printed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNSEEN = "\N{REPLACEMENT CHARACTER}"


def element(name: str, text: str = "", attributes: Mapping[str, object] | None = None) -> Element:
    """Return an element with a text and attributes."""
    made = Element(name, {key: _attribute(value) for key, value in (attributes or {}).items()})
    made.text = printed(text) or None
    return made


def add(parent: Element, name: str, text: str = "", attributes: Mapping[str, object] | None = None) -> Element:
    """Add an element to another one, and return it."""
    made = SubElement(parent, name)
    made.attrib.update({key: _attribute(value) for key, value in (attributes or {}).items()})
    made.text = printed(text) or None
    return made


def printed(text: str) -> str:
    """Return a text with a mark in place of what a browser does not print: controls, and what turns the direction."""
    return text if text.isprintable() else "".join(one if one.isprintable() else _UNSEEN for one in text)


def document(root: Element) -> str:
    """Return a whole HTML document."""
    return f"<!DOCTYPE html>\n{tostring(root, encoding='unicode', method='html')}\n"


def _attribute(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else printed(str(value))
