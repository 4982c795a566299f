# SPDX-License-Identifier: Apache-2.0
"""Tests that need what the running kernel may lack, run in a kernel that has it.

Such a test, wherever it is, carries ``@pytest.mark.kernel("8021q")``. Where the running kernel has
the feature, it runs as any other. Elsewhere test_other_kernel.py boots another kernel, runs all of
them inside and shows how each ended; ids.txt lists them, so that none is lost on the way.
"""
