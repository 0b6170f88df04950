package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/go-kit/log"
	"github.com/thanos-io/objstore"
	"github.com/thanos-io/objstore/providers/filesystem"
	"github.com/thanos-io/objstore/providers/oss"
	"github.com/thanos-io/objstore/providers/s3"
	"go.yaml.in/yaml/v3"
)

// Bucket is an object storage.
type Bucket = objstore.Bucket

// bucketFile is the configuration of a bucket as all parts of Thanos read it:
// https://thanos.io/tip/thanos/storage.md.
type bucketFile struct {
	Type   string    `yaml:"type"`
	Config yaml.Node `yaml:"config"`
	Prefix string    `yaml:"prefix"`
}

// agentName is what a storage sees of us in its log.
const agentName = "plimsoll"

// OpenBucket reads a bucket's configuration from a file in Thanos' format and
// opens the bucket, without a request to it. Types are S3 (and whatever speaks
// its protocol), ALIYUNOSS and FILESYSTEM. Requests under way end with ctx. The
// caller closes the bucket.
func OpenBucket(ctx context.Context, file string) (Bucket, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of the bucket: %w", err)
	}
	b, err := openBucket(ctx, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return b, nil
}

func openBucket(ctx context.Context, data []byte) (Bucket, error) {
	var f bucketFile
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	settings, err := yaml.Marshal(&f.Config)
	if err != nil {
		return nil, err
	}
	leash := &leash{ctx: ctx}
	var b Bucket
	switch kind := objstore.ObjProvider(strings.ToUpper(f.Type)); kind {
	case objstore.FILESYSTEM:
		b, err = filesystem.NewBucketFromConfig(settings)
	case objstore.S3:
		b, err = s3.NewBucket(log.NewNopLogger(), settings, agentName, leash.hold)
	case objstore.ALIYUNOSS:
		b, err = oss.NewBucket(log.NewNopLogger(), settings, agentName, leash.hold)
	case "":
		return nil, errors.New("it names no type; write type: S3, ALIYUNOSS or FILESYSTEM, and config: below it")
	default:
		return nil, fmt.Errorf("type %q is not one of S3, ALIYUNOSS and FILESYSTEM; "+
			"most storages speak S3's protocol, for the others run Thanos' sidecar, which knows more", f.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("bucket of type %s: %w", f.Type, err)
	}
	return leashed{objstore.NewPrefixedBucket(b, f.Prefix), leash}, nil
}

// leash ends requests with a context: the library for OSS takes none along.
type leash struct {
	ctx  context.Context
	next http.RoundTripper
}

func (l *leash) hold(next http.RoundTripper) http.RoundTripper {
	l.next = next
	return l
}

// RoundTrip implements http.RoundTripper.
func (l *leash) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(l.ctx, cancel)
	release := func() { stop(); cancel() }
	resp, err := l.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		release()
		return nil, err
	}
	resp.Body = &heldBody{resp.Body, release}
	return resp, nil
}

// heldBody lets go once an answer has been read.
type heldBody struct {
	io.ReadCloser
	release func()
}

// Close implements io.Closer.
func (b *heldBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}

// leashed closes its connections with the bucket.
type leashed struct {
	Bucket
	leash *leash
}

// Close implements io.Closer.
func (b leashed) Close() error {
	err := b.Bucket.Close()
	if idle, ok := b.leash.next.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
	return err
}
