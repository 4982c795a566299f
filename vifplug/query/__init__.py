# SPDX-License-Identifier: Apache-2.0
"""How the running host is read. Nothing here changes it."""
