# SPDX-License-Identifier: Apache-2.0
"""A database that listens on tcp and on ssl: plug and unplug through each, and ssl's refusals."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.ovs.vifs import ovs_vif
from vifplug import GenericVIFDriver, OVSDBError
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug_ovs import privileged
from vifplug_ovs.plugin import OvsPlugin


@dataclass(frozen=True)
class Keys:
    """A private key and its self-signed certificate."""

    key: Path
    certificate: Path


def made(folder: Path, name: str) -> Keys:
    keys = Keys(folder / f"{name}.key", folder / f"{name}.pem")
    subprocess.run(
        ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", keys.key,
         "-out", keys.certificate),
        check=True, capture_output=True,
    )  # fmt: skip
    return keys


@pytest.fixture(params=["tcp:127.0.0.1:6640", "tcp:[::1]:6640", "ssl:127.0.0.1:6640"])
def remote(
    request: pytest.FixtureRequest, br_int: OpenVSwitch, conf: Config, tmp_path: Path
) -> Iterator[str]:
    """The endpoint on which the database listens besides its socket."""
    kind, _, rest = request.param.partition(":")
    host, _, port = rest.rpartition(":")
    if kind == "ssl":
        ours, theirs = made(tmp_path, "vifplug"), made(tmp_path, "ovsdb")
        br_int.vsctl("--no-wait", "set-ssl", str(theirs.key), str(theirs.certificate),
                     str(ours.certificate))  # fmt: skip
        conf.config(group="vifplug_ovs", ssl_key_file=str(ours.key),
                    ssl_cert_file=str(ours.certificate),
                    ssl_ca_cert_file=str(theirs.certificate))  # fmt: skip
    br_int.vsctl("--no-wait", "set-manager", f"p{kind}:{port}:{host}")
    conf.config(group="vifplug_ovs", ovsdb_connection=request.param, process="manual")
    fork(OvsPlugin)
    yield request.param
    privileged.context.stop()


def test_a_vif_is_plugged_and_unplugged(
    remote: str, namespace: NetworkNamespace, br_int: OpenVSwitch
) -> None:
    before = namespace.everything(), br_int.everything()
    driver = GenericVIFDriver()
    assert driver.plug(None, ovs_vif()).changed
    (port,) = (row for row in br_int.rows("Interface") if row["name"].startswith("tap"))
    assert port["ofport"] > 0
    assert not driver.check(None, ovs_vif())
    assert driver.unplug(None, ovs_vif()).changed
    now = namespace.everything(), br_int.everything()
    assert differences(before[0], now[0]) + differences(before[1], now[1]) == []


@pytest.mark.parametrize("remote", ["ssl:127.0.0.1:6640"], indirect=True)
@pytest.mark.parametrize("wrong", ["ssl_ca_cert_file", "ssl_cert_file"])
def test_a_certificate_that_is_not_trusted(
    wrong: str, remote: str, namespace: NetworkNamespace, conf: Config, tmp_path: Path
) -> None:
    stranger = made(tmp_path, "stranger")
    conf.config(group="vifplug_ovs", **{wrong: str(stranger.certificate)})
    if wrong == "ssl_cert_file":
        conf.config(group="vifplug_ovs", ssl_key_file=str(stranger.key))
    before = namespace.everything()
    with pytest.raises(OVSDBError) as error:
        GenericVIFDriver().plug(None, ovs_vif(), timeout=5)
    assert remote in str(error.value)
    assert namespace.everything() == before


@pytest.mark.parametrize("remote", ["ssl:127.0.0.1:6640"], indirect=True)
def test_a_certificate_that_is_no_file(remote: str, conf: Config) -> None:
    conf.config(group="vifplug_ovs", ssl_ca_cert_file="/none.pem")
    with pytest.raises(OVSDBError, match="see ssl_ca_cert_file, ssl_cert_file and ssl_key_file"):
        GenericVIFDriver().plug(None, ovs_vif(), timeout=5)
