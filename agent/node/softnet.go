package node

// Softnet is what one CPU did with the packets that came in. The kernel counts
// in 32 bits.
type Softnet struct {
	CPU         uint32 // or the line, before 5.14
	Processed   Number
	Dropped     Number // the backlog was full
	Squeezed    Number // times that time or budget ended before the packets
	ReceivedRPS Number // times that another CPU asked it to; since 2.6.39
	FlowLimit   Number // dropped for the sake of smaller flows; since 3.11
}

// Softnet reads /proc/net/softnet_stat.
func (r Roots) Softnet() ([]Softnet, error) {
	fs, err := r.netfs()
	if err != nil {
		return nil, err
	}
	lines, err := fs.NetSoftnetStat()
	if err != nil {
		return nil, err
	}
	cpus := make([]Softnet, len(lines))
	for i, l := range lines {
		n := func(v uint32, column int) Number { return Number{uint64(v), l.Width >= column} }
		cpus[i] = Softnet{l.Index, n(l.Processed, 1), n(l.Dropped, 2), n(l.TimeSqueezed, 3), n(l.ReceivedRps, 10), n(l.FlowLimitCount, 11)}
	}
	return cpus, nil
}
