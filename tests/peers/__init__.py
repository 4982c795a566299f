# SPDX-License-Identifier: Apache-2.0
"""Other programs that do the same job, as oracles: each difference has its reason."""
