#!/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The first process in QEMU: from the initramfs to the host's root, where init.sh goes on.
b=/busybox
o=trans=virtio,version=9p2000.L,msize=512000
$b mkdir /root
for module in /modules/*; do $b insmod "$module"; done
$b mount -t 9p -o "$o,ro,cache=loose" root /root || $b poweroff -f
$b mount -t tmpfs memory /root/run
$b mkdir /root/run/vifplug
$b mount -t 9p -o "$o" shared /root/run/vifplug || $b poweroff -f
exec $b switch_root /root /bin/sh /run/vifplug/init.sh
