"""README.md from nbs/index.ipynb, without Quarto.

Markdown cells stand as they are, with links made relative to the project root; a code cell becomes
a fenced block, followed by what it printed. Cells with `#| hide` are left out.
"""

import json
import posixpath
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\()([^)\s#]+)")
OUTSIDE = re.compile(r"[a-z]+:|/", re.IGNORECASE)


def rebase(text, folder="nbs"):
    "Links that are relative to `folder`, made relative to the project root"

    def new(match):
        target = match[2]
        return (
            match[0]
            if OUTSIDE.match(target)
            else match[1] + posixpath.normpath(posixpath.join(folder, target))
        )

    return LINK.sub(new, text)


def printed(cell):
    "The text that a code cell left: Markdown as it is, the rest as a text block"
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "text/markdown" in data:
            yield rebase("".join(data["text/markdown"]))
        elif text := "".join(output.get("text", data.get("text/plain", []))):
            yield f"```text\n{text.rstrip()}\n```"


def blocks(notebook):
    "The README's blocks, in order"
    for cell in notebook["cells"]:
        lines = "".join(cell["source"]).strip().splitlines()
        directives = [line for line in lines if line.startswith("#|")]
        if not lines or any(re.match(r"#\|\s*hide\s*$", d) for d in directives):
            continue
        body = "\n".join(line for line in lines if line not in directives).strip()
        if cell["cell_type"] == "markdown":
            yield rebase(body)
        elif cell["cell_type"] == "code":
            if not any(re.match(r"#\|\s*echo:\s*false", d) for d in directives):
                yield f"```python\n{body}\n```"
            yield from printed(cell)


def render(path=ROOT / "nbs" / "index.ipynb"):
    "The text of README.md"
    return "\n\n".join(blocks(json.loads(Path(path).read_text(encoding="utf-8")))) + "\n"


if __name__ == "__main__":
    (ROOT / "README.md").write_text(render(), encoding="utf-8")
    print("README.md written from nbs/index.ipynb")
    sys.exit(0)
