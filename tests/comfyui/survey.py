"""Flatten every official template that is not tied to a paid API, and print what comes of it.

    python -m tests.comfyui.survey [--all] [--problems]

Exit code 1 if any file does not flatten.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from graphflow.converters.comfyui import to_prompt
from graphflow.errors import GraphflowError

from .fuzz import template, templates


def main(arguments: list[str] | None = None) -> int:
    """Print counts of files, nodes, notes and problems."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="with the templates tied to paid APIs")
    parser.add_argument("--problems", action="store_true", help="print every problem")
    options = parser.parse_args(arguments)
    names = templates(paid=options.all)
    count: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    start = time.perf_counter()
    for name in names:
        try:
            result = to_prompt(template(name))
        except GraphflowError as error:
            count["failed"] += 1
            print(f"{name}: {error}")
            continue
        count["nodes"] += len(result.prompt)
        count["nodes that run"] += len(result.live)
        notes.update(note.code for note in result.notes)
        problems.update(problem.code for problem in result.problems)
        live = [problem for problem in result.problems if problem.node in result.live]
        count["files without a problem"] += not result.problems
        count["files without a problem where it matters"] += not live
        count["files with a switch"] += any(node["class_type"] == "ComfySwitchNode" for node in result.prompt.values())
        if options.problems:
            for problem in result.problems:
                print(f"{name}: {problem}")
    print(f"{len(names)} files in {time.perf_counter() - start:.1f} s")
    for label in count:
        print(f"  {label:<42}{count[label]:>7,}")
    for title, counter in (("notes", notes), ("problems", problems)):
        print(f"{title}: " + (", ".join(f"{code} {number}" for code, number in counter.most_common()) or "none"))
    return 1 if count["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
