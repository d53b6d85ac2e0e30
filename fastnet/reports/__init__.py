"""Self-contained HTML pages, and the figures on them (matplotlib, the extra ``plot``)."""

from fastnet.reports.markup import Markup, prose
from fastnet.reports.page import Page

__all__ = ["Markup", "Page", "prose"]
