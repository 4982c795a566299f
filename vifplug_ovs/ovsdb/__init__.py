# SPDX-License-Identifier: Apache-2.0
"""The OVSDB protocol (RFC 7047): connections, requests, rows, and the questions that we ask."""
