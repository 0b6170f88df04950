package expose

import (
	"io"
	"net/http"
	"time"

	"github.com/klauspost/compress/gzip"
)

// ServeHTTP answers a scrape, in OpenMetrics if the client would rather have
// that than the text format, compressed if it can.
//
// With ?job=cadvisor, or several of those, it shows only the series of these
// jobs and leaves out the label, as if it were those exporters:
//
//   - job_name: cadvisor
//     params: {job: [cadvisor]}
//
// Time for slow clients is bounded where the server allows it, as net/http's
// own does.
func (e *Exposition) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "metrics can only be read: use GET", http.StatusMethodNotAllowed)
		return
	}
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	default:
		e.refused.Add(1)
		http.Error(w, "too many scrapes at a time: scrape less often or from fewer servers", http.StatusServiceUnavailable)
		return
	}
	e.scrapes.Add(1)
	// An error means that the server knows no deadlines; then its own hold.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(e.opts.Timeout))
	if err := e.answer(w, r); err != nil {
		e.cut.Add(1)
	}
}

// answer fails only if the client is gone or too slow.
func (e *Exposition) answer(w http.ResponseWriter, r *http.Request) error {
	as := text
	if prefersOpenMetrics(r.Header["Accept"]) {
		as = openMetrics
	}
	compressed := acceptsGzip(r.Header["Accept-Encoding"])
	h := w.Header()
	h.Set("Content-Type", as.contentType())
	h.Set("Vary", "Accept, Accept-Encoding")
	if compressed {
		h.Set("Content-Encoding", "gzip")
	}
	if r.Method == http.MethodHead {
		return nil
	}

	v := e.views.Get().(*view)
	defer e.put(v)
	jobs := r.URL.Query()["job"]
	e.look(v, jobs)
	l := e.layoutOf(v)
	withJob := len(jobs) == 0 && !e.opts.DropJob
	if !compressed {
		return l.render(w, v, as, withJob)
	}
	z := e.compressors.Get().(*gzip.Writer)
	z.Reset(w)
	defer e.compressors.Put(z)
	if err := l.render(z, v, as, withJob); err != nil {
		return err
	}
	return z.Close()
}

// newCompressor returns one of the lowest level; higher ones take longer and
// make such text no smaller. It takes half as long as that of the standard
// library, with which a scrape would cost more than reading what it shows.
func newCompressor() *gzip.Writer {
	z, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // no such level
	}
	return z
}
