#!/bin/sh
# capture.sh [DEVICE]: prints a tree of control groups as a txtar archive, for
# the tests of package cgroup. It makes two groups as Docker would, one with
# limits and load, the other idle, and removes them. Needs root; DEVICE is a
# block device, or a file on one, whose first megabyte it overwrites.
set -u
root=/sys/fs/cgroup
device=${1:-/var/tmp/plimsoll-capture}
parent=plimsoll.capture # printed under the name that Docker's has
busy=$parent/1111111111111111111111111111111111111111111111111111111111111111
idle=$parent/2222222222222222222222222222222222222222222222222222222222222222
as=docker
if [ -e $root/cgroup.controllers ]; then # as systemd names them
	busy=$parent/docker-1111111111111111111111111111111111111111111111111111111111111111.scope
	idle=$parent/docker-2222222222222222222222222222222222222222222222222222222222222222.scope
	as=system.slice
	dirs=$root
	for g in $root $root/$parent; do
		mkdir -p $g
		echo "+cpu +memory +io +pids" > $g/cgroup.subtree_control
	done
else
	dirs=$(for d in cpu cpuacct cpu,cpuacct memory pids blkio unified; do
		[ -e $root/$d/cgroup.procs ] && [ ! -L $root/$d ] && echo $root/$d
	done)
fi
set_() { for d in $dirs; do [ -e $d/$1 ] && echo "$2" > $d/$1; done; }

for d in $dirs; do mkdir -p $d/$busy $d/$idle; done
set_ $busy/cpu.cfs_quota_us 50000;            set_ $busy/cpu.max "50000 100000"
set_ $busy/cpu.shares 512;                    set_ $busy/cpu.weight 20
set_ $busy/memory.limit_in_bytes 16777216;    set_ $busy/memory.max 16777216
set_ $busy/memory.soft_limit_in_bytes 8388608; set_ $busy/memory.low 8388608
set_ $busy/pids.max 100
# Some kernels count in version 1 only devices that a limit is set for.
if [ -b "$device" ]; then
	number=$(printf '%d:%d' 0x$(stat -c %t "$device") 0x$(stat -c %T "$device"))
else
	number=$(stat -c %d "$(dirname "$device")")
	number=$((number / 256)):$((number % 256))
fi
set_ $busy/blkio.throttle.read_bps_device "$number 1099511627776"
set_ $busy/blkio.throttle.write_bps_device "$number 1099511627776"
# In version 2 what I/O costs is only told where io.cost is on, and most of it
# only to those who debug.
debug=/sys/module/blk_cgroup/parameters/blkcg_debug_stats
if [ -e $root/io.cost.qos ]; then
	echo "$number enable=1" > $root/io.cost.qos
	echo 1 > $debug
fi

# The load: memory that stays, a hog that is killed, I/O past the cache and into
# it, and CPU time above the quota.
ready=/tmp/plimsoll-capture.ready
rm -f $ready
cat > /tmp/plimsoll-capture.load <<'LOAD'
for d in $1; do echo $$ > $d/$2/cgroup.procs; done
kept=$(head -c 4000000 /dev/zero | tr '\0' x)
sh -c 'hog=$(head -c 40000000 /dev/zero | tr "\0" x)' 2>/dev/null
dd if=/dev/zero of=$3 bs=4k count=3 oflag=direct 2>/dev/null
dd if=$3 of=/dev/null bs=4k count=3 iflag=direct 2>/dev/null
exec 9< $3 # a device without a reader has no cache
head -c 1000000 /dev/zero > $3; sync
i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done
echo done > $4
while [ -e $4 ]; do sleep 1; done
LOAD
sh /tmp/plimsoll-capture.load "$dirs" $busy "$device" $ready &
load=$!
n=0; while [ ! -e $ready ] && [ $n -lt 60 ]; do sleep 1; n=$((n+1)); done

files="cgroup.controllers cgroup.procs cpu.stat cpu.stat.local cpuacct.usage cpuacct.stat
cpu.cfs_quota_us cpu.cfs_period_us cpu.shares cpu.max cpu.weight
memory.usage_in_bytes memory.current memory.stat memory.swap.current
memory.max_usage_in_bytes memory.peak memory.kmem.usage_in_bytes
memory.failcnt memory.oom_control memory.events
memory.limit_in_bytes memory.memsw.limit_in_bytes memory.soft_limit_in_bytes
memory.max memory.swap.max memory.low pids.current pids.peak pids.max
blkio.throttle.io_service_bytes_recursive blkio.throttle.io_service_bytes
blkio.throttle.io_serviced_recursive blkio.throttle.io_serviced io.stat
cpu.pressure memory.pressure io.pressure"

echo "Control groups as they were on Linux $(uname -r), printed by capture.sh on $(date -u +%F)."
for d in $dirs; do
	for g in . $busy $idle; do
		for f in $files; do
			case $g/$f in ./cgroup.controllers | ./cpu.stat | ./cpuacct.*) ;; ./*) continue;; esac
			content=$(cat $d/$g/$f 2>/dev/null) || continue
			echo "-- $d/$g/$f --"
			[ -z "$content" ] || echo "$content"
		done
	done
done | sed "s|^-- $root/|-- |; s|/\./|/|; s|^-- \./|-- |; s|$parent|$as|"

rm -f $ready /tmp/plimsoll-capture.load
[ -f "$device" ] && rm -f "$device"
[ -e $root/io.cost.qos ] && echo "$number enable=0" > $root/io.cost.qos && echo 0 > $debug
wait $load
for d in $dirs; do rmdir $d/$busy $d/$idle; rmdir $d/$parent; done 2>/dev/null
exit 0
