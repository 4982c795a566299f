# SPDX-License-Identifier: Apache-2.0
"""rtnetlink(7)'s messages as bytes. Nothing here does I/O."""
