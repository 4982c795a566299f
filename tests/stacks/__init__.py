# SPDX-License-Identifier: Apache-2.0
"""The suite on the programs of another distribution, in a root of their own."""
