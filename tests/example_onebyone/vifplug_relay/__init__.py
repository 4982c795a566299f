# SPDX-License-Identifier: Apache-2.0
"""A vendor's switch without transactions, behind a socket: an example in four methods."""
