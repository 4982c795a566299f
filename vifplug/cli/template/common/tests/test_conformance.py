# SPDX-License-Identifier: Apache-2.0
"""What vifplug promises its users, checked for this plugin: pytest, as root."""

from << package >>.conformance import Test<< name >>

__all__ = ["Test<< name >>"]
