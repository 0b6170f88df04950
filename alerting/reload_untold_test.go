package alerting

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/notify"
)

// expired is a receiver whose token has run out.
type expired struct{}

func (expired) Notify(context.Context, ...*alert.Alert) (bool, error) {
	return false, errors.New("401 Unauthorized")
}

func TestAnEndThatAReceiverRefusedIsToldOnceTheConfigurationIsMended(t *testing.T) {
	during(t, "", func(o *office) {
		web := of("ContainerOOMKilled", "critical", "name", "web")
		inForce := o.am.now.Load().settings
		broken := inForce
		broken.receivers = map[string][]notify.Integration{"people": {notify.NewIntegration(expired{}, always{}, "test", 0, "people")}}
		o.fires(web)
		<-time.After(time.Second)
		o.hears("0s firing ContainerOOMKilled critical web")
		o.am.apply(broken)
		o.ends(web)
		<-time.After(2*gcInterval + time.Second)
		if left := o.am.firing(time.Time{}); len(left) != 0 {
			t.Fatalf("the store still has it: this proves nothing")
		}
		o.am.apply(inForce)
		<-time.After(time.Second)
		o.hears("10m2s resolved ContainerOOMKilled critical web")
		if left := o.am.roll.untold(); len(left) != 0 {
			t.Errorf("%v is still to be told", left)
		}
	})
}
