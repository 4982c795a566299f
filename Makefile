# SPDX-License-Identifier: Apache-2.0
# make demo: the main job; needs Python 3.11 and a Linux kernel. make test: everything that is tested.
# make unit: what needs neither root nor a daemon, in a minute.
# make journeys: a guest's day and its migrations, with all that the commands print (ROUNDS=).
# make actors: all other programs on all kinds of VIF; prints the table of docs/reliability.md.
# make histories: 1,000,000 histories on a simulated host (COUNT=, SEED=), 2,000 on a real one (REAL=).
# make soak: 20,000 and 5,000 cycles in one process, and a crowd of 32 processes, in about half an hour.
# make cloud: Neutron's real agents beside vifplug, in the long form.
# make fuzz: 100,000 hostile requests to the daemons (COUNT=, SEED=), in about an hour.

SOURCES := setup.cfg $(wildcard vifplug/*.py vifplug/*/*.py vifplug/*/*/*.py vifplug_bridge/*)

.PHONY: demo test unit lint lowest journeys fuzz bench clean actors histories soak cloud test-all

demo: .venv/demo
	@.venv/bin/vifplug demo

.venv/demo: $(SOURCES) tools/install
	@tools/install .venv . ./vifplug_bridge
	@touch $@

test:
	@tools/needs
	@tools/install .tox/tox tox
	@LIBVIRT="$$(pkg-config --modversion libvirt)" .tox/tox/bin/tox run

# The whole suite on other stacks too; hours.
test-all: test lowest
	@.tox/py3/bin/python -m tests.stacks trixie+pypi sid+pypi
	@.tox/py3/bin/python -m tests.stacks --all trixie sid

unit:
	@tools/install .tox/tox tox
	@.tox/tox/bin/tox run -e unit

lint:
	@tools/install .tox/tox tox
	@.tox/tox/bin/tox run -e lint

lowest:
	@tools/install .tox/tox tox
	@.tox/tox/bin/tox run -e lowest $(if $(TESTS),-- $(TESTS))

actors:
	@tools/needs firewalld docker.io
	@tools/install .tox/tox tox
	@LIBVIRT="$$(pkg-config --modversion libvirt)" .tox/tox/bin/tox run -e py3 --notest
	@.tox/py3/bin/python -m tests.actors

fuzz:
	@tools/needs
	@tools/install .tox/tox tox
	@LIBVIRT="$$(pkg-config --modversion libvirt)" .tox/tox/bin/tox run -e py3 --notest
	@.tox/py3/bin/python -m tests.fuzz --count $(or $(COUNT),100000) $(if $(SEED),--seed $(SEED))

journeys:
	@tools/needs
	@tools/install .tox/tox tox
	@LIBVIRT="$$(pkg-config --modversion libvirt)" .tox/tox/bin/tox run -e py3 --notest
	@VIFPLUG_ROUNDS=$(or $(ROUNDS),10) .tox/py3/bin/pytest -s tests/journeys
histories:
	@tools/needs
	@tools/install .tox/tox tox
	@LIBVIRT="$$(pkg-config --modversion libvirt)" .tox/tox/bin/tox run -e py3 --notest
	@.tox/py3/bin/python -m tests.histories --count $(or $(COUNT),1000000) $(if $(SEED),--seed $(SEED))
	@.tox/py3/bin/python -m tests.histories --real --count $(or $(REAL),2000) $(if $(SEED),--seed $(SEED))

soak:
	@tools/needs
	@tools/install .tox/tox tox
	@LIBVIRT="$$(pkg-config --modversion libvirt)" .tox/tox/bin/tox run -e py3 --notest
	@.tox/py3/bin/python -m tests.soak
cloud:
	@tools/needs
	@tools/install .tox/tox tox
	@LIBVIRT="$$(pkg-config --modversion libvirt)" .tox/tox/bin/tox run -e py3 --notest
	@.tox/py3/bin/pytest tests/cloud tests/cloud/long_*.py

bench: .venv/bench
	@.venv/bin/python -P bench

.venv/bench: .venv/demo $(wildcard vifplug_ovs/*)
	@tools/install .venv '.[testing]' ./vifplug_ovs
	@touch $@

clean:
	rm -rf .venv .tox build dist *.egg-info vifplug_*/*.egg-info vifplug_*/build
