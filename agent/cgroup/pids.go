package cgroup

import "errors"

// PIDs is how many tasks a group has; the kernel counts threads.
type PIDs struct {
	Current Opt[uint64]
	Limit   Opt[Limit]
}

// PIDs reads the number of tasks.
func (g *Group) PIDs() (PIDs, error) {
	var p PIDs
	var currentErr, limitErr error
	p.Current, currentErr = g.number(pidsCurrent)
	p.Limit, limitErr = g.limit(pidsMax)
	return p, errors.Join(currentErr, limitErr)
}
