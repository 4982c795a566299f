# SPDX-License-Identifier: Apache-2.0
"""What is asked for and what is there: the VIF, the host, its devices, marks. Plain values."""
