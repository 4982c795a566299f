# SPDX-License-Identifier: Apache-2.0
"""How the modules call the command vifplug, and what they return of its answer."""

from __future__ import annotations

import json
from typing import Any

OPTIONS = {
    "executable": {"type": "path", "default": "vifplug"},
    "config_file": {"type": "path"},
    "timeout": {"type": "float"},
}


def rows(
    module: Any, command: str, *words: str, data: Any = None, strict: bool = True
) -> list[dict[str, Any]]:
    """Run a command; return its exit status and the objects that it prints.

    ``strict`` fails the module where a VIF failed, with the errors of all.
    """
    call = [module.get_bin_path(module.params["executable"], required=True)]
    if module.params["config_file"]:
        call += ["--config-file", module.params["config_file"]]
    call += [command, *words, "-f", "json"]
    if module.params["timeout"] and command != "plugins":
        call += ["--timeout", str(module.params["timeout"])]
    text = None if data is None else json.dumps(data)
    status, output, complaint = module.run_command(call, data=text)
    try:
        found = json.loads(output)
    except ValueError:
        module.fail_json(msg=complaint.strip() or output.strip(), rc=status)
    if strict:
        for text in dict.fromkeys(text for row in found for text in row.get("warnings", ())):
            module.warn(text)
        errors = [row["error"] for row in found if row.get("error")]
        if status or errors:
            module.fail_json(
                msg="; ".join(errors) or complaint.strip(),
                rc=status,
                changed=is_changed(found),
                vifs=found,
                diff=difference(found),
            )
    return found


def is_changed(found: list[dict[str, Any]]) -> bool:
    """Return whether any VIF was changed, or would be."""
    return any(row.get("changed") for row in found)


def difference(found: list[dict[str, Any]]) -> dict[str, str]:
    """Return the steps of all VIFs that change, as Ansible shows differences."""
    lines = []
    for row in found:
        if row.get("changed"):
            words = [row.get("name"), row["id"], row["vif_type"]]
            lines.append("  ".join(word for word in words if word))
            steps = [step for step in row.get("steps", ()) if step["action"] != "keep"]
            lines += [_line(step) for step in steps]
            # The plan of an unplug has no steps.
            lines += [f"  remove  {name}" for name in row["removed"] if not steps]
    return {"prepared": "".join(line + "\n" for line in lines)}


def _line(step: dict[str, str]) -> str:
    words = [step["action"], step["part"], step["name"], step["detail"]]
    return "  " + "  ".join(word for word in words if word)
