"""The page on paper. The only door to WeasyPrint, imported when it is used."""

from __future__ import annotations

from ..errors import NodeError

PACKAGES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"


class PdfError(NodeError):
    """No PDF can be made here; the message says what is missing."""


def print_page(page: str) -> bytes:
    """The page as PDF; raises PdfError where WeasyPrint or a library that it needs is missing."""
    try:
        from weasyprint import HTML
        from weasyprint.urls import FatalURLFetchingError, URLFetcher
    except ImportError as exc:
        raise PdfError("a PDF wants WeasyPrint: pip install 'tocsin[report]'") from exc
    except OSError as exc:
        # It loads them by name when it is imported, and its own message goes on for a page.
        missing = str(exc).partition(":")[0][:80]
        raise PdfError(
            f"a PDF wants libraries that are missing here ({missing}): on Debian install {PACKAGES}"
        ) from exc
    fetcher = URLFetcher(allowed_protocols=(), fail_on_errors=True)
    try:
        document: bytes = HTML(string=page, url_fetcher=fetcher).write_pdf()
    except FatalURLFetchingError as exc:
        raise PdfError(f"the page asks for something, and nothing is ever fetched for it: {exc}") from exc
    return document
