// Package discover knows the containers of this node.
//
// The kernel decides which there are: a container is a cgroup whose path says
// so, seen by inotify the moment it is made and gone the moment it is removed.
// Others only add names, images and labels when they can, so that an engine that
// hangs, restarts or was never there costs names and nothing else. Of what they
// say the engine and kubelet are believed first, then the files that runtimes
// keep, then the path:
//
//	inotify, scan ─ kernel ──┐
//	list, events ── docker ──┤
//	config.json … ─ files ───┼─ registry ─ Watcher.Containers, TakeEvents, OOMs, TakeExits
//	/pods ───────── kubelet ─┘
//
// What a container does below its own cgroup is never looked at: the paths it
// makes there can claim to be anything.
package discover
