# SPDX-License-Identifier: Apache-2.0
"""A plugin's privileged daemon: its start, calls of it, its locks, and how it serves a request."""

import warnings

# oslo.privsep before 3.11 imports eventlet, which says this on standard error, to operators too.
warnings.filterwarnings("ignore", r"\s*Eventlet is deprecated")
