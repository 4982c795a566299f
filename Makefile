# SPDX-License-Identifier: Apache-2.0
# make demo: the main job; needs Python 3.11 and a Linux kernel. make test: everything that CI runs.
# make unit: what needs neither root nor a daemon, in a minute.
# make lowest: make unit and some real tests, with the lowest versions of what setup.cfg asks for (TESTS=).
# The long forms of tests, as root, after make test's own set-up:
# make actors: all other programs on all kinds of VIF; prints the table of docs/reliability.md.
# make cloud: Neutron's real agents beside vifplug.
# make fuzz: 100,000 hostile requests to the daemons (COUNT=, SEED=), in about an hour.
# make histories: 1,000,000 histories on a simulated host (COUNT=, SEED=), 2,000 on a real one (REAL=).
# make journeys: a guest's day and its migrations, with all that the commands print (ROUNDS=).
# make soak: 20,000 and 5,000 cycles in one process, and a crowd of 32 processes, in about half an hour.
# make test-all: make test, and the whole suite on Debian 13 and sid: hours.

SOURCES := setup.cfg $(wildcard vifplug/*.py vifplug/*/*.py vifplug/*/*/*.py vifplug_bridge/*)
SEEDED = $(if $(SEED),--seed $(SEED))
TOX = LIBVIRT="$$(pkg-config --modversion libvirt)" .tox/tox/bin/tox run
PYTHON = .tox/py3/bin/python

.PHONY: demo test test-all unit lint lowest environment actors cloud fuzz histories journeys soak bench clean

demo: .venv/demo
	@.venv/bin/vifplug demo

.venv/demo: $(SOURCES) tools/install
	@tools/install .venv . ./vifplug_bridge
	@touch $@

test:
	@tools/needs
	@tools/install .tox/tox tox
	@$(TOX)

test-all: test lowest
	@$(PYTHON) -m tests.stacks trixie+pypi sid+pypi
	@$(PYTHON) -m tests.stacks --all trixie sid

unit:
	@tools/install .tox/tox tox
	@.tox/tox/bin/tox run -e unit

lint:
	@tools/install .tox/tox tox
	@.tox/tox/bin/tox run -e lint

lowest:
	@tools/install .tox/tox tox
	@.tox/tox/bin/tox run -e lowest $(if $(TESTS),-- $(TESTS))

environment:
	@tools/needs
	@tools/install .tox/tox tox
	@$(TOX) -e py3 --notest

actors: environment
	@tools/needs curl docker.io firewalld
	@$(PYTHON) -m tests.actors

cloud: environment
	@$(PYTHON) -m pytest tests/cloud/test_*.py tests/cloud/long_*.py

fuzz: environment
	@$(PYTHON) -m tests.fuzz --count $(or $(COUNT),100000) $(SEEDED)

histories: environment
	@$(PYTHON) -m tests.histories --count $(or $(COUNT),1000000) $(SEEDED)
	@$(PYTHON) -m tests.histories --real --count $(or $(REAL),2000) $(SEEDED)

journeys: environment
	@VIFPLUG_ROUNDS=$(or $(ROUNDS),10) $(PYTHON) -m pytest -s tests/journeys

soak: environment
	@$(PYTHON) -m tests.soak

bench: .venv/bench
	@.venv/bin/python -P bench

.venv/bench: .venv/demo $(wildcard vifplug_ovs/*)
	@tools/install .venv '.[testing]' ./vifplug_ovs
	@touch $@

clean:
	rm -rf .venv .tox build dist *.egg-info vifplug_*/*.egg-info vifplug_*/build
