package discover

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func podList(t testing.TB) []byte {
	t.Helper()
	list, err := os.ReadFile("testdata/pods.json")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestParsePods(t *testing.T) {
	pods, containers, err := parsePods(podList(t))
	if err != nil {
		t.Fatal(err)
	}
	web := about{
		Labels: map[string]string{"app": "web"}, kube: kube{namespace: "shop", pod: "web-6d4b75cb6d-w4b72"},
		Created: instant("2026-11-20T09:00:00Z"), Started: instant("2026-11-20T09:00:01Z"),
	}
	if got := pods[podUID]; !got.equal(web) {
		t.Errorf("pod %+v, want %+v", got, web)
	}
	if got := pods["a5363f4f31e043bdae3c93aca4991903"]; got.kube.pod != "etcd-minikube" || len(pods) != 3 {
		t.Errorf("static pod %+v of %d; want it under its hash too", got, len(pods))
	}
	nginx := about{Runtime: "containerd", Image: "shop/web:7", Started: instant("2026-11-20T09:00:03Z"), kube: web.kube}
	nginx.kube.container = "nginx"
	if got := containers[criID]; !got.equal(nginx) || len(containers) != 2 {
		t.Errorf("container %+v of %d, want %+v", got, len(containers), nginx)
	}
}

func FuzzParsePods(f *testing.F) {
	f.Add(podList(f))
	f.Add([]byte(`{"items":[{},{"metadata":{"name":"a","uid":"b"},"status":{"containerStatuses":[{"containerID":"x://"},null]}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		pods, containers, err := parsePods(body)
		for uid, p := range pods {
			if err != nil || !isPodUID(uid) || p.kube.pod == "" {
				t.Errorf("pod %q: %+v, error %v", uid, p, err)
			}
		}
		for id := range containers {
			if !isHash(id) {
				t.Errorf("container %q", id)
			}
		}
	})
}

// node is a kubelet as a test wants it.
type node struct {
	*httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
	opts   Options
}

func startNode(t *testing.T) *node {
	t.Helper()
	n := &node{}
	list := podList(t)
	n.says(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/pods" || r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write(list)
	})
	n.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.asked.Add(1)
		(*n.answer.Load())(w, r)
	}))
	t.Cleanup(n.Close)
	dir := t.TempDir()
	n.opts = Options{KubeletURL: n.URL, KubeletTokenFile: filepath.Join(dir, "token"), KubeletCAFile: filepath.Join(dir, "ca")}
	for name, text := range map[string]string{
		n.opts.KubeletTokenFile: "secret\n",
		n.opts.KubeletCAFile:    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.Certificate().Raw})),
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func (n *node) says(h http.HandlerFunc) { n.answer.Store(&h) }

func TestKubeletNamesPodsWithoutFiles(t *testing.T) {
	n := startNode(t)
	opts := n.opts
	opts.RootFS, opts.CgroupRoot = t.TempDir(), hierarchyOf(t, podDir+"/"+criID)
	w := start(t, opts)
	eventually(t, "the names", func() bool {
		_, list := w.Containers()
		return len(list) == 2 && list[0].Known && list[1].Known && w.Stats().KubeletConnected
	})
	_, list := w.Containers()
	pod, container := list[0], list[1]
	if pod.Kind != Pod || pod.PodName != "web-6d4b75cb6d-w4b72" || pod.Namespace != "shop" || pod.ContainerName != "" || pod.Labels["app"] != "web" || pod.Image != "" {
		t.Errorf("pod %+v", pod)
	}
	if container.Kind != Workload || container.ContainerName != "nginx" || container.PodName != pod.PodName || container.Image != "shop/web:7" || container.Runtime != "containerd" {
		t.Errorf("container %+v", container)
	}
}

func TestAKubeletThatFailsIsCountedAndAskedAgain(t *testing.T) {
	elsewhere := startNode(t)
	for name, wrong := range map[string]func(*node){
		"refuses the token": func(n *node) { n.opts.KubeletTokenFile = n.opts.KubeletCAFile },
		"is not who it says it is": func(n *node) {
			if err := os.WriteFile(n.opts.KubeletCAFile, foreignAuthority(t), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"has an authority that is no certificate": func(n *node) { n.opts.KubeletCAFile = n.opts.KubeletTokenFile },
		"has a token that is not there":           func(n *node) { n.opts.KubeletTokenFile += ".gone" },
		"sends us elsewhere":                      func(n *node) { n.says(http.RedirectHandler(elsewhere.URL, http.StatusFound).ServeHTTP) },
		"answers with nonsense":                   func(n *node) { n.says(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{")) }) },
		"answers without end": func(n *node) {
			n.says(func(w http.ResponseWriter, _ *http.Request) {
				for _, err := w.Write([]byte(`{"items":[`)); err == nil; {
					_, err = w.Write(make([]byte, 1<<20))
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			wrong(n)
			opts := n.opts
			opts.RootFS, opts.CgroupRoot = t.TempDir(), hierarchyOf(t, podDir+"/"+criID)
			w := start(t, opts)
			eventually(t, "a failure", func() bool { return w.Stats().KubeletFailures > 0 })
			eventually(t, "the pod all the same", has(w, podDir, podDir+"/"+criID))
			if s := w.Stats(); s.KubeletConnected {
				t.Error("it counts as connected")
			}
		})
	}
	if n := elsewhere.asked.Load(); n != 0 {
		t.Errorf("asked elsewhere %d times", n)
	}
}

// foreignAuthority is a certificate that has signed nothing here.
func foreignAuthority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
}

func TestKubeletIsAskedSoonForTheNamelessAndSeldomOtherwise(t *testing.T) {
	var turn podsTurn
	begin := time.Unix(1_800_000_000, 0)
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	if got := turn.next(begin, nil); got.After(begin) {
		t.Errorf("first asked at %v", got)
	}
	turn.asked(begin)
	for _, step := range []struct {
		now      float64
		nameless []string
		want     float64
	}{
		{0.1, nil, 60},
		{5, []string{"/a"}, 6},               // files may tell within a second
		{5.5, nil, 60},                       // and have
		{10, []string{"/a", "/b"}, 11},       // others
		{11, []string{"/a", "/b"}, 11},       // asked, in vain
		{11.5, []string{"/a", "/b"}, 15},     // 2 s doubled
		{12, []string{"/a", "/b", "/c"}, 13}, // another, 2 s after the last
		{13.5, []string{"/b", "/c"}, 13},     // asked
		{13.6, []string{"/b"}, 17.5},
	} {
		got := turn.next(at(step.now), step.nameless)
		if !got.Equal(at(step.want)) {
			t.Errorf("at %v: next at %v, want %v", step.now, got.Sub(begin), step.want)
		}
		if !got.After(at(step.now)) {
			turn.asked(at(step.now))
		}
	}
	waiting := []string{"/a"}
	asked, now := 0, at(100)
	for end := now.Add(time.Hour); now.Before(end); asked++ {
		turn.asked(now)
		now = turn.next(now, waiting)
	}
	if asked > 70 {
		t.Errorf("asked %d times an hour for what kubelet does not know", asked)
	}
}

func TestKubeletAddressesThatAreWrong(t *testing.T) {
	root := hierarchyOf(t)
	for name, opts := range map[string]Options{
		"no scheme":              {KubeletURL: "node-1:10250"},
		"another scheme":         {KubeletURL: "unix:///run/kubelet.sock"},
		"no host":                {KubeletURL: "https://"},
		"a token without secret": {KubeletURL: "http://127.0.0.1:10255", KubeletTokenFile: "/token"},
	} {
		opts.CgroupRoot = root
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), "kubelet") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := New(Options{CgroupRoot: root, KubeletURL: "http://127.0.0.1:10255"}); err != nil {
		t.Errorf("the read-only port: %v", err)
	}
}
