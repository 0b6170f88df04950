// Package identity knows the nodes of a collector that other machines can reach.
//
//	person ─ plimsoll token create ─ socket ─┐
//	                                      Authority ─┬─ ca.json     key of the authority
//	agent ══ TLS 1.3 ══ Enroll, Renew ───────┤       └─ state.json  tokens, certificates, revocations
//	      └─ Push ─ gate ─ ingest            │
//	                 └── who is it? ─────────┘
//
// The collector is its own certificate authority, made at its first start. A
// token lets a node in once; its certificate is good for a day and renewed by
// the agent. The gate in front of every other service lets pass whoever holds a
// certificate that counts, hands on which node that is, and ends the stream at
// the moment at which the certificate no longer counts.
//
// Connections are taken without a certificate too, since a node that joins has
// none yet; what they may do is decided for each call. So a node that is refused
// learns why.
package identity
