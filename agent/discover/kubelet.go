package discover

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// How often kubelet is asked for its pods: soon after one has come that files do
// not name at once, then ever less often as long as kubelet does not either.
const (
	podsPatience = time.Second
	podsSoonest  = 2 * time.Second
	podsLatest   = time.Minute
	maxPodsBody  = 16 << 20
	maxToken     = 64 << 10
)

// kubelet asks the kubelet of this node for the names of its pods.
// https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/
type kubelet struct {
	url       string // of the list
	tokenFile string
	caFile    string
	out       *registry
	arrived   <-chan struct{}
	log       *slog.Logger

	connected atomic.Bool
	failures  atomic.Uint64
}

// newKubelet complains of an address that cannot be asked, or not safely.
func newKubelet(opts Options, out *registry) (*kubelet, error) {
	base, err := url.Parse(opts.KubeletURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("kubelet address: %w; give one such as https://node-1:10250", err)
	case base.Scheme != "https" && base.Scheme != "http" || base.Host == "":
		return nil, fmt.Errorf("kubelet address %q: give one such as https://node-1:10250", opts.KubeletURL)
	case base.Scheme == "http" && opts.KubeletTokenFile != "":
		return nil, fmt.Errorf("kubelet address %q: a token is sent over https only", opts.KubeletURL)
	}
	return &kubelet{
		url:       base.JoinPath("pods").String(),
		tokenFile: opts.KubeletTokenFile,
		caFile:    opts.KubeletCAFile,
		out:       out,
		arrived:   out.arrivals(),
		log:       opts.Log.With("kubelet", base.Redacted()),
	}, nil
}

// run asks until ctx ends. That kubelet does not answer is said once, not at
// each try.
func (k *kubelet) run(ctx context.Context) error {
	var turn podsTurn
	said := false
	for {
		if wait := time.Until(turn.next(time.Now(), k.out.nameless())); wait > 0 {
			if !k.sleep(ctx, wait) {
				return nil
			}
			continue // think again, as there may be others now
		}
		err := k.ask(ctx)
		turn.asked(time.Now())
		if ctx.Err() != nil {
			return nil
		}
		k.connected.Store(err == nil)
		switch {
		case err == nil && said:
			k.log.Info("kubelet answers again")
		case err != nil && !said:
			k.log.Warn("no kubelet to learn the names of pods from", "err", err)
		}
		said = err != nil
		if err != nil {
			k.failures.Add(1)
		}
	}
}

// podsTurn is when kubelet is asked again.
type podsTurn struct {
	last    time.Time // asked
	pause   time.Duration
	waiting []string  // cgroups without a name
	came    time.Time // when one of them was new
}

// next is when to ask, now that these cgroups have no name.
func (t *podsTurn) next(now time.Time, nameless []string) time.Time {
	if t.last.IsZero() {
		return now
	}
	for _, cgroup := range nameless {
		if _, ok := slices.BinarySearch(t.waiting, cgroup); !ok {
			t.pause, t.came = podsSoonest, now
			break
		}
	}
	t.waiting = nameless
	if len(nameless) == 0 {
		return t.last.Add(podsLatest)
	}
	soonest := t.came.Add(podsPatience)
	if next := t.last.Add(t.pause); next.After(soonest) {
		return next
	}
	return soonest
}

func (t *podsTurn) asked(now time.Time) {
	if !t.last.IsZero() {
		t.pause = min(2*max(t.pause, podsSoonest), podsLatest)
	}
	t.last = now
}

// sleep waits, at most until something appears; it returns false when ctx ended.
func (k *kubelet) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-k.arrived:
	}
	return true
}

// ask lists the pods once. Token and authority are read each time, as both are
// replaced while we run.
func (k *kubelet) ask(ctx context.Context) error {
	client, err := k.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, http.NoBody)
	if err != nil {
		return err
	}
	if k.tokenFile != "" {
		token, err := readSmall(k.tokenFile)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("list pods: kubelet answers %s; the token's account needs get on nodes/pods or nodes/proxy", answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxPodsBody+1))
	if err == nil && len(body) > maxPodsBody {
		err = errTooLarge
	}
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	pods, containers, err := parsePods(body)
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	k.out.listed(pods, containers)
	return nil
}

// client is one that trusts the authority now in the file, goes nowhere else
// when told to, and leaves nothing open.
func (k *kubelet) client() (*http.Client, error) {
	trusted := &tls.Config{MinVersion: tls.VersionTLS12}
	if k.caFile != "" {
		certificates, err := readSmall(k.caFile)
		if err != nil {
			return nil, err
		}
		trusted.RootCAs = x509.NewCertPool()
		if !trusted.RootCAs.AppendCertsFromPEM(certificates) {
			return nil, fmt.Errorf("%s: no certificate in it", k.caFile)
		}
	}
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: trusted, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("kubelet sends us elsewhere") },
	}, nil
}

func readSmall(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxToken))
}
