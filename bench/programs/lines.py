#!/usr/bin/env python3
"""Counts the lines of code of the ten programs in ramp and in PyTorch, and puts them into docs/programs.md.

    lines.py            prints the table
    lines.py --write    puts it into the page
    lines.py --check    fails if the page has another one

Not counted, on both sides: blank lines, comments, and what names libraries (#include, using, import). The C++ is laid
out by the clang-format of the tree, the Python by black, both with 100 columns.
"""

import ast
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "programs.md"
BEGIN, END = "<!-- lines.py -->\n", "<!-- end -->\n"
WHAT = {
    "01": "MNIST, dense layers, a validation set",
    "02": "MNIST, convolutions, augmentation, one-cycle rate, checkpoint and resume",
    "03": "a CSV file with gaps and categories: regression, early stopping, RMSE and R2",
    "04": "a folder of photos, a subfolder for each class; what one photo shows",
    "05": "the language of a text: runs of characters, a vocabulary, a bag of embeddings",
    "06": "a recommender: embeddings and biases of users and films",
    "07": "an auto-encoder and a picture of what it makes",
    "08": "transfer: weights from a file, frozen, a new last layer",
    "09": "a rare class: weighted draws, precision, recall, AUC, the best model kept",
    "10": "a layer, a loss and a loop of one's own, two inputs, clipping, averaged weights",
}


def cpp_lines(text):
    return [
        s for s in map(str.strip, text.splitlines()) if s and not re.match(r"//|#include|using ", s)
    ]


def python_lines(text):
    imports = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imports.update(range(node.lineno, node.end_lineno + 1))
    lines = [(i, s.strip()) for i, s in enumerate(text.splitlines(), 1)]
    return [s for i, s in lines if s and not s.startswith("#") and i not in imports]


def table():
    rows = ["| | | ramp | PyTorch |", "|---|---|---|---|"]
    sums = [0, 0]
    for source in sorted(HERE.glob("[0-9][0-9]_*.cc")):
        twin = source.with_suffix(".py")
        counts = [len(cpp_lines(source.read_text())), len(python_lines(twin.read_text()))]
        sums = [a + b for a, b in zip(sums, counts)]
        links = [f"[{n}](../bench/programs/{f.name})" for n, f in zip(counts, (source, twin))]
        rows.append(f"| {source.stem[:2]} | {WHAT[source.stem[:2]]} | {links[0]} | {links[1]} |")
    rows.append(f"| | all | {sums[0]} | {sums[1]} |")
    return "".join(row + "\n" for row in rows)


def main():
    page = PAGE.read_text()
    head, rest = page.split(BEGIN)
    new = head + BEGIN + table() + END + rest.split(END)[1]
    if "--write" in sys.argv:
        PAGE.write_text(new)
    elif "--check" in sys.argv and new != page:
        sys.exit("docs/programs.md is not up to date: bench/programs/lines.py --write")
    else:
        print(table(), end="")


main()
