# SPDX-License-Identifier: Apache-2.0
# The first process of the other kernel, in two stages. The root is the host's, read-only, and gets
# memory on top for what is written. /run/vifplug is the folder shared with the host.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
end() {
    sync
    mount -t proc proc /proc 2>/dev/null
    echo o >/proc/sysrq-trigger
    sleep 60
}

if [ "$STAGE" != 2 ]; then
    . /run/vifplug/settings
    mount -t proc proc /proc
    mount -t tmpfs -o mode=755 memory /tmp
    mkdir /tmp/upper /tmp/work /tmp/root /tmp/whole /tmp/modules
    mount $MODULES /tmp/modules
    overlay=/tmp/modules/kernel/fs/overlayfs/overlay.ko
    grep -qw overlay /proc/filesystems || insmod $overlay || end
    mount -t overlay -o lowerdir=/,upperdir=/tmp/upper,workdir=/tmp/work overlay /tmp/root || end
    mount --bind /tmp/root /tmp/whole
    cd /tmp/root || end
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    mount -t devtmpfs devices dev
    mkdir -p dev/pts dev/shm
    mount -t devpts devpts dev/pts
    mount -t tmpfs -o mode=1777 memory dev/shm
    mount -t tmpfs -o mode=755 memory run
    mount -t tmpfs -o mode=1777 memory tmp
    mkdir -p run/lock run/netns run/vifplug "lib/modules/$(uname -r)"
    mount $SHARED run/vifplug || end
    mount --bind /tmp/modules "lib/modules/$(uname -r)"
    # Folders that the fresh ones above hide, such as a checkout under /tmp.
    IFS='
'
    for folder in $KEPT; do
        mkdir -p ".$folder"
        mount --bind "/tmp/whole$folder" ".$folder"
    done
    unset IFS
    STAGE=2 exec chroot . /bin/sh /run/vifplug/init.sh
fi

: >/run/vifplug/started
unset STAGE
for module in 8021q br_netfilter bridge dummy openvswitch tun veth; do
    modprobe -q "$module"
done
[ -e /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; }
ip link set lo up
hostname other-kernel
setsid sh /run/vifplug/command </dev/null >/run/vifplug/output 2>&1
echo $? >/run/vifplug/status
end
