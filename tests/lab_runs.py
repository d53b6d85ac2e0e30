"""Each experiment is run once in a process, in its quick form."""

import copy
import functools
import html

import fastnet as fn


@functools.cache
def _numbers(name):
    return fn.lab.run(name, quick=True)


def numbers(name):
    """What the experiment measured, to change at will."""
    return copy.deepcopy(_numbers(name))


@functools.cache
def page_html(name):
    """Its page, with all figures."""
    return fn.lab.page(name, _numbers(name)).html()


def text_of(page):
    """The page's paragraphs as one text."""
    return html.unescape(" ".join(part for part in page._parts if part.startswith("<p")))
