//go:build e2e

package delivery

import "time"

// What goes through, in full.
const (
	agents  = 20
	series  = 3000 // of each
	frames  = 200
	kills   = 12
	limit   = 25 * time.Minute
	rate    = 1_000_000 // samples of the past a second
	ahead   = 8         // frames that an agent has not seen acknowledged
	beside  = false     // the stories at a time
	groupOf = 60
)
