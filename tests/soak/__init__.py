# SPDX-License-Identifier: Apache-2.0
"""What lasts long: many thousand calls in one process, and a crowd of processes on one host."""
