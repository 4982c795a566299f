#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh PYTHON REPORT TESTS...: runs the tests of the tree that this script is in.
# REPORT gets the versions of all that takes part, and how each test ended.
# INSTALL is 1: PYTHON is an environment's, made if it is not there, of Debian's own libraries. It
# gets our distributions, without the network.
set -eu
python=$1 report=$2
shift 2
cd "$(dirname "$0")/../.."
if [ "${INSTALL-}" = 1 ]; then
    folder=${python%/bin/*}
    [ -x "$python" ] || /usr/bin/python3 -m venv --system-site-packages --without-pip "$folder"
    "$python" -m pip install --quiet --root-user-action=ignore --disable-pip-version-check \
        --no-deps --no-index --no-build-isolation \
        -e . -e ./vifplug_bridge -e ./vifplug_ovs -e ./vifplug_vepa
fi
"$python" tests/stacks/versions.py >"$report/versions"
exec "$python" -m pytest --junitxml="$report/junit.xml" "$@"
