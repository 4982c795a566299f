# SPDX-License-Identifier: Apache-2.0
"""A wiring compared with a host, and what an unplug removes. Pure."""
