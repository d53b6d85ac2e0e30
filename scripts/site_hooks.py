"""What mkdocs does to pages before it renders them (named in mkdocs.yml)."""


def on_page_markdown(markdown, **_):
    """Outputs whose numbers are rounded are marked for the tests; the site shows them as any other."""
    return markdown.replace("```text approximate\n", "```text\n")
