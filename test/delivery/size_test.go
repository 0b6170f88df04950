//go:build !e2e

package delivery

import "time"

// What goes through, in so much time that it fits among other tests.
const (
	agents  = 5
	series  = 100 // of each
	frames  = 100
	kills   = 10
	limit   = 4 * time.Minute
	rate    = 3000 // samples of the past a second
	ahead   = 4    // frames that an agent has not seen acknowledged
	beside  = true // the stories at a time
	groupOf = 20
)
