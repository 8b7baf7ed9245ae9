#!/bin/sh
# Runs in the virtual machine: two bonds towards a neighbour in a namespace of its own, a VLAN, a bridge, a cabled card; one port of a bond loses its link.
export PATH=/bin:/usr/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp; mount -t tmpfs run /run
for module in /modules/*; do case $module in *bonding*) insmod $module max_bonds=0;; *) insmod $module;; esac; done
# The shell would take busybox's own.
ip() { /usr/bin/ip "$@"; }
ip link set lo up
unshare -n sh -c 'echo $$ > /tmp/elsewhere; exec sleep 1000' &
until [ -s /tmp/elsewhere ]; do sleep 0.1; done
elsewhere=$(cat /tmp/elsewhere)
there() { nsenter -t $elsewhere -n "$@"; }
for n in 0 1 2 3; do ip link add port$n type veth peer name far$n netns $elsewhere; done
ip link add bond0 type bond mode active-backup miimon 100 primary port0
ip link add bond1 type bond mode 802.3ad miimon 100 lacp_rate fast
there /usr/bin/ip link add bond9 type bond mode 802.3ad miimon 100 lacp_rate fast
there /usr/bin/ip link set bond9 address 02:00:5e:00:00:09
for n in 0 1; do ip link set port$n master bond0; there /usr/bin/ip link set far$n up; done
for n in 2 3; do ip link set port$n master bond1; there /usr/bin/ip link set far$n master bond9; done
there /usr/bin/ip link set bond9 up
ip link set bond0 up
ip link set bond1 up
ip addr add 192.0.2.30/24 dev bond0
ip link add link bond0 name bond0.20 type vlan id 20
ip link add br0 type bridge
ip link set bond0.20 master br0
ip link set bond0.20 up
ip link set br0 up
ip link set eth0 up
says() { until grep -q "$2" /proc/net/bonding/$1; do sleep 0.2; done; }
look() { echo "\"$1\":"; deskside-agent collect interfaces bonds_bridges_vlans tcp_stats --json; }
says bond0 "Currently Active Slave: port0"
says bond1 "Partner Mac Address: 02:00:5e:00:00:09"
says bond1 "Number of ports: 2"
until [ "$(cat /sys/class/net/eth0/operstate)" = up ]; do sleep 0.2; done
exec > /dev/ttyS1
echo '{'
look whole
echo ,
there /usr/bin/ip link set far0 down
says bond0 "Currently Active Slave: port1"
look failed
echo ',"kernel": {'
echo "\"failures\": $(grep -A4 'Interface: port0' /proc/net/bonding/bond0 | grep Failure | tr -dc 0-9)"
if [ -x /bin/keep ]; then
deskside-agent record-host /tmp/host > /tmp/recorded
echo ", \"host\": \"$(tar -c -C /tmp host | base64 | tr -d '\n')\""
fi
echo '}}'
poweroff -f
