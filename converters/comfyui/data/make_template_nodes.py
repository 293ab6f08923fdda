"""Write ``template_nodes.json``: the widget orders that a folder of UI workflows shows for each node type.

Files saved by front end 1.49 and later name their widget values; older ones name at least the linked widgets.

    python make_template_nodes.py FOLDER > template_nodes.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

CONTROL_WORDS = {"fixed", "increment", "decrement", "randomize", "increment-wrap"}
CONTROL = "@control"


def main(folder: Path) -> None:
    """Print the table for the workflows in a folder."""
    nodes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        if not isinstance(document, dict) or "nodes" not in document:
            continue
        subgraphs = (document.get("definitions") or {}).get("subgraphs") or []
        ids = {subgraph["id"] for subgraph in subgraphs}
        for graph in (document, *subgraphs):
            for node in graph["nodes"]:
                if node["type"] not in ids:
                    nodes[node["type"]].append(node)
    lines = []
    for type, found in sorted(nodes.items()):
        orders = named_orders(found) or linked_order(found)
        if orders:
            lines.append(f"{json.dumps(type)}: {json.dumps(orders, separators=(',', ':'), ensure_ascii=False)}")
    print("{\n" + ",\n".join(lines) + "\n}")


def named_orders(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each distinct order of widget names, with the choices of the combo boxes it depends on."""
    orders: dict[tuple[str, ...], dict[str, list[Any]]] = {}
    for node in nodes:
        named = node.get("widgets_values_named")
        if not named or node["type"] == "PrimitiveNode":
            continue
        names = tuple(
            CONTROL if is_control(key, value) else key
            for key, value in named.items()
            if "#" not in key or is_control(key, value)
        )
        parents = {name.split(".")[0] for name in names if "." in name}
        parents |= {parent for order in orders for parent in orders[order]}
        when = orders.setdefault(names, {})
        for parent in parents & set(named):
            if isinstance(named[parent], str) and named[parent] not in when.setdefault(parent, []):
                when[parent].append(named[parent])
    return [{"names": list(names), **({"when": when} if when else {})} for names, when in orders.items()]


def is_control(name: str, value: Any) -> bool:
    """Say whether a named value is the setting beside a seed."""
    return name.startswith("control_after_generate") or (name in CONTROL_WORDS and is_control_word(value))


def is_control_word(value: Any) -> bool:
    """Say whether a value is one that such a setting has."""
    return isinstance(value, str) and value in CONTROL_WORDS


def linked_order(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the order of the linked widgets if they are all the widgets there are."""
    names = [name for name, _ in merged([[(s["name"], "") for s in n["inputs"] if "widget" in s] for n in nodes])]
    for node in nodes:
        values = node.get("widgets_values")
        if names and isinstance(values, list) and sum(not is_control_word(value) for value in values) == len(names):
            return [{"names": names}]
    return []


def merged(orders: list[list[tuple[str, Any]]]) -> list[tuple[str, Any]]:
    """Merge orders of names into one that keeps each, as far as they agree."""
    result: list[tuple[str, Any]] = []
    for order in orders:
        at = 0
        for item in order:
            known = [position for position, other in enumerate(result) if other[0] == item[0]]
            if known:
                at = max(at, known[0] + 1)
            else:
                result.insert(at, item)
                at += 1
    return result


if __name__ == "__main__":
    main(Path(sys.argv[1]))
