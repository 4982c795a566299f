# SPDX-License-Identifier: Apache-2.0
"""Hostile requests to the privileged daemons, and hostile VIFs: nothing of others may change.

``python -m tests.fuzz`` runs as many as are asked for, ``make test`` runs some.
"""
