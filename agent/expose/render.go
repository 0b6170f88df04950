package expose

import (
	"io"

	"github.com/plimsoll-io/plimsoll/agent/sample"
)

// chunk is how much text is written at a time.
const chunk = 32 << 10

// render writes what v shows, a chunk at a time, so that a large exposition
// takes no more memory than a small one.
func (l *layout) render(w io.Writer, v *view, as format, withJob bool) error {
	v.buf = v.buf[:0]
	for _, f := range l.families {
		if err := f.render(w, v, as, withJob); err != nil {
			return err
		}
	}
	if as == openMetrics {
		v.buf = append(v.buf, "# EOF\n"...)
	}
	_, err := w.Write(v.buf)
	return err
}

// render writes a family, header first, unless nothing of it is shown.
func (f *family) render(w io.Writer, v *view, as format, withJob bool) error {
	begun := false
	for i := range f.lines {
		one := &f.lines[i]
		value := v.values[one.value]
		if !v.shown[one.group] || sample.IsAbsent(value) {
			continue
		}
		if !begun {
			v.buf = append(v.buf, f.header[as]...)
			begun = true
		}
		shared := v.groups[one.group].text.sansJob
		if withJob {
			shared = v.groups[one.group].text.withJob
		}
		v.buf = appendLine(v.buf, f.metric.Name, one.own, shared, value)
		if len(v.buf) >= chunk {
			if _, err := w.Write(v.buf); err != nil {
				return err
			}
			v.buf = v.buf[:0]
		}
	}
	return nil
}
