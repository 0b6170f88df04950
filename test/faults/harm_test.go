package faults

import (
	"slices"
	"strconv"
	"time"

	"github.com/plimsoll-io/plimsoll/internal/faults"
)

// harm does to the platform what the script says.
func (w *world) harm(at time.Duration) {
	for _, f := range w.script.Faults {
		begins, ends := f.From == at, f.To == at && f.To > f.From
		switch f.Kind {
		case faults.Manual:
			if begins {
				w.platform.Edit(web, int(f.Number))
			}
		case faults.Recreate:
			if begins {
				w.platform.Edit(web, 0)
			}
			if ends {
				w.platform.Edit(web, int(f.Number))
			}
			if begins || ends {
				w.mu.Lock()
				w.gone = begins
				w.mu.Unlock()
			}
		case faults.Rollout:
			if begins || ends {
				w.platform.SetUpdating(web, begins)
			}
			w.replace(f, at)
		case faults.Crash:
			if f.On(at) {
				sound := w.script.Replicas - int(f.Number*float64(w.script.Replicas))
				w.platform.SetFailing(web, max(0, len(w.platform.Replicas(web))-sound))
			}
			if ends {
				w.platform.SetFailing(web, 0)
			}
		case faults.Reset:
			if begins {
				clear(w.cpu)
			}
		case faults.Relabel:
			if begins {
				w.names++
			}
		case faults.Clock:
			if begins || ends {
				w.mu.Lock()
				w.skew = 0
				if begins {
					w.skew = time.Duration(f.Number) * time.Second
				}
				w.mu.Unlock()
			}
		case faults.Gap, faults.Value, faults.Stale, faults.Miss, faults.Restart, faults.Forget,
			faults.Duplicate, faults.Late, faults.Two, faults.Agent, faults.Agents:
			// of what is measured, or of the scaler
		}
	}
}

// replace lets one replica after another fail and start anew under its old place,
// as an update that stops first does.
func (w *world) replace(f faults.Fault, at time.Duration) {
	const pace = 30 * time.Second
	if f.On(at) && (at-f.From)%pace == 0 {
		w.platform.SetFailing(web, 1)
		w.platform.SetFailing(web, 0)
	}
}

// Lost implements scaler.Nodes.
func (w *world) Lost(node string) bool { return w.silent(node, time.Since(w.begin)) }

// Agents implements scaler.Nodes.
func (w *world) Agents() (heard int, lost []time.Time) {
	at := time.Since(w.begin)
	for n := range faults.Nodes {
		if !w.silent(nodeName(n), at) {
			heard++
			continue
		}
		for _, f := range w.script.Faults {
			if f.On(at) && (f.Kind == faults.Agent || f.Kind == faults.Agents) {
				lost = append(lost, w.begin.Add(f.From))
			}
		}
	}
	return heard, lost
}

func nodeName(n int) string { return "n" + strconv.Itoa(n+1) }

func (w *world) silent(node string, at time.Duration) bool {
	if _, all := w.script.Active(faults.Agents, at); all {
		return true
	}
	f, some := w.script.Active(faults.Agent, at)
	return some && slices.Contains([]string{nodeName(0), nodeName(1), nodeName(2)}[:int(f.Number)], node)
}
