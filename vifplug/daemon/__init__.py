# SPDX-License-Identifier: Apache-2.0
"""A plugin's privileged daemon: its start, calls of it, its locks, and how it serves a request."""
