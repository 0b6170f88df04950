package alerting

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/api"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/route"
)

const (
	// retention is how long expired silences and the memory of what was told
	// are kept. It must exceed every repeat_interval.
	retention = 120 * time.Hour
	// saveInterval is how often both are written to disk besides at the end.
	saveInterval = 5 * time.Minute
	// drain is how long notifications under way may take when their pipeline
	// ends.
	drain = 2 * time.Second
	// gcInterval is how often resolved alerts are forgotten.
	gcInterval = 5 * time.Minute
	// tidyInterval is how often the dispatcher drops groups without alerts.
	tidyInterval = 30 * time.Second
	// maxPerName and maxGroups bound a storm. What is beyond is counted as
	// alertmanager_alerts_limited_total and
	// alertmanager_dispatcher_aggregation_group_limit_reached_total.
	maxPerName = 5_000
	maxGroups  = 20_000
)

// alertmanager is Alertmanager without its main package. What lives as long as
// the process is made once; what follows from the configuration is in inForce.
type alertmanager struct {
	log     *slog.Logger
	reg     prometheus.Registerer
	metrics *metrics
	flags   featurecontrol.Flagger

	sent        *nflog.Log
	silences    *silence.Silences
	roll        *roll
	kept        map[kind]*kept
	journals    *journalMetrics
	silencer    *silence.Silencer
	groups      marker.GroupMarker
	pipelines   *notify.PipelineBuilder
	dispatching *dispatch.DispatcherMetrics
	recorder    *recorder
	gossip      *gossip       // nil unless there is another collector
	touched     chan struct{} // asks for a look at silences
	trials      trials

	life    context.Context // that of what outlives Run's by a moment; from start on
	alerts  *mem.Alerts
	api     *api.API
	now     atomic.Pointer[inForce]
	handler atomic.Pointer[http.Handler]
	saving  sync.WaitGroup
	save    chan struct{} // closed: save for the last time
}

// inForce is what follows from a configuration.
type inForce struct {
	settings   settings
	inhibitor  *inhibit.Inhibitor
	dispatcher *dispatch.Dispatcher
	sending    *gate
	apart      *apart
	loops      sync.WaitGroup
}

// unrecorded is an event recorder that is off.
var unrecorded eventrecorder.Recorder

func newAlertmanager(opts Options, m *metrics) (*alertmanager, error) {
	am := &alertmanager{
		log:     opts.Log.With("component", "alertmanager"),
		reg:     opts.Registerer,
		metrics: m,
		flags:   featurecontrol.NoopFlags{},
		groups:  marker.NewGroupMarker(),
		save:    make(chan struct{}),
	}
	var err error
	am.sent, err = nflog.New(nflog.Options{Retention: retention, Logger: am.log, Metrics: am.reg})
	if err != nil {
		return nil, err
	}
	am.silences, err = silence.New(silence.Options{Retention: retention, Logger: am.log, Metrics: am.reg})
	if err != nil {
		return nil, err
	}
	if err := am.remember(opts.DataDir); err != nil {
		return nil, err
	}
	am.silencer = silence.NewSilencer(am.silences, am.log, unrecorded)
	am.pipelines = notify.NewPipelineBuilder(am.reg, am.flags, unrecorded)
	am.dispatching = dispatch.NewDispatcherMetrics(true, am.reg, am.flags)
	am.touched = make(chan struct{}, 1)
	if am.recorder, err = newRecorder(opts); err != nil {
		return nil, err
	}
	return am, nil
}

// remember reads what an earlier process has left, and registers its metrics.
func (am *alertmanager) remember(dir string) (err error) {
	if am.journals, err = newJournalMetrics(am.reg); err != nil {
		return err
	}
	am.roll = newRoll(am.journals.dropped)
	am.kept = map[kind]*kept{}
	for _, k := range []struct {
		kind  kind
		state keepable
		split func([]byte) [][]byte
		loss  string
	}{
		{kindSilences, am.silences, delimited, "all silences are gone"},
		{kindSent, am.sent, delimited, "what fires now is told once more"},
		{kindAlerts, am.roll, lines, "what has ended by now is not told to have"},
	} {
		am.kept[k.kind], err = newKept(k.kind, k.state, k.split, dir, am.log, am.journals)
		if err != nil {
			return fmt.Errorf("read %s in %s: %w; make it readable, or move it away, but then %s", k.kind, dir, err, k.loss)
		}
	}
	return nil
}

// start opens the store of alerts and the API over it.
func (am *alertmanager) start(ctx context.Context) error {
	am.life = context.WithoutCancel(ctx)
	err := am.keep()
	if err != nil {
		return err
	}
	am.alerts, err = mem.NewAlerts(am.life, gcInterval, maxPerName, enrolling{storing{am.silencer, am.recorder}, am.roll}, am.log, unrecorded, am.reg, am.flags)
	if err != nil {
		return err
	}
	am.api, err = api.New(api.Options{
		Alerts:          am.alerts,
		Silences:        am.silences,
		GroupMutedFunc:  am.groups.Muted,
		GroupFunc:       am.alertGroups,
		Logger:          am.log,
		Registry:        am.reg,
		RequestDuration: am.metrics.requests,
	})
	if err != nil {
		am.alerts.Close()
		am.keepNoMore()
		return err
	}
	am.recorder.start()
	if am.gossip != nil {
		am.gossip.start()
	}
	am.saving.Go(func() { am.look(am.save) })
	if am.gossip == nil {
		am.kept[kindSent].settle(am.journals.unknown)
	}
	sent, silences, alerts := am.kept[kindSent], am.kept[kindSilences], am.kept[kindAlerts]
	am.saving.Go(func() { am.sent.Maintenance(saveInterval, sent.path, am.save, sent.save) })
	am.saving.Go(func() { am.silences.Maintenance(saveInterval, silences.path, am.save, silences.save) })
	am.saving.Go(func() { alerts.maintain(saveInterval, am.save) })
	return am.restore(am.life)
}

// keep begins to write down what changes.
func (am *alertmanager) keep() error {
	for _, c := range am.kept {
		if err := c.start(); err != nil {
			am.keepNoMore()
			return err
		}
	}
	return nil
}

func (am *alertmanager) keepNoMore() {
	for _, c := range am.kept {
		c.close()
	}
}

// apply brings a configuration into force. Nothing in it can fail. Between the
// end of the old dispatcher and the start of the new one alerts only gather.
func (am *alertmanager) apply(s settings) {
	if old := am.now.Load(); old != nil {
		old.stop()
		am.remind()
	}
	next := &inForce{settings: s, inhibitor: inhibit.NewInhibitor(am.alerts, s.conf.InhibitRules, am.log, unrecorded)}
	receivers := am.kept[kindSent].noted(am.recorder.watch(s.receivers))
	next.apart = newApart(am.life, am.pipelines.New(
		receivers,
		func() time.Duration { return 0 }, // what there is to wait for, inTurn does
		next.inhibitor,
		am.silencer,
		s.intervals,
		am.groups,
		timely{am.sent, am.kept[kindSent]},
		am.peer(),
	), receivers, s.routes, am.metrics.slow)
	next.sending = newGate(am.life, telling{roll: am.roll, alerts: am.alerts, routes: s.routes, Stage: inTurn{am: am, receivers: s.receivers, Stage: watching{groups: am.groups, recorder: am.recorder, Stage: next.apart}}})
	next.dispatcher = dispatch.NewDispatcher(
		am.alerts,
		s.routes,
		next.sending,
		am.groups,
		func(d time.Duration) time.Duration { return max(d, notify.MinTimeout) + am.patience() },
		tidyInterval,
		limits{},
		am.log,
		unrecorded,
		am.dispatching,
		s.tmpl,
	)

	// The inhibitor first knows all alerts, then the dispatcher starts: else it
	// would tell what is about to be inhibited.
	next.loops.Go(next.inhibitor.Run)
	next.inhibitor.WaitForLoading()
	next.loops.Go(func() { next.dispatcher.Run(time.Now()) })
	next.dispatcher.WaitForLoading()
	am.now.Store(next)

	am.api.Update(s.conf, func(ctx context.Context, lset model.LabelSet) { am.muted(ctx, lset) })
	am.metrics.inhibitionRules.Set(float64(len(s.conf.InhibitRules)))
	am.metrics.watchdog.Set(0)
	if expectsWatchdog(s.routes, s.receivers) {
		am.metrics.watchdog.Set(1)
	}
	am.metrics.receivers.Set(float64(len(s.receivers)))
	integrations := 0
	for _, list := range s.receivers {
		integrations += len(list)
	}
	am.metrics.integrations.Set(float64(integrations))
	if am.handler.Load() == nil {
		var h http.Handler = am.api.Register(route.New(), "/")
		am.handler.Store(&h)
	}
}

func (f *inForce) stop() {
	f.dispatcher.Stop()
	var ending sync.WaitGroup
	ending.Go(func() { f.sending.close(drain) })
	ending.Go(func() { f.apart.close(drain) })
	ending.Wait()
	f.inhibitor.Stop()
	f.loops.Wait()
}

// stop ends all that start and apply started and saves for the last time, after
// the last notification was logged.
func (am *alertmanager) stop() {
	am.handler.Store(nil) // a silence made from here on would not be saved
	if f := am.now.Load(); f != nil {
		f.stop()
	}
	if am.gossip != nil {
		am.gossip.stop()
	}
	am.alerts.Close()
	close(am.save)
	am.saving.Wait()
	am.keepNoMore()
	am.recorder.end()
}

// muted tells whether a silence or another alert holds back one with these
// labels, and notes by which in ctx if the API asked for that.
func (am *alertmanager) muted(ctx context.Context, lset model.LabelSet) bool {
	inhibited := am.now.Load().inhibitor.Mutes(ctx, lset)
	return am.silencer.Mutes(ctx, lset) || inhibited
}

func (am *alertmanager) alertGroups(
	ctx context.Context, routes func(*dispatch.Route) bool, alerts func(*alert.Alert, time.Time) bool,
) (dispatch.AlertGroups, map[model.Fingerprint][]string, error) {
	return am.now.Load().dispatcher.Groups(ctx, routes, alerts)
}

func (am *alertmanager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := am.handler.Load()
	switch {
	case !strings.HasPrefix(r.URL.Path, "/api/v2/"):
		http.NotFound(w, r)
	case h == nil:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "alerting is not running, try again in a second", http.StatusServiceUnavailable)
	case r.URL.Path == statusPath:
		serveStatus(*h, w, r)
	default:
		am.acknowledged(*h, w, r)
		if r.Method != http.MethodGet {
			am.touch() // a silence may have come or gone
		}
	}
}

// limits bounds the dispatcher.
type limits struct{}

func (limits) MaxNumberOfAggregationGroups() int { return maxGroups }
