# SPDX-License-Identifier: Apache-2.0
"""``python -m vifplug.cli``: the command line where the command itself is not on the path."""

import sys

from vifplug.cli import main

sys.exit(main())
