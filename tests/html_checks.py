"""What every page must be: well-formed, whole, and usable with a screen reader."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "link", "br", "hr"}


class Reader(HTMLParser):
    """Collects a page's headings, images and links, and what is wrong with its nesting."""

    def __init__(self):
        super().__init__()
        self.open, self.faults = [], []
        self.headings, self.images, self.links, self.ids = [], [], [], []
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "img":
            self.images.append(attributes)
        if tag == "a":
            self.links.append(attributes["href"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes another element")

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def check_page(text):
    """Assert what holds for every page; returns the reader."""
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.faults == [] and reader.open == []
    assert text.startswith("<!DOCTYPE html>\n")
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("h1") == tags.count("main") == tags.count("title") == 1
    assert reader.headings[0] == 1
    assert all(b - a <= 1 for a, b in zip(reader.headings, reader.headings[1:], strict=False))
    by_tag = dict(reader.tags)
    assert by_tag["html"]["lang"] == "en"
    assert any(a.get("name") == "viewport" for tag, a in reader.tags if tag == "meta")
    for image in reader.images:
        assert image["alt"].strip() and int(image["width"]) > 0 and int(image["height"]) > 0
        assert image["src"].startswith(("data:image/svg+xml;base64,", "data:image/png;base64,"))
    assert not any(tag in ("script", "link", "iframe", "object") for tag in tags)
    assert "http:" not in text and "https:" not in text and "url(" not in text
    assert len(set(reader.ids)) == len(reader.ids)
    assert all(link[1:] in reader.ids for link in reader.links if link.startswith("#"))
    assert tags.count("figure") == tags.count("figcaption")
    assert tags.count("table") == tags.count("caption")
    assert all(a.get("scope") in ("col", "row") for tag, a in reader.tags if tag == "th")
    return reader
