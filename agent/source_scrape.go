package agent

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/plimsoll-io/plimsoll/agent/cgroup"
	"github.com/plimsoll-io/plimsoll/agent/discover"
	"github.com/plimsoll-io/plimsoll/agent/sample"
	"github.com/plimsoll-io/plimsoll/agent/scrape"
	"github.com/plimsoll-io/plimsoll/internal/lifecycle"
)

// ScrapeOptions say which containers' own metrics are read and what that may
// cost.
type ScrapeOptions struct {
	Root string // of the control groups; "/sys/fs/cgroup" if empty
	Proc string // of the node; "/proc" if empty
	// Containers are those there are now, and a number that changes when they
	// do. It is called at every tick and must not wait.
	Containers func() (version uint64, list []discover.Container)
	Labels     []string      // as in CgroupOptions
	Jobs       Jobs          // which no container's series get
	Interval   time.Duration // of the agent's ticks; 1 s if 0
	Lanes      Lanes         // third: what scraping does itself

	HostNetwork bool // scrape containers on the node's own network too
	NodeSeries  int  // of all containers; 50,000 if 0
	Log         *slog.Logger
}

// ScrapeSource reads the metrics that containers expose themselves where their
// labels ask for it, as scrape.ParseLabels has them. It has them read by the
// loop, which is to run as long as the agent.
func ScrapeSource(opts ScrapeOptions) (Source, lifecycle.Loop, error) {
	if opts.Containers == nil {
		return nil, lifecycle.Loop{}, errors.New("a scrape source needs to be told of containers")
	}
	fs, err := cgroup.New(cgroup.Options{Root: opts.Root})
	if err != nil {
		return nil, lifecycle.Loop{}, err
	}
	s, err := newScrapeSource(opts, fs.Processes)
	if err != nil {
		fs.Close()
		return nil, lifecycle.Loop{}, err
	}
	s.close = fs.Close
	return s, lifecycle.Loop{Name: s.Name(), Run: s.scraper.Run}, nil
}

// scrapeSource follows the containers that are scraped.
type scrapeSource struct {
	opts    ScrapeOptions
	scraper *scrape.Scraper
	close   func()
	crew    crew[scraped]
	looked  uint64          // version of the containers whose labels were read last
	report  []sample.Series // of a container
	health  *sample.Group
}

// scraped is what is kept of a container. The zero scraped is one that does not
// ask to be scraped.
type scraped struct {
	labels  []sample.Label // of its series
	spec    scrape.Spec
	mistake string
	target  *scrape.Target

	report *sample.Group   // up and how scrapes go; nil before the first
	groups []*sample.Group // of its own series, that are in batches
	held   []sample.Column // for the next tick; of their groups some may be in groups too
}

// Positions in a report.
const (
	scrapeUp = iota
	scrapeDuration
	scrapeScraped
	scrapeKept
)

// maxScrapeProcesses is how many processes of a container are tried until one
// tells its network.
const maxScrapeProcesses = 16

func newScrapeSource(opts ScrapeOptions, processes func(dst []int, group string, limit int) ([]int, error)) (*scrapeSource, error) {
	opts.Interval = cmp.Or(opts.Interval, time.Second)
	if opts.Labels == nil {
		opts.Labels = DefaultContainerLabels()
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	var mu sync.Mutex // a cgroup.FS is for one goroutine
	scraper, err := scrape.New(scrape.Options{
		Processes: func(group string) ([]int, error) {
			mu.Lock()
			defer mu.Unlock()
			return processes(nil, group, maxScrapeProcesses)
		},
		Proc: opts.Proc, HostNetwork: opts.HostNetwork, NodeSeries: opts.NodeSeries, Log: opts.Log,
	})
	if err != nil {
		return nil, err
	}
	s := &scrapeSource{opts: opts, scraper: scraper, close: func() {}}
	s.crew = crew[scraped]{
		containers: opts.Containers,
		naming:     newNaming(opts.Labels),
		came:       s.came,
		left:       func(c *scraped, b *sample.Batch) { c.leave(b) },
	}
	s.report = []sample.Series{
		scrapeUp:       {Metric: &sample.Metric{Name: "up", Help: "1 if the target could be scraped, 0 if not; its own series are absent then.", Type: sample.Gauge}},
		scrapeDuration: {Metric: &sample.Metric{Name: "scrape_duration_seconds", Help: "How long the scrape took.", Type: sample.Gauge, Unit: "seconds", Divisor: 1e6}},
		scrapeScraped:  {Metric: &sample.Metric{Name: "scrape_samples_scraped", Help: "Samples that the target exposed.", Type: sample.Gauge}},
		scrapeKept:     {Metric: &sample.Metric{Name: "scrape_samples_post_metric_relabeling", Help: "Samples that were within all bounds.", Type: sample.Gauge}},
	}
	s.health = scrapeHealth(max(opts.Lanes.Third, 1))
	return s, nil
}

func (s *scrapeSource) Name() string { return "scrape" }

// Close gives back all descriptors. It is not for while the loop runs.
func (s *scrapeSource) Close() error {
	s.close()
	return nil
}

// Collect adds what scrapes have brought since the last tick.
func (s *scrapeSource) Collect(_ context.Context, b *sample.Batch) error {
	s.crew.update(b)
	if s.looked != s.crew.version {
		s.looked = s.crew.version
		for c, kept := range s.crew.all {
			s.look(c, kept, b)
		}
	}
	for _, kept := range s.crew.all {
		s.collect(kept, b)
	}
	if due(s.opts.Lanes.Third, b.Tick, 0) {
		s.addHealth(b)
	}
	return nil
}

// came makes what is kept of a container. Its target is made when all have been
// looked at: not here, where the container that had its place may not have left
// yet.
func (s *scrapeSource) came(c *discover.Container, labels []sample.Label) scraped {
	s.looked = s.crew.version - 1
	own := slices.Clone(labels)
	for i := range own {
		if own[i].Name == "job" {
			own[i].Value = s.crew.naming.clean(scrapeJob(c, s.opts.Jobs))
		}
	}
	return scraped{labels: own}
}

// look begins to scrape a container that asks for it, and ends it when it
// asks for something else.
func (s *scrapeSource) look(c *discover.Container, kept *scraped, b *sample.Batch) {
	if c.Kind != discover.Workload {
		return
	}
	spec, ok, err := scrape.ParseLabels(c.Labels)
	if err != nil {
		if text := err.Error(); text != kept.mistake {
			kept.mistake = text
			s.scraper.Mistake()
			s.opts.Log.Warn("container is not scraped for what its labels say", "container", c.Name, "err", err)
		}
	} else {
		kept.mistake = ""
	}
	if ok && kept.target != nil && spec == kept.spec {
		return
	}
	kept.leave(b)
	if ok {
		kept.spec = spec
		kept.target = s.scraper.Add(c.Cgroup, spec, kept.labels, s.ticks(spec.Interval))
	}
}

// ticks is how many ticks there are at most from one result to the next.
func (s *scrapeSource) ticks(interval time.Duration) uint64 {
	return uint64((interval+s.opts.Interval-1)/s.opts.Interval) + 1
}

// leave ends what is kept of a container.
func (c *scraped) leave(b *sample.Batch) {
	if c.target == nil {
		return
	}
	c.target.Stop()
	end(b, c.groups...)
	if c.report != nil {
		b.End(c.report)
	}
	c.target, c.groups, c.held, c.report = nil, nil, nil, nil
}

func (s *scrapeSource) collect(c *scraped, b *sample.Batch) {
	if c.target == nil {
		return
	}
	if c.held != nil {
		c.add(c.held, b)
		c.held = nil
		return
	}
	u, ok := c.target.Take()
	if !ok {
		return
	}
	end(b, u.Ended...)
	if u.Renewed {
		c.groups = slices.DeleteFunc(c.groups, func(g *sample.Group) bool { return slices.Contains(u.Ended, g) })
		c.held = u.Columns
	} else {
		c.add(u.Columns, b)
	}
	if c.report == nil {
		c.report = &sample.Group{Labels: c.labels, Series: s.report, Every: s.ticks(c.spec.Interval)}
	}
	v := b.Add(c.report)
	v[scrapeUp] = 0
	if u.Up {
		v[scrapeUp] = 1
	}
	v[scrapeDuration] = u.Duration.Truncate(time.Microsecond).Seconds()
	v[scrapeScraped], v[scrapeKept] = float64(u.Scraped), float64(u.Kept)
}

func (c *scraped) add(columns []sample.Column, b *sample.Batch) {
	c.groups = c.groups[:0]
	for _, column := range columns {
		copy(b.Add(column.Group), column.Values)
		c.groups = append(c.groups, column.Group)
	}
}

// scrapeJob is what the series of a container have as job: its service, or its
// own name. The jobs of what the agent reads itself are not for what containers
// say; there is no telling them apart by anything else.
func scrapeJob(c *discover.Container, own Jobs) string {
	var job string
	switch service := c.Labels["com.docker.compose.service"]; {
	case c.Labels["com.docker.swarm.service.name"] != "":
		job = c.Labels["com.docker.swarm.service.name"]
	case service != "":
		job = c.Labels["com.docker.compose.project"] + "/" + service
	case c.ContainerName != "":
		job = c.Namespace + "/" + c.ContainerName
	default:
		job = cmp.Or(c.Name, c.ID, c.Cgroup)
	}
	containers, _, _ := strings.Cut(own.Containers, ",")
	switch job {
	case "cadvisor", "node-exporter", "dcgm-exporter", containers, own.Node, own.GPU:
		return "scraped/" + job
	}
	if strings.HasPrefix(job, "plimsoll") {
		return "scraped/" + job
	}
	return job
}

// Positions in the health group, before the counts by reason.
const (
	scrapeTargets = iota
	scrapeSeries
	scrapeCounts
)

func scrapeHealth(lane uint64) *sample.Group {
	g := &sample.Group{
		Labels: []sample.Label{{Name: "job", Value: "plimsoll-agent"}},
		Series: []sample.Series{
			scrapeTargets: {Metric: &sample.Metric{Name: "plimsoll_agent_scrape_targets", Help: "Containers that are scraped.", Type: sample.Gauge}},
			scrapeSeries:  {Metric: &sample.Metric{Name: "plimsoll_agent_scrape_series", Help: "Series of all targets, with those gone a short while ago.", Type: sample.Gauge}},
		},
		Every: lane,
	}
	add := func(name, help string, reasons []scrape.Reason) {
		m := &sample.Metric{Name: name, Help: help, Type: sample.Counter}
		for _, r := range reasons {
			g.Series = append(g.Series, sample.Series{Metric: m, Labels: []sample.Label{{Name: "reason", Value: r.String()}}})
		}
	}
	// In the order of the reasons themselves.
	add("plimsoll_agent_scrape_failed_total", "Scrapes that gave nothing.", scrape.Failures())
	add("plimsoll_agent_scrape_dropped_total", "Samples that were left out of scrapes.", scrape.Drops())
	add("plimsoll_agent_scrape_refused_total", "Containers, and for want of a slot single scrapes, that were not asked for their metrics.", scrape.Refusals())
	return g
}

func (s *scrapeSource) addHealth(b *sample.Batch) {
	stats := s.scraper.Stats()
	v := b.Add(s.health)
	v[scrapeTargets], v[scrapeSeries] = float64(stats.Targets), float64(stats.Series)
	for r, n := range stats.Counts {
		v[scrapeCounts+r] = float64(n)
	}
}
