# SPDX-License-Identifier: Apache-2.0
"""A vendor's switch whose database is a JSON file: an example of a third party's plugin."""
