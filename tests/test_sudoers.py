# SPDX-License-Identifier: Apache-2.0
"""The sudoers lines of docs/security.md with real sudo: a user who tries to get more is refused."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import vif
from tests.users import HELPER, VIFPLUG, User, user_of
from vifplug.testing import NetworkNamespace

SOCKET = "/tmp/vifplug-privsep-ab12_xyz/privsep.sock"
CONTEXT = "vifplug_bridge.privileged.context"


@pytest.fixture(params=("sudo", "wrapper"))
def user(request: pytest.FixtureRequest, namespace: NetworkNamespace, tmp_path: Path) -> User:
    return user_of("vifplug_bridge", request.param, namespace, tmp_path, vif())


def evil(user: User) -> Path:
    """Make a folder of the user's: configurations whose log is code that writes ``became``."""
    mine = user.folder / "mine"
    mine.mkdir(mode=0o777)
    mine.chmod(0o777)
    code = f"__import__('os').system('id -u >{mine}/became') and None"
    (mine / "log.ini").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=\n[logger_root]\n"
        f"level=DEBUG\nhandlers=h\n[handler_h]\nclass=StreamHandler\nargs=({code},)\n"
    )
    for name in (".privsep/privsep.conf.d/evil.conf", "evil.conf", "config/privsep.conf"):
        file = mine / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"[DEFAULT]\nlog_config_append = {mine}/log.ini\n")
    return mine


def helper(user: User) -> list[str]:
    """Return the user's helper_command."""
    lines = (user.folder / "conf").read_text().splitlines()
    (command,) = (line.partition(" = ")[2] for line in lines if line.startswith("helper_command"))
    return shlex.split(command)


def attacks(user: User) -> dict[str, list[str]]:
    """Return commands of which sudo, or root's program, must refuse each."""
    start, mine = helper(user), user.folder / "mine"
    context, socket = ["--privsep_context", CONTEXT], ["--privsep_sock_path", SOCKET]
    evil, log = ["--config-file", f"{mine}/evil.conf"], ["--log-config-append", f"{mine}/log.ini"]
    bare = start[:3]
    return {
        "a further file": [*start, *context, *evil, *socket],
        "a further file at the end": [*start, *context, *socket, *evil],
        "a further file at the start": [*bare, *evil, *start[3:], *context, *socket],
        "another file": [*bare, *evil, *context, *socket],
        "a folder": [*start, *context, "--config-dir", str(mine), *socket],
        "a log file": [*start, *context, *log, *socket],
        "in one word": [*start, *context, socket[0], f"/tmp/x {' '.join(evil)} {' '.join(socket)}"],
        "with a newline": [*start, *context, socket[0], f"/tmp/x\n{SOCKET}"],
        "a newline at the end": [*start, *context, socket[0], f"{SOCKET}\n"],
        "with spaces in front": [*start, "--privsep_context ", CONTEXT, *socket],
        "the other way round": [*start, *socket, *context],
        "with equals signs": [*start, "=".join(context), "=".join(socket)],
        "further options behind a star": [*start, *context, socket[0], "/tmp/x", *evil, socket[0],
                              f"{mine}/privsep.sock"],
        "another context": [*start, context[0], "os_brick.privileged.default", *socket],
        "another module": [*start, context[0], "antigravity.x", *socket],
        "another socket": [*start, *context, socket[0], f"{mine}/privsep.sock"],
        "a socket above": [*start, *context, socket[0], "/tmp/vifplug-privsep-a/../privsep.sock"],
        "no socket": [*start, *context],
        "nothing": start,
        "another program": ["sudo", "-n", "id"],
        "variables": ["sudo", "-n", f"OS_DEFAULT__LOG_CONFIG_APPEND={mine}/log.ini",
                      *start[2:], *context, *socket],
        "the environment": ["sudo", "-n", "-E", *start[2:], *context, *socket],
        "the helper itself": ["sudo", "-n", str(HELPER), *context, *evil, *socket],
    }  # fmt: skip


def test_a_user_who_tries_to_get_more_is_refused(user: User) -> None:
    mine = evil(user)
    tried = {name: shlex.join(command) for name, command in attacks(user).items()}
    script = "; ".join(
        f"{command} >/dev/null 2>{mine}/said && echo ran; echo {shlex.quote(name)}: $?;"
        f"tail -n 1 {mine}/said"
        for name, command in tried.items()
    )
    said = user.run("env", f"HOME={mine}", f"PYTHONPATH={mine}", "sh", "-c", script).stdout
    refused = ("password is required", "not allowed", "usage:")
    lines = [line for line in said.splitlines() if line]
    assert "ran" not in lines
    answers = {name: line for line, name in zip(lines[1::2], lines[::2], strict=True)}
    assert len(answers) == len(tried)
    for name, answer in answers.items():
        assert any(word in answer for word in refused), f"{name}: {answer}"
    assert not (mine / "became").exists()


KEPT = 'Defaults env_keep += "HOME OS_* XDG_* PYTHON* TMPDIR SNAP*"\n'


def plugging(user: User, mine: Path) -> User:
    """Return the command line of a plug in an environment that would give the user code."""
    variables = {
        "HOME": mine,
        "OS_DEFAULT__LOG_CONFIG_APPEND": mine / "log.ini",
        "XDG_CONFIG_HOME": mine / "config",
        "XDG_CONFIG_DIRS": mine / "config",
        "SNAP": mine,
        "SNAP_COMMON": mine,
        "PYTHONPATH": mine,
        "TMPDIR": mine,
    }
    words = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in variables.items())
    return dataclasses.replace(user, how=f"{user.how} env {words}")


def test_an_environment_that_sudo_elsewhere_keeps_gives_no_code(user: User) -> None:
    mine = evil(user)
    (mine / "sitecustomize.py").write_text(
        f"import os\nif os.getuid() == 0: open('{mine}/became', 'w')\n"
    )
    user = plugging(dataclasses.replace(user, sudoers=KEPT + user.sudoers + KEPT), mine)
    assert "changed" in user.vifplug("plug", str(user.folder / "vif.json"))
    assert not (mine / "became").exists()


def test_without_the_line_defaults_such_an_environment_is_root(
    namespace: NetworkNamespace, tmp_path: Path
) -> None:
    user = user_of("vifplug_bridge", "sudo", namespace, tmp_path, vif())
    mine = evil(user)
    bare = "".join(line for line in user.sudoers.splitlines(True) if "Defaults" not in line)
    user = plugging(dataclasses.replace(user, sudoers=KEPT + bare), mine)
    user.run(str(VIFPLUG), "--config-file", str(user.folder / "conf"), "plug",
             str(user.folder / "vif.json"), check=False)  # fmt: skip
    assert (mine / "became").read_text() == "0\n", "so the tests above can fail"
