//go:build race

package decide

// underRace tells that everything takes ten times as long.
const underRace = true
