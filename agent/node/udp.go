package node

import "errors"

// UDPQueues is what waits in all UDP sockets of the machine, in bytes.
type UDPQueues struct {
	Transmit4, Receive4 Number
	Transmit6, Receive6 Number // unknown where IPv6 is off
}

// UDPQueues reads /proc/net/udp and udp6, which takes as long as there are
// sockets: a millisecond per thousand.
func (r Roots) UDPQueues() (UDPQueues, error) {
	var q UDPQueues
	fs, err := r.netfs()
	if err != nil {
		return q, err
	}
	v4, err := fs.NetUDPSummary()
	if err == nil {
		q.Transmit4, q.Receive4 = Number{v4.TxQueueLength, true}, Number{v4.RxQueueLength, true}
	}
	v6, err6 := fs.NetUDP6Summary()
	if err6 == nil {
		q.Transmit6, q.Receive6 = Number{v6.TxQueueLength, true}, Number{v6.RxQueueLength, true}
	}
	if err != nil {
		return q, errors.Join(err, err6)
	}
	return q, nil
}
