# SPDX-License-Identifier: Apache-2.0
"""A plugin's privileged daemon: its start, the calls of it, its locks, what it does with a request."""
