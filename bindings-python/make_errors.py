"""Writes the classes of `python/wharfie/errors.py`, one for each code, from core's list.

Run it when `core/src/error.rs` has got a new kind: `python make_errors.py`. A test says when that was forgotten.
"""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
BEGIN = "# --- made by make_errors.py from core/src/error.rs ---\n"

# What Python has a word for already.
ALSO = {
    "not_found": "FileNotFoundError",
    "path_not_found": "FileNotFoundError",
    "already_exists": "FileExistsError",
    "permission_denied": "PermissionError",
    "timed_out": "TimeoutError",
    "connection_failed": "ConnectionError",
    "local_io": "OSError",
    "no_space": "OSError",
    "invalid_reference": "ValueError",
    "invalid_digest": "ValueError",
    "invalid_url": "ValueError",
    "invalid_platform": "ValueError",
    "invalid_option": "ValueError",
    "invalid_pattern": "ValueError",
    "invalid_id_map": "ValueError",
}
TYPES = {"u64": "int", "u16": "int", "u32": "int", "Duration": "float", "bool": "bool"}


def class_name(code: str) -> str:
    name = "".join(word.capitalize() for word in code.split("_"))
    return name if name.endswith("Error") else name + "Error"


def classes(source: str) -> str:
    body = source[source.index("error_kinds! {\n    ///") :]
    kinds = re.findall(
        r"((?:    /// [^\n]*\n)+)    #\[error\([^\n]*\n    \w+ = \"(\w+)\" \{(.*?)\n? *\}",
        body,
        re.DOTALL,
    )
    made = []
    for doc, code, fields in kinds:
        said = " ".join(line.strip()[4:] for line in doc.strip().splitlines())
        said = re.sub(r"\[`(.*?)`\]", r"`\1`", said)
        bases = ", ".join(["WharfieError", *([ALSO[code]] if code in ALSO else [])])
        lines = [f"class {class_name(code)}({bases}):", f'    """{said}"""', "", f'    code = "{code}"']
        for field_doc, name, kind in re.findall(r"((?:        /// [^\n]*\n)+)        (\w+): ([^\n]*?),?\n", fields + "\n"):
            note = " ".join(line.strip()[4:] for line in field_doc.strip().splitlines())
            optional = kind.startswith("Option<")
            inner = kind.removeprefix("Option<").rstrip(">") if optional else kind
            typed = TYPES.get(inner, "str") + (" | None" if optional else "")
            if inner == "Duration":
                note += " In seconds."
            lines += ["", "    @property", f"    def {name}(self) -> {typed}:", f'        """{note}"""']
            if inner == "bool":
                lines += [f'        return bool(self.facts["{name}"] == "true")']
                continue
            got = f'self.facts.get("{name}")' if optional else f'self.facts["{name}"]'
            lines += [f"        found: {typed} = {got}", "        return found"]
        made.append("\n".join(lines) + "\n")
    return "\n\n".join(made)


def exported(source: str) -> str:
    codes = re.findall(r'^    \w+ = "(\w+)" \{', source, re.MULTILINE)
    names = sorted(["WharfieError", *map(class_name, codes)])
    return "__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]\n"


def main() -> None:
    target = HERE / "python" / "wharfie" / "errors.py"
    head = target.read_text().split(BEGIN)[0]
    source = (HERE.parent / "core" / "src" / "error.rs").read_text()
    target.write_text(head + BEGIN + "\n\n" + classes(source) + "\n\n" + exported(source) + "\n_collect()\n")


if __name__ == "__main__":
    main()
