#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a command with ROOT as /, in the namespaces that tests/stacks/roots.py has made for it.
# What the command writes is in a layer of memory over ROOT, and gone afterwards.
# NETWORK is 1: the command has the host's network, as pip needs it.
# BINDS are folders, each as HOST:INSIDE, separated by spaces.
set -eu

# A process namespace is not made: vifplug trusts no holder of a macvtap that it sees in one.
mount -t tmpfs -o mode=755 upper "$AT"
mkdir "$AT/up" "$AT/work"
mount -t overlay -o "lowerdir=$ROOT,upperdir=$AT/up,workdir=$AT/work" overlay "$AT"
mount -t proc proc "$AT/proc"
if [ "$NETWORK" = 1 ]; then
    mount --rbind /sys "$AT/sys"
else
    mount -t sysfs sysfs "$AT/sys"
    ip link set lo up
fi
# The host's devices: those of macvtaps appear there only.
mount --rbind /dev "$AT/dev"
mount -t tmpfs -o mode=755 run "$AT/run"
mkdir "$AT/run/lock" "$AT/run/netns"
mount -t tmpfs -o mode=1777 tmp "$AT/tmp"
for bind in $BINDS; do
    mkdir -p "$AT/${bind#*:}"
    mount --bind "${bind%%:*}" "$AT/${bind#*:}"
done
if [ "$NETWORK" = 1 ] && [ -e /etc/resolv.conf ]; then
    cat /etc/resolv.conf >"$AT/run/resolv.conf"
    [ -e "$AT/etc/resolv.conf" ] || : >"$AT/etc/resolv.conf"
    mount --bind "$AT/run/resolv.conf" "$AT/etc/resolv.conf"
fi
cd "$AT"
pivot_root . .
umount -l .
exec "$@"
