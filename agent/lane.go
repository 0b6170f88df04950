package agent

// Lanes are how often things are read: at every so many ticks. The first is for
// what decisions hang on, the third for what seldom changes, the fourth for what
// takes long to find out. 0 stands for 1.
type Lanes struct{ First, Second, Third, Fourth uint64 }

// DefaultLanes are 1, 5, 15 and 60 ticks, which are seconds by default.
func DefaultLanes() Lanes { return Lanes{First: 1, Second: 5, Third: 15, Fourth: 60} }

// due tells whether something is read at a tick. Things with different phases
// have different ticks, so that a lane's work is spread evenly.
func due(every, tick, phase uint64) bool { return (tick+phase)%max(every, 1) == 0 }
