#!/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The first process of a guest with two cards: static addresses, and another MAC address when asked.
b=/busybox
$b mkdir /proc
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod "$module"; done
for card in 0 1; do
    # Another program has seen that nobody has these addresses.
    echo 0 >/proc/sys/net/ipv6/conf/eth$card/accept_dad
    $b ip link set eth$card up
    $b ip addr add 198.51.10$card.53/24 dev eth$card
    for host in 53 54 55 56; do $b ip addr add 2001:db8:$card::$host/64 dev eth$card; done
done
while :; do
    $b nc -l -p 7 </dev/null
    for card in 0 1; do $b ip link set eth$card address 02:00:00:00:00:0$card; done
done
