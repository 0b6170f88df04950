// Package scaler keeps workloads at the number of replicas that their load
// asks for. It is the loop around two pure packages: policy says what is
// wanted, decide says how many and why. Package journal keeps what came of it,
// and package explain tells it.
//
//	          ┌────────────── state ◄─────────────┐
//	          ▼                                   │
//	observe ─► decide.Next ─► guard ─► driver     │   each policy, each turn of the pulse
//	  ▲  ▲         │            │                 │
//	  │  └ status ─┼────────────┘                 │
//	Querier        └─► journal ─► explain, API ───┘
//
// What it promises:
//
//   - Nothing shrinks because data is missing, or because this process was
//     restarted: what is unknown is told to decide as unknown, and the past
//     that it goes by survives on disk.
//   - A driver is reached through the guard alone, and the guard of a policy
//     that only advises holds nothing that could write.
//   - Each tick has a reason, and each change is in the journal with all that
//     it was based on.
//   - A slow query or platform delays the policies that ask it and no other. Those
//     that are due together ask together, so many policies make few questions.
//   - A policy is evaluated at its interval, and before it when a sample that it
//     reads has come, the platform has changed, a schedule begins or ends, or
//     somebody has said something; never twice at a time.
package scaler
