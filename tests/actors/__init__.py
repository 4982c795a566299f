# SPDX-License-Identifier: Apache-2.0
"""What other programs of a host do to VIFs, what check tells of it, and what watch mends.

Each actor is a row of ``catalogue``, each kind of VIF one of ``shapes``. ``trial`` puts both on a
host. ``python -m tests.actors`` does so for all of them, and prints the table of the docs.
"""
