"""The text of a PDF file: `python -m arena.pdf_text PAGES CHARACTERS < FILE`.

Runs in a process of its own, since the file may be hostile. Ends with 2 when there are more than PAGES pages, with 1
when the file cannot be read; writes at most CHARACTERS.
"""

import io
import logging
import sys

MEMORY = 1024**3  # bytes


def main() -> None:
    most_pages, most_characters = int(sys.argv[1]), int(sys.argv[2])
    _limit_memory()
    from pypdf import PdfReader  # here: within the limit

    logging.disable(logging.CRITICAL)
    pages = PdfReader(io.BytesIO(sys.stdin.buffer.read())).pages
    if len(pages) > most_pages:
        raise SystemExit(2)
    left = most_characters
    for page in pages:
        text = page.extract_text()[:left]
        sys.stdout.buffer.write((text + "\n\n").encode("utf-8", "replace"))
        left -= len(text)
        if left <= 0:
            break


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    main()
