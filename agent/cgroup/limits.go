package cgroup

import "errors"

// Limits is what a group may use.
type Limits struct {
	CPUQuotaMicros  Opt[Limit]  // of CPU time in each period
	CPUPeriodMicros Opt[uint64] // of wall time
	CPUShares       Opt[uint64] // 1024 is the share of an ordinary group

	MemoryBytes Opt[Limit]
	// SwapBytes bounds memory and swap together in version 1, swap alone in
	// version 2.
	SwapBytes        Opt[Limit]
	ReservationBytes Opt[Limit] // what it keeps when memory is short
}

// Limits reads what the group may use.
func (g *Group) Limits() (Limits, error) {
	var l Limits
	return l, errors.Join(g.readCPULimits(&l), g.readMemoryLimits(&l))
}

func (g *Group) readCPULimits(l *Limits) error {
	if g.fs.at[cpuQuota1] != nil {
		var quotaErr, periodErr, sharesErr error
		l.CPUQuotaMicros, quotaErr = g.limit(cpuQuota1)
		l.CPUPeriodMicros, periodErr = g.number(cpuPeriod1)
		l.CPUShares, sharesErr = g.number(cpuShares1)
		return errors.Join(quotaErr, periodErr, sharesErr)
	}
	data, err := g.read(cpuMax2)
	if data != nil && !l.parseCPUMax(data) {
		err = g.malformed(cpuMax2, data)
	}
	weight, weightErr := g.number(cpuWeight2)
	if weight.OK {
		l.CPUShares = some(sharesOf(weight.V))
	}
	return errors.Join(err, weightErr)
}

func (g *Group) readMemoryLimits(l *Limits) error {
	memory, swap, reservation := memoryLimit2, swapLimit2, reservation2
	if g.fs.at[memoryLimit1] != nil {
		memory, swap, reservation = memoryLimit1, swapLimit1, reservation1
	}
	var memoryErr, swapErr, reservationErr error
	l.MemoryBytes, memoryErr = g.limit(memory)
	l.SwapBytes, swapErr = g.limit(swap)
	l.ReservationBytes, reservationErr = g.limit(reservation)
	return errors.Join(memoryErr, swapErr, reservationErr)
}

// parseCPUMax reads cpu.max, quota and period:
//
//	20000 100000
//	max 100000
func (l *Limits) parseCPUMax(data []byte) bool {
	quota, period := cutField(trim(data))
	q, quotaOK := parseLimit(quota)
	p, periodOK := parseUint(period)
	if !quotaOK || !periodOK {
		return false
	}
	l.CPUQuotaMicros, l.CPUPeriodMicros = some(q), some(p)
	return true
}

// sharesOf turns a weight of version 2, 1 to 10000, into shares of version 1, 2
// to 262144. It is the inverse of the linear mapping by which runtimes made
// weights of shares (runc's ConvertCPUSharesToCgroupV2Value), and like it rounds:
// 1024 shares are weight 39, and that is 998 shares.
func sharesOf(weight uint64) uint64 {
	weight = min(max(weight, 1), 10000)
	return 2 + (weight-1)*262142/9999
}
