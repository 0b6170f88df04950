// Package enroll is who an agent is, to a collector on another machine.
//
//	--join ─┐
//	        Identity ─┬─ identity.json   key, certificate, whom to trust
//	                  └─ credentials ─ stream ══ TLS 1.3 ══ collector
//
// A join string is traded for a certificate once. From then on the certificate
// is renewed after two thirds of its life, each time for a new key, without
// anybody's help; connections that are made afterwards use it. The collector's
// certificate has to come from the authority that the join string pinned, or
// from one that followed on it.
package enroll
