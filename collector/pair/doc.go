// Package pair is the line between the two collectors of a pair.
//
//	collector a                              collector b
//	  Talk ◀─ tube ─ caller ══ gRPC ══▶ called ─ tube ─▶ Talk
//	  Talk ◀─ tube ─ called ◀══ gRPC ══ caller ─ tube ─▶ Talk
//
// Each calls the other for as long as it runs, and whoever is there at both ends
// of a tube may send payloads of bytes whenever it likes. What they mean is up to
// Talk. Each end proves to the other that it has the pair's secret, bound to the
// connection, before a payload goes through: see proto/plimsoll/v1/pair.proto.
package pair
