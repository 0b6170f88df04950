// Package gpu reads NVIDIA GPUs through NVML, the driver's own library.
//
// A driver that hangs takes every thread that asks it along, and one that is
// older than the program aborts it by a symbol that it lacks. So a child process
// does the asking and the agent only ever looks at the last answer:
//
//	Helper.Run ──one request, one snapshot── Serve ── NVML ── driver
//	 │ deadline, restart                      the child: this program again
//	 └ Helper.State, at any tick, without waiting
//
// Its promise: what goes wrong with GPUs costs the readings of GPUs and nothing
// else, a value the driver does not give is absent, and one that cannot be true
// is refused and counted. The library is opened at run time, so a program that
// has GPU support runs on nodes without a GPU. A program built without cgo has
// none and says so.
package gpu
