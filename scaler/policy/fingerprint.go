package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Fingerprint changes with anything in a policy. It is 16 hexadecimal digits;
// empty if the policy has an amount that is no number.
func (a App) Fingerprint() string {
	data, err := json.Marshal(a)
	if err != nil {
		return ""
	}
	return FingerprintOf(data)
}

// FingerprintOf is the fingerprint of a policy as JSON.
func FingerprintOf(app []byte) string {
	sum := sha256.Sum256(app)
	return hex.EncodeToString(sum[:8])
}
