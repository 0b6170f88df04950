// Package discover knows the containers of this node.
//
// The kernel decides which there are: a container is a cgroup whose path says
// so, seen by inotify the moment it is made and gone the moment it is removed.
// The engine only adds names, images and labels when it can, so that one that
// hangs, restarts or was never there costs names and nothing else:
//
//	inotify, scan ─ kernel ─┐
//	                        ├─ registry ─ Watcher.Containers, TakeEvents, TakeOOMs
//	list, events ── docker ─┘
//
// What a container does below its own cgroup is never looked at: the paths it
// makes there can claim to be anything.
package discover
