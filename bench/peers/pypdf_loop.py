"""pypdf in a loop, as its documentation shows it: read each page's token, write the pages of each to a file of their own."""

import io
import json
import re
import sys
import time

import pypdf


def main() -> None:
    """Cut the PDF; say into how many, in what time."""
    begun, cpu = time.perf_counter(), time.process_time()
    reader = pypdf.PdfReader(sys.argv[1])
    parts: dict[str, list[int]] = {}
    token = ""
    for number, page in enumerate(reader.pages):
        if found := re.search(r"\{([^{}]+)\}", page.extract_text()):
            token = found[1]
        parts.setdefault(token, []).append(number)
    octets = 0
    for pages in parts.values():
        writer = pypdf.PdfWriter()
        for number in pages:
            writer.add_page(reader.pages[number])
        out = io.BytesIO()
        writer.write(out)
        octets += len(out.getvalue())
    seconds = time.perf_counter() - begun
    print(json.dumps({"made": len(parts), "seconds": seconds, "cpu": time.process_time() - cpu, "octets": octets}))


main()
