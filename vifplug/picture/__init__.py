# SPDX-License-Identifier: Apache-2.0
"""Pictures of what a host has plugged, as text: a tree, dot, SVG, or one HTML page. Pure.

``found`` makes a ``Topology`` of a host, ``place`` gives each thing in it a place, and the other
modules write it.
"""
