// Package backtest runs an autoscaler over a load that was, and says how well it
// would have done: what was missing, what was too much, and what it cost.
//
//	Load ─► Plant ─► what can be seen of it ─► Autoscaler
//	          ▲                                    │
//	          └───────── replicas wanted ◄─────────┘
//	          └─► demand and supply ─► Scores
//
// It is pure: no clock, no I/O, no chance, so that a policy over a week is judged
// within seconds, twice with the same verdict, and so that a change of a policy can
// be a test like any other.
//
// What the plant knows about a workload:
//
//   - A replica serves nothing until it has booted, and nothing from when it is told
//     to go, though it costs in both.
//   - The load is shared evenly by the replicas that are ready. What is more than
//     they can carry is not seen in what they use: it is censored, as in life.
//   - What is measured is seen late, and averaged over the window of its signal.
//   - Where the load is not known, nothing is measured and nothing is judged. That it
//     is not known never stands for zero.
//
// What it does not know: latency, caches that are cold, load that goes away because
// it was served badly, and load that follows the number of replicas.
package backtest
