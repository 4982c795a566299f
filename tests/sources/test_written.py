# SPDX-License-Identifier: Apache-2.0
"""VIFs as a person writes them: YAML, and ids and addresses that follow from names."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import assume, given

from tests.documents import json_values
from vifplug import VIF, InvalidVIF
from vifplug.sources.written import parts
from vifplug.sources.yaml_text import load

pytestmark = pytest.mark.unit

BY_HAND = """\
# The guest web1.
- name: eth0
  vif_type: bridge
  address: 52:54:00:12:34:56
  network: &lan
    bridge: br100
    label: no
- name: eth1
  vif_type: bridge
  network: *lan
"""


def vifs(text: str, stem: str = "web1") -> list[VIF]:
    return [each.vif() for each in parts(load(text), stem, f"{stem}.yaml")]


def test_yaml_is_read_by_the_rules_of_1_2() -> None:
    first, second = vifs(BY_HAND)
    assert first.address == "52:54:00:12:34:56", "no number of base 60"
    assert first.network.label == "no", "not false"
    assert second.network == first.network


def test_an_id_and_an_address_follow_from_the_name_for_good() -> None:
    """Written out, because an id that changes would unplug VIFs of every host."""
    second = vifs(BY_HAND)[1]
    assert second.id == "064a2f55-d05e-5a71-9925-402ab321958f"
    assert second.address == "02:a0:1c:13:74:b0"
    (alone,) = vifs("vif_type: bridge\nnetwork: {bridge: br100}\n")
    assert alone.id == "492e2606-1723-5d23-89ec-8ec469bef454"


def test_an_id_stays_while_a_file_grows_and_is_sorted_anew() -> None:
    one = "{vif_type: bridge, network: {bridge: br100}}\n"
    assert vifs(one)[0] == vifs(f"- {one}")[0] == vifs(f"- {one}- {one}")[0]
    named = [f"- {{name: {name}, vif_type: bridge}}\n" for name in ("a", "b", "c")]
    ids = [{vif.id for vif in vifs("".join(order))} for order in (named, named[::-1])]
    assert ids[0] == ids[1] and len(ids[0]) == 3
    assert ids[0].isdisjoint(vif.id for vif in vifs("".join(named), "web2"))


def test_an_address_follows_from_an_id_and_what_is_given_stays() -> None:
    known = "id: 0B6A9D0E-7a3c-4a6e-9d55-3f1f0a3c2b11\nvif_type: bridge\n"
    (upper,), (lower,) = vifs(known), vifs(known.lower(), "db1")
    assert upper == lower
    assert int(upper.address[:2], 16) & 3 == 2, "unicast, locally administered"
    (given_one,) = vifs("vif_type: bridge\naddress: fa:16:3e:11:22:33\nid:\n")
    assert given_one.address == "fa:16:3e:11:22:33"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "the name 'a' stands twice, at line 3, column 1"),
        ("&a [*a]\n", "contains itself"),
        ("a: &a {b: *a}\n", "contains itself"),
        ("!!python/object/apply:os.system [id]\n", "no list and no object"),
        ("a: !!binary aGk=\n", "no text, number, true or false"),
        ("a: !!int no\n", "no text, number, true or false"),
        ("1: a\n", "the name 1 at line 1, column 1 is no text"),
        ("? [a]\n: b\n", "is no text"),
        ("- a\n--- \n- b\n", "another document"),
        ("a: [\n", "broken at line 2"),
        ("a: '\x01'\n", "not allowed"),
        ("[" * 100_000, "nest"),
        ("[" * 257 + "]" * 257, "nested too deep at line 1, column 257, more than 256"),
        ("{a: " * 100_000, "nested too deep"),
        ("- " * 100_000, "nested too deep"),
        ("- &b0 [a]\n" + "".join(f"- &b{n + 1} [*b{n}]\n" for n in range(1200)), "nested too deep"),
        ("a: " + "9" * 5000, "no text, number"),
        (
            "- &b0 [a, a, a, a, a, a, a, a, a, a]\n"
            + "".join(f"- &b{n + 1} [{', '.join([f'*b{n}'] * 10)}]\n" for n in range(9)),
            "more than 1000000 values",
        ),
    ],
)
def test_what_no_person_means_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        load(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@given(json_values)
def test_yaml_says_what_json_says(data: Any) -> None:
    """A document that the library writes, with all text quoted, is read back."""
    assume("Infinity" not in json.dumps(data))  # JSON has none
    text = yaml.dump(data, default_style='"', Dumper=_Quoting, allow_unicode=True)
    assert load(text) == json.loads(json.dumps(data))


class _Quoting(yaml.SafeDumper):
    """Writes text in quotes, and everything else plain."""

    def represent_scalar(self, tag: str, value: Any, style: str | None = None) -> Any:
        quoted = '"' if tag.endswith(":str") else ""
        return super().represent_scalar(tag, value, quoted)  # type: ignore[no-untyped-call]

    def ignore_aliases(self, data: Any) -> bool:
        return True


@pytest.mark.parametrize("name", ["''", "3", "[a]", '"a\\nb"', "~"])
def test_a_name_that_is_no_line_is_refused(name: str) -> None:
    with pytest.raises(InvalidVIF, match=r"^name is ") as refused:
        vifs(f"name: {name}\nvif_type: bridge\n")
    assert "a line of 1 to 255 characters" in str(refused.value)


@given(json_values)
def test_whatever_a_file_holds_is_a_vif_or_an_error(data: Any) -> None:
    for each in parts(data, "web1", "web1.json"):
        try:
            assert each.vif().id
        except InvalidVIF as error:
            assert error.allowed
