#!/bin/sh
# Writes dev and sockstat anew, as root:
#
#	unshare -n ./capture.sh
#
# They are those of a network with what an engine makes inside a container for
# containers of its own. Those here are from Linux 6.18, November 2026.
set -e
cd "$(dirname "$0")"
ip link set lo up
ip link add eth0 type veth peer name veth0
ip link add docker0 type bridge
ip link add br-1f2e3d4c5b6a type bridge
ip link add veth1a2b3c4 master docker0 type veth peer name tmp0
ip link add vethdeadbeef type veth peer name tmp1
for i in eth0 veth0 docker0 veth1a2b3c4 tmp0; do ip link set "$i" up; done
sleep 2 # they greet their neighbours
cat /proc/net/dev >dev
cat /proc/net/sockstat >sockstat
