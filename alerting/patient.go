package alerting

import (
	"context"
	"errors"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
)

// patient makes an integration try again when it is told to slow down. Most of
// Alertmanager's give up at status 429 until the group's next flush.
func patient(i notify.Integration, receiver string) notify.Integration {
	return notify.NewIntegration(retrying{&i}, &i, i.Name(), i.Index(), receiver)
}

type retrying struct{ *notify.Integration }

// Notify implements notify.Notifier.
func (r retrying) Notify(ctx context.Context, alerts ...*alert.Alert) (retry bool, err error) {
	retry, err = r.Integration.Notify(ctx, alerts...)
	var answer *notify.ErrorWithReason
	limited := errors.As(err, &answer) && answer.Reason == notify.RateLimitedReason
	return retry || limited, err
}
