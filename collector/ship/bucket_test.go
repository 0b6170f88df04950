package ship

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// cloud is an object storage that speaks as much of S3 and of OSS as a bucket
// needs: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html.
type cloud struct {
	mu      sync.Mutex
	objects map[string][]byte
	hang    chan struct{} // if not nil, requests wait for it
	asked   chan struct{}
}

func newCloud(t *testing.T) (*cloud, string) {
	t.Helper()
	c := &cloud{objects: map[string][]byte{}, asked: make(chan struct{}, 100)}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return c, strings.TrimPrefix(s.URL, "http://")
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.hang != nil {
		c.asked <- struct{}{}
		select {
		case <-c.hang:
		case <-r.Context().Done():
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/bbb"), "/")
	switch {
	case r.Method == http.MethodPut:
		c.objects[key] = body(r)
		w.Header().Set("ETag", etag(c.objects[key]))
	case r.Method == http.MethodDelete:
		delete(c.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case key == "":
		c.list(w, r)
	default:
		data, ok := c.objects[key]
		if !ok {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>not there</Message></Error>`)
			return
		}
		w.Header().Set("ETag", etag(data))
		w.Header().Set("Last-Modified", "Sat, 21 Nov 2026 12:00:00 GMT")
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(data)
		}
	}
}

func etag(data []byte) string { return fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(data))) }

// body reads what is put, unpacking the signed pieces that S3 clients send where
// there is no TLS.
func body(r *http.Request) []byte {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		data, _ := io.ReadAll(r.Body)
		return data
	}
	var data []byte
	for in := bufio.NewReader(r.Body); ; {
		line, err := in.ReadString('\n')
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, bad := strconv.ParseInt(size, 16, 64)
		if err != nil || bad != nil || n == 0 {
			return data
		}
		piece := make([]byte, n+2) // and a line's end
		_, _ = io.ReadFull(in, piece)
		data = append(data, piece[:n]...)
	}
}

func (c *cloud) list(w http.ResponseWriter, r *http.Request) {
	type entry struct {
		Key          string
		Size         int
		LastModified string
		ETag         string
	}
	type prefix struct{ Prefix string }
	var answer struct {
		XMLName        xml.Name `xml:"ListBucketResult"`
		Name           string
		Prefix         string
		MaxKeys        int
		IsTruncated    bool
		Contents       []entry
		CommonPrefixes []prefix
	}
	q := r.URL.Query()
	answer.Name, answer.Prefix, answer.MaxKeys = "bbb", q.Get("prefix"), 1000
	for _, key := range slices.Sorted(maps.Keys(c.objects)) {
		rest, ok := strings.CutPrefix(key, answer.Prefix)
		if !ok {
			continue
		}
		if at := strings.Index(rest, "/"); q.Get("delimiter") == "/" && at >= 0 {
			p := prefix{answer.Prefix + rest[:at+1]}
			if !slices.Contains(answer.CommonPrefixes, p) {
				answer.CommonPrefixes = append(answer.CommonPrefixes, p)
			}
			continue
		}
		answer.Contents = append(answer.Contents, entry{key, len(c.objects[key]), "2026-11-21T12:00:00.000Z", etag(c.objects[key])})
	}
	w.Header().Set("Content-Type", "application/xml")
	data, _ := xml.Marshal(answer)
	_, _ = w.Write(data)
}

// save writes what the cloud holds below a prefix into a directory.
func (c *cloud) save(t *testing.T, prefix string) string {
	t.Helper()
	dir := t.TempDir()
	for key, data := range c.objects {
		name, ok := strings.CutPrefix(key, prefix)
		if !ok {
			t.Errorf("object %s is outside %s", key, prefix)
		}
		at := filepath.Join(dir, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(at), 0o750))
		must(t, os.WriteFile(at, data, 0o600))
	}
	return dir
}

func s3File(endpoint string) string {
	return "type: S3\nprefix: fleet/a\nconfig:\n  bucket: bbb\n  endpoint: " + endpoint +
		"\n  region: us-east-1\n  insecure: true\n  access_key: AK\n  secret_key: SK\n  bucket_lookup_type: path\n"
}

func ossFile(endpoint string) string {
	return "type: ALIYUNOSS\nprefix: fleet/a\nconfig:\n  bucket: bbb\n  endpoint: http://" + endpoint +
		"\n  access_key_id: AK\n  access_key_secret: SK\n"
}

func TestEachKindOfBucketIsCopiedTo(t *testing.T) {
	for kind, file := range map[string]func(string) string{"S3": s3File, "ALIYUNOSS": ossFile} {
		t.Run(kind, func(t *testing.T) {
			c, endpoint := newCloud(t)
			config := filepath.Join(t.TempDir(), "bucket.yml")
			must(t, os.WriteFile(config, []byte(file(endpoint)), 0o600))
			bucket, err := OpenBucket(t.Context(), config)
			must(t, err)
			defer func() { must(t, bucket.Close()) }()

			dir := t.TempDir()
			a, b := writeBlock(t, dir, 100, 2), writeBlock(t, dir, 102, 2)
			s := newShipper(t, dir, bucket)
			mustRound(t, s)
			exactly(t, c.save(t, "fleet/a/"), 4*perHr*series)

			// Without its file, it asks the bucket what is there.
			merge(t, dir, a, b)
			must(t, os.Remove(filepath.Join(dir, StateFile)))
			mustRound(t, newShipper(t, dir, bucket))
			exactly(t, c.save(t, "fleet/a/"), 4*perHr*series)

			// What was begun of a block that is gone is removed.
			gone := writeBlock(t, t.TempDir(), 104, 2)
			id := filepath.Base(gone)
			c.objects["fleet/a/"+id+"/chunks/000001"] = []byte("x")
			c.objects["fleet/a/"+id+"/index"] = []byte("x")
			must(t, os.WriteFile(filepath.Join(dir, StateFile), []byte(`{"version":1,"plimsoll_uploading":["`+id+`"]}`), 0o600))
			mustRound(t, newShipper(t, dir, bucket))
			exactly(t, c.save(t, "fleet/a/"), 4*perHr*series)
		})
	}
}

func TestAHangingBucketDoesNotOutliveItsContext(t *testing.T) {
	for kind, file := range map[string]func(string) string{"S3": s3File, "ALIYUNOSS": ossFile} {
		t.Run(kind, func(t *testing.T) {
			c, endpoint := newCloud(t)
			c.hang = make(chan struct{})
			defer close(c.hang)
			ctx, cancel := context.WithCancel(t.Context())
			bucket, err := openBucket(ctx, []byte(file(endpoint)))
			must(t, err)
			defer func() { must(t, bucket.Close()) }()
			dir := t.TempDir()
			writeBlock(t, dir, 100, 2)
			s := newShipper(t, dir, bucket)
			ended := make(chan error)
			go func() { ended <- s.Run(ctx) }()
			select {
			case <-c.asked:
			case <-time.After(20 * time.Second):
				t.Error("the bucket was not asked")
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFileThatNamesNoBucketSaysWhy(t *testing.T) {
	tests := map[string]struct{ file, says string }{
		"empty":             {"", "names no type"},
		"no YAML":           {"type: [", "yaml"},
		"an unknown key":    {"type: S3\nconfigs: {}\n", "line 2: field configs not found"},
		"an unknown type":   {"type: GCS\nconfig: {}\n", `"GCS" is not one of S3, ALIYUNOSS and FILESYSTEM`},
		"no directory":      {"type: FILESYSTEM\nconfig: {}\n", "missing directory"},
		"no config":         {"type: FILESYSTEM\n", "missing directory"},
		"a mistake below":   {"type: S3\nconfig:\n  buckets: b\n", "field buckets not found"},
		"nothing below S3":  {"type: s3\n", "no s3 endpoint"},
		"nothing below OSS": {"type: ALIYUNOSS\n", "aliyun oss"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := openBucket(t.Context(), []byte(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want one that says %q", err, tt.says)
			}
		})
	}
}

func TestSecretsOfTheBucketAreNotInErrors(t *testing.T) {
	_, endpoint := newCloud(t)
	for _, file := range []string{s3File(endpoint) + "  no_such: x\n", ossFile("127.0.0.1:1")} {
		bucket, err := openBucket(t.Context(), []byte(strings.ReplaceAll(file, "SK", "hush")))
		if err == nil {
			err = bucket.Upload(t.Context(), "x", strings.NewReader("x"))
			_ = bucket.Close()
		}
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("error %v", err)
		}
	}
}

func FuzzOpenBucket(f *testing.F) {
	for _, seed := range []string{s3File("127.0.0.1:1"), ossFile("127.0.0.1:1"), "type: FILESYSTEM\nconfig:\n  directory: /x\n", "type: &a [*a]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		if bytes.Contains(bytes.ToLower(data), []byte("sse")) || bytes.Contains(data, []byte("file")) {
			return // they name files to read
		}
		if b, err := openBucket(context.Background(), data); err == nil {
			_ = b.Close()
		}
	})
}
