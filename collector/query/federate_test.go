package query_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	config_util "github.com/prometheus/common/config"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"

	"github.com/plimsoll-io/plimsoll/collector/query"
	"github.com/plimsoll-io/plimsoll/collector/store"
)

// federated is an API over samples of now.
func federated(t *testing.T) http.Handler {
	t.Helper()
	opts := options(t)
	app := opts.Store.(*store.Store).AppenderV2(context.Background())
	now := time.Now().Add(-time.Second)
	put := func(ago time.Duration, v float64, h *histogram.Histogram, pairs ...string) {
		t.Helper()
		if _, err := app.Append(0, labels.FromStrings(pairs...), 0, now.Add(-ago).UnixMilli(), v, h, nil, storage.AOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	put(time.Minute, 1, nil, "__name__", "b", "instance", "i")
	put(0, 2, nil, "__name__", "b", "instance", "i")
	put(0, 3, nil, "__name__", "a", "plimsoll_cluster", "own")
	put(4*time.Minute, 4, nil, "__name__", "a", "l", `x"y`)
	put(6*time.Minute, 5, nil, "__name__", "old")
	put(time.Minute, 6, nil, "__name__", "ended")
	put(0, math.Float64frombits(value.StaleNaN), nil, "__name__", "ended")
	put(0, 0, &histogram.Histogram{
		Schema: 1, Count: 3, Sum: 5, ZeroThreshold: 0.5, ZeroCount: 1,
		PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{2},
	}, "__name__", "h")
	put(0, 0, &histogram.Histogram{
		Schema: histogram.CustomBucketsSchema, Count: 6, Sum: 9, CustomValues: []float64{1, 2, 5},
		PositiveSpans: []histogram.Span{{Length: 1}, {Offset: 1, Length: 2}}, PositiveBuckets: []int64{2, 1, -2},
	}, "__name__", "explicit")
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	opts.ExternalLabels = labels.FromStrings("plimsoll_cluster", "eu")
	return makeAPI(t, opts)
}

func federate(api http.Handler, accept string, match ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, query.FederationPath+"?"+url.Values{"match[]": match}.Encode(), nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

func TestTheLatestSampleOfEachSeriesIsGivenAway(t *testing.T) {
	w := federate(federated(t), "", `{__name__=~"a|ended|h|old"}`, "b")
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "#") {
			fields = fields[:len(fields)-1] // the time
		}
		lines = append(lines, strings.Join(fields, " "))
	}
	want := []string{
		"# TYPE a untyped",
		`a{l="x\"y",plimsoll_cluster="eu",instance=""} 4`,
		`a{plimsoll_cluster="own",instance=""} 3`,
		"# TYPE b untyped",
		`b{instance="i",plimsoll_cluster="eu"} 2`,
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("%s\n%s", w.Header(), w.Body)
	}
}

func TestNativeHistogramsAreGivenAwayInProtobuf(t *testing.T) {
	w := federate(federated(t), `application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited`, "h")
	var family dto.MetricFamily
	decoder := expfmt.NewDecoder(bytes.NewReader(w.Body.Bytes()), expfmt.NewFormat(expfmt.TypeProtoDelim))
	if err := decoder.Decode(&family); err != nil {
		t.Fatal(err)
	}
	h := family.GetMetric()[0].GetHistogram()
	if family.GetType() != dto.MetricType_HISTOGRAM || h.GetSampleCountFloat() != 3 || h.GetSchema() != 1 || len(h.GetPositiveSpan()) != 1 || h.GetPositiveCount()[0] != 2 {
		t.Errorf("%v", &family)
	}
	if err := decoder.Decode(&family); !errors.Is(err, io.EOF) {
		t.Errorf("more than one family, or %v", err)
	}
}

func TestHistogramsOfExplicitBucketsAreGivenAwayInAnyFormat(t *testing.T) {
	api := federated(t)
	text := federate(api, "", "explicit").Body.String()
	for _, want := range []string{`_bucket{plimsoll_cluster="eu",instance="",le="1"} 2 `, `le="2"} 2 `, `le="5"} 5 `, `le="+Inf"} 6 `, "explicit_sum", "explicit_count"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	if binary := federate(api, `application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited`, "explicit"); binary.Body.Len() == 0 {
		t.Error("nothing in protobuf")
	}
}

func TestFederationSaysWhatIsMissing(t *testing.T) {
	api := federated(t)
	for name, match := range map[string][]string{"no selector": nil, "an empty one": {"{}"}, "a typo": {"a{"}, "an expression": {"a+b"}} {
		if w := federate(api, "", match...); w.Code != bad || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// Prometheus' own client reads both representations.
func TestRemoteReadGivesTheStoresSamples(t *testing.T) {
	server := httptest.NewServer(federated(t))
	defer server.Close()
	address, err := url.Parse(server.URL + query.Prefix + "/read")
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range map[string]prompb.ReadRequest_ResponseType{"samples": prompb.ReadRequest_SAMPLES, "chunks": prompb.ReadRequest_STREAMED_XOR_CHUNKS} {
		t.Run(name, func(t *testing.T) {
			client := newReader(t, address, kind)
			asked, err := remote.ToQuery(time.Now().Add(-time.Hour).UnixMilli(), time.Now().UnixMilli(),
				[]*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "b")}, nil)
			if err != nil {
				t.Fatal(err)
			}
			set, err := client.Read(t.Context(), asked, true)
			if err != nil {
				t.Fatal(err)
			}
			samples := 0
			for set.Next() {
				if got := set.At().Labels().String(); got != `{__name__="b", instance="i", plimsoll_cluster="eu"}` {
					t.Errorf("read %s", got)
				}
				for it := set.At().Iterator(nil); it.Next() != 0; {
					samples++
				}
			}
			if set.Err() != nil || samples != 2 {
				t.Errorf("%d samples, error %v", samples, set.Err())
			}
		})
	}
}

// elsewhere is what must not be read for others.
type elsewhere struct{}

func (elsewhere) Querier(int64, int64) (storage.Querier, error) { return nil, errElsewhere }

func (elsewhere) ChunkQuerier(int64, int64) (storage.ChunkQuerier, error) { return nil, errElsewhere }

var errElsewhere = errors.New("this lies elsewhere")

func TestOnlyTheStoresOwnIsGivenAway(t *testing.T) {
	opts := options(t)
	app := opts.Store.(*store.Store).AppenderV2(context.Background())
	if _, err := app.Append(0, labels.FromStrings("__name__", "own"), 0, time.Now().Add(-time.Second).UnixMilli(), 1, nil, nil, storage.AOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	opts.Queryable = elsewhere{}
	api := makeAPI(t, opts)
	if w := ask(api, http.MethodGet, "/query", "query=own"); !strings.Contains(w.Body.String(), errElsewhere.Error()) {
		t.Errorf("a query reads the store alone: %s", w.Body)
	}
	if w := federate(api, "", "own"); !strings.Contains(w.Body.String(), "own{") {
		t.Errorf("federation: %s", w.Body)
	}
	server := httptest.NewServer(api)
	defer server.Close()
	address, err := url.Parse(server.URL + query.Prefix + "/read")
	if err != nil {
		t.Fatal(err)
	}
	asked, err := remote.ToQuery(0, time.Now().UnixMilli(), []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "own")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set, err := newReader(t, address, prompb.ReadRequest_SAMPLES).Read(t.Context(), asked, true)
	if err != nil || !set.Next() {
		t.Errorf("remote read: nothing, error %v", err)
	}
}

func newReader(t *testing.T, address *url.URL, kind prompb.ReadRequest_ResponseType) remote.ReadClient {
	t.Helper()
	client, err := remote.NewReadClient("test", &remote.ClientConfig{
		URL: &config_util.URL{URL: address}, Timeout: model.Duration(time.Minute), ChunkedReadLimit: 1 << 20,
		AcceptedResponseTypes: []prompb.ReadRequest_ResponseType{kind},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.(*remote.Client).Client.CloseIdleConnections)
	return client
}
