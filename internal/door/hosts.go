package door

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// onlyKnown lets pass what asks for a name that this server is known by. That
// nobody else can reach an address is not enough: the name of a page from
// elsewhere can turn into 127.0.0.1 once it is loaded, and the browser then takes
// what is served here for the page's own. An IP address cannot be turned.
func (h *HTTP) onlyKnown(next http.Handler) http.Handler {
	if at, ok := h.listener.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.known((&url.URL{Host: r.Host}).Hostname()) {
			http.Error(w, fmt.Sprintf("Nobody here is called %.100q. Open %s, or say with --web.external-url that this name is the collector's.", r.Host, h.URL()), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (h *HTTP) known(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if _, err := netip.ParseAddr(host); err == nil || host == "" { // what is no browser may leave it out
		return true
	}
	return slices.ContainsFunc(append([]string{"localhost"}, h.opts.Names...), func(name string) bool { return strings.EqualFold(name, host) })
}
