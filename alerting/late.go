package alerting

import (
	"context"

	"github.com/prometheus/prometheus/storage"
)

// late is a store that takes what rules record however late it comes. The rule
// manager asks that such samples be dropped; but a gap is filled, and a clock that
// was set back goes on, with samples that are older than others.
type late struct{ storage.Appendable }

// Appender implements storage.Appendable.
func (l late) Appender(ctx context.Context) storage.Appender {
	return lateAppender{l.Appendable.Appender(ctx)}
}

type lateAppender struct{ storage.Appender }

// SetOptions implements storage.Appender.
func (lateAppender) SetOptions(*storage.AppendOptions) {}
