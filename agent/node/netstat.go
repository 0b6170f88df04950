package node

import (
	"bytes"
	"fmt"
	"strconv"
)

// ProtocolFile is a file of /proc/net in which the network stack counts by
// protocol.
type ProtocolFile string

// The files that count by protocol.
const (
	SNMP    ProtocolFile = "snmp"    // what RFC 1213 and its successors ask for
	Netstat ProtocolFile = "netstat" // what Linux counts besides
	SNMP6   ProtocolFile = "snmp6"   // the same of IPv6
)

// Protocols reads counts by the name of their protocol and their own, such as
// Tcp_InSegs. Some are states (Tcp_CurrEstab), one may be negative (Tcp_MaxConn,
// -1 where there is no limit).
func (r Roots) Protocols(file ProtocolFile) (map[string]float64, error) {
	path := r.net(string(file))
	data, err := slurp(path)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]float64)
	if file == SNMP6 {
		err = parseSNMP6(data, counts)
	} else {
		err = parseNetstat(data, counts)
	}
	if err != nil {
		return nil, malformedFile(path, err)
	}
	return counts, nil
}

func malformedFile(path string, err error) error { return fmt.Errorf("%s: %w", path, err) }

// parseNetstat reads pairs of lines, names and values, such as
//
//	Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens …
//	Tcp: 1 200 120000 -1 1199 …
func parseNetstat(data []byte, counts map[string]float64) error {
	for len(data) > 0 {
		names, rest, err := cutLine(data)
		if err != nil {
			return err
		}
		values, rest, err := cutLine(rest)
		if err != nil {
			return err
		}
		data = rest
		protocol, names, ok := bytes.Cut(names, []byte(":"))
		again, values, too := bytes.Cut(values, []byte(":"))
		if !ok || !too || !bytes.Equal(protocol, again) {
			return malformed("no pair of lines", values)
		}
		if err := pair(string(protocol), bytes.Fields(names), bytes.Fields(values), counts); err != nil {
			return err
		}
	}
	return nil
}

func pair(protocol string, names, values [][]byte, counts map[string]float64) error {
	if len(names) != len(values) {
		return malformed("more names than values, or fewer", []byte(protocol))
	}
	for i := range names {
		n, ok := parseInt(values[i])
		if !ok {
			return malformed("not a number", values[i])
		}
		counts[protocol+"_"+string(names[i])] = n
	}
	return nil
}

// parseSNMP6 reads lines such as
//
//	Ip6InReceives                   	14
//	Icmp6OutMLDv2Reports            	4
func parseSNMP6(data []byte, counts map[string]float64) error {
	for len(data) > 0 {
		line, rest, err := cutLine(data)
		if err != nil {
			return err
		}
		data = rest
		key, value := cutField(line)
		six := bytes.IndexByte(key, '6')
		if six < 0 {
			continue // of no protocol
		}
		value, _ = cutField(value)
		n, ok := parseInt(value)
		if !ok {
			return malformed("not a number", line)
		}
		counts[string(key[:six+1])+"_"+string(key[six+1:])] = n
	}
	return nil
}

// parseInt reads what may be negative, or beyond what a signed number holds.
func parseInt(digits []byte) (float64, bool) {
	if n, ok := parseUint(digits); ok {
		return float64(n), true
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	return float64(n), err == nil && digits[0] == '-'
}
