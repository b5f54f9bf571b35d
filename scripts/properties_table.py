#!/usr/bin/env python3
"""The generated parts of docs/element.md: pads, properties and the values of enumerations.

    scripts/properties_table.py --check | --write [--page FILE]

Reads what `gst-inspect-1.0 facesr` says of the plugin in FACESR_PLUGIN_DIR (target/release/plugin where it is not
set), so that a property is described once, in the source. `--check` exits with 1 and one line where the page says
something else.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/element.md"
PLUGIN = Path(os.environ.get("FACESR_PLUGIN_DIR") or ROOT / "target/release/plugin")

# Every element has these.
EVERYBODYS = {"name", "parent"}
# What gst-inspect calls a type, and what applications do.
TYPES = {
    "Boolean": "boolean",
    "Double": "double",
    "Integer": "int",
    "Unsigned Integer": "uint",
    "Unsigned Integer64": "uint64",
    "String": "string",
}
# What gst-inspect prints of the flags of a property, and what the page says; the first that fits.
MAY_CHANGE = [
    ("changeable only in NULL or READY state", "in NULL and READY"),
    ("controllable", "at any time, by a controller too"),
    ("writable", "at any time"),
    ("readable", "read only"),
]
# The column in which gst-inspect goes on with a property.
INDENT = " " * 24


class Trouble(Exception):
    """One line for the user."""


def inspect(plugin: Path = PLUGIN) -> str:
    """What gst-inspect-1.0 says of the element."""
    environment = {**os.environ, "GST_PLUGIN_PATH": str(plugin), "LC_ALL": "C.UTF-8"}
    try:
        run = subprocess.run(
            ["gst-inspect-1.0", "--no-colors", "facesr"], env=environment, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise Trouble("there is no gst-inspect-1.0: run `make system`") from None
    if run.returncode:
        raise Trouble(f"gst-inspect-1.0 finds no facesr in {plugin}: run `make build`, or set FACESR_PLUGIN_DIR")
    return run.stdout


def properties(text: str) -> list:
    """The element's own properties and `qos`, as dictionaries; `values` are those of an enumeration."""
    found = []
    for line in text.split("Element Properties:\n")[1].splitlines():
        if start := re.match(r"  ([a-z][a-z0-9-]*) *: (.*)", line):
            found.append({"name": start[1], "blurb": start[2], "values": []})
        elif found[-1]["name"] in EVERYBODYS:
            continue
        elif line.startswith(INDENT + "flags: "):
            found[-1]["flags"] = line.removeprefix(INDENT + "flags: ")
        elif "flags" in found[-1] and "type" not in found[-1]:
            found[-1].update(value(line.strip()))
        elif entry := re.match(r" +\(-?\d+\): (\S+) +- (.*)", line):
            found[-1]["values"].append((entry[1], entry[2]))
    return [prop for prop in found if prop["name"] not in EVERYBODYS]


def value(line: str) -> dict:
    """Type, range and default out of the line that names them."""
    line = re.sub(r"\s+", " ", line)
    if boxed := re.match(r'Boxed pointer of type "(\w+)"', line):
        return {"type": boxed[1], "range": "", "default": ""}
    if enum := re.match(r'Enum "(\w+)" Default: -?\d+, "([^"]*)"', line):
        return {"type": enum[1], "range": "", "default": enum[2]}
    number = re.match(r"([\w ]+)\. (?:Range: (\S+) - (\S+) )?Default: (.*)", line)
    if not number or number[1] not in TYPES:
        raise Trouble(f"cannot read what gst-inspect-1.0 says: {line}")
    default = {"null": "unset", '""': ""}.get(number[4], number[4].strip('"'))
    return {
        "type": TYPES[number[1]],
        "range": f"{number[2]} to {number[3]}" if number[2] else "",
        "default": default,
    }


def code(text: str) -> str:
    """A value as code; a word of this page, or nothing, as it is."""
    return f"`{text}`" if text not in ("", "unset") else text


def table(head: list, rows: list) -> str:
    """Rows of text as Markdown has them."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in [head, *rows]]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def properties_part(text: str) -> str:
    """The table of the properties, then one for each enumeration."""
    rows, enums = [], {}
    for prop in properties(text):
        change = next(said for flag, said in MAY_CHANGE if flag in prop["flags"])
        # What is only read has the value that it had in gst-inspect, which says nothing.
        only_read = change == "read only"
        span, default = ("", "") if only_read else (prop["range"], prop["default"])
        if prop["values"]:
            enums[prop["type"]] = prop
        kind = f"[{prop['type']}](#{prop['type'].lower()})" if prop["values"] else prop["type"]
        rows.append([code(prop["name"]), kind, span, code(default), change, prop["blurb"]])
    parts = [table(["property", "type", "range", "default", "may change", "what it is"], rows)]
    for name, prop in enums.items():
        values = [[code(nick), said] for nick, said in prop["values"]]
        parts.append(f"### {name}\n\n" + table([f"`{prop['name']}`", "what it is"], values))
    return "\n\n".join(parts)


def pads_part(text: str) -> str:
    """Pad templates; both have the same caps, which is checked."""
    templates = re.findall(r"(SINK|SRC) template: '(\w+)'\n +Availability: (\w+)\n +Capabilities:\n((?: {6,}\S.*\n)+)", text)
    if len(templates) != 2 or templates[0][3] != templates[1][3]:
        raise Trouble("the pad templates of facesr are not two of the same caps: look at pads_part")
    caps = templates[0][3]
    formats = re.findall(r"\(string\)(\w+)", re.search(r"format: \{(.*)\}", caps)[1])
    media = caps.split("\n")[0].strip()
    span = {side: re.search(rf"{side}: \[ (\S+), (\S+) \]", caps).groups() for side in ("width", "height", "framerate")}
    rows = [[code(name), kind.lower(), availability.lower()] for kind, name, availability, _ in templates]
    sizes = ", ".join(f"`{side}` {least} to {most}" for side, (least, most) in span.items())
    listed = ", ".join(map(code, formats))
    return (
        table(["pad", "direction", "availability"], rows)
        + f"\n\nBoth take `{media}`: {sizes}, and these formats, of which the one that comes in goes out:\n\n{listed}."
    )


PARTS = {"pads": pads_part, "properties": properties_part}


def renewed(page: str, text: str) -> str:
    """The page with its generated parts as they should be."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name}: written by scripts/properties_table.py -->", f"<!-- end of {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise Trouble(f"the page lacks the marks of {name}: {begin} and {end}")
        before, rest = page.split(begin)
        after = rest.split(end)[1]
        page = f"{before}{begin}\n\n{make(text)}\n\n{end}{after}"
    return page


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=PAGE)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true")
    what.add_argument("--write", action="store_true")
    given = parser.parse_args()
    try:
        page = given.page.read_text()
        wanted = renewed(page, inspect())
    except (Trouble, OSError) as error:
        print(f"properties_table: {error}", file=sys.stderr)
        return 1
    if given.write:
        given.page.write_text(wanted)
    elif wanted != page:
        print(f"{given.page.name} is stale: run scripts/properties_table.py --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
