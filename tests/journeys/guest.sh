#!/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The first process of a guest: each card gets 10.7.N.53, where N is the end of its MAC address.
b=/busybox
$b mkdir /proc /sys
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
# Each card answers for its own address only, because several are on one wire.
echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
for module in /modules/*; do $b insmod "$module"; done
# Again and again, for a card that comes while the guest runs.
while :; do
    for card in /sys/class/net/eth*; do
        name=${card##*/}
        read -r flags 2>/dev/null <"$card/flags" && [ $((flags & 1)) = 0 ] || continue
        read -r mac <"$card/address"
        address=10.7.$((0x${mac##*:})).53
        $b ip link set "$name" up
        $b ip addr add "$address/24" dev "$name"
        echo "$name $mac $address"
    done
    $b sleep 0.2
done
