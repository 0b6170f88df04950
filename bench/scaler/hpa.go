package scaler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/scale"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	"k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"

	"github.com/plimsoll-io/plimsoll/internal/faults"
)

// What kube-controller-manager runs the controller with, unless it is told
// otherwise.
const (
	hpaSync          = 15 * time.Second
	hpaTolerance     = 0.1
	hpaInitial       = 5 * time.Minute  // in which CPU of a pod that is not ready is left out
	hpaReadyDelay    = 30 * time.Second // in which a pod counts as never ready yet
	metricsInterval  = 15 * time.Second // of metrics-server
	hpaStabilisation = 5 * time.Minute
)

// HPA is Kubernetes' own controller over a cluster in memory. It lives in a
// testing/synctest bubble, whose clock is the plant's.
type HPA struct {
	window time.Duration // for which it waits before it shrinks
	signal faults.Signal // what it goes by
	plant  Plant

	client *fake.Clientset
	cancel context.CancelFunc
	ended  chan struct{}
	pods   map[int]bool // that the cluster has, and whether they are ready

	mu       sync.Mutex
	desired  int
	scraped  scrape
	before   scrape
	custom   metrics.PodMetricsInfo // for a metric of each pod
	external []int64                // for a metric of all of them
	absent   bool                   // there is no such deployment
}

// scrape is what metrics-server read at a time: core seconds of each pod.
type scrape struct {
	at  time.Time
	cpu map[string]float64
}

const (
	namespace  = "shop"
	deployment = "web"
)

func podName(id int) string { return deployment + "-" + strconv.Itoa(id) }

// NewHPA is an HPA that does not run yet: its first Step starts it.
func NewHPA(p Plant, window time.Duration) *HPA {
	return &HPA{window: window, signal: faults.CPU, plant: p, pods: make(map[int]bool)}
}

// Step lets the time until now go by, with all the controller does in it, and
// returns how many replicas it has come to ask for.
func (h *HPA) Step(now time.Time, v View) int {
	if h.client != nil {
		<-time.After(time.Until(now))
		synctest.Wait()
	}
	h.mu.Lock()
	h.desired = v.Desired
	if !v.Dark && now.Sub(h.scraped.at) >= metricsInterval {
		h.before, h.scraped = h.scraped, scrape{now, make(map[string]float64)}
		for _, r := range v.Replicas {
			if !v.Silent[r.ID] {
				h.scraped.cpu[podName(r.ID)] = r.CPU
			}
		}
	}
	h.mu.Unlock()
	if h.client != nil {
		h.sync(v)
		synctest.Wait()
	}
	<-time.After(step / 2) // the controller's own times are between the plant's
	synctest.Wait()
	if h.client == nil {
		h.start()
		h.sync(v)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.desired
}

// start runs the controller with the defaults of Kubernetes.
func (h *HPA) start() {
	klog.SetLogger(logr.Discard())
	// One of the handlers sleeps for as long as the last error, which is known by
	// the clock outside the bubble, is in the future: 26 years.
	utilruntime.ErrorHandlers = nil
	least := int32(h.plant.Min)
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: deployment, Namespace: namespace},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: deployment},
			MinReplicas:    &least, MaxReplicas: int32(h.plant.Max),
			Metrics: []autoscalingv2.MetricSpec{h.metric()},
		},
	}
	h.client = fake.NewSimpleClientset(hpa)
	events := &fake.Clientset{}
	events.AddReactor("*", "events", func(clienttesting.Action) (bool, runtime.Object, error) { return true, &corev1.Event{}, nil })
	apps := schema.GroupVersion{Group: "apps", Version: "v1"}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{apps})
	mapper.Add(apps.WithKind("Deployment"), meta.RESTScopeNamespace)

	var ctx context.Context
	ctx, h.cancel = context.WithCancel(context.Background())
	h.ended = make(chan struct{})
	shared := informers.NewSharedInformerFactory(h.client, 0)
	controller := podautoscaler.NewHorizontalController(
		ctx, events.CoreV1(), scales{h}, h.client.AutoscalingV2(), mapper, served{h},
		shared.Autoscaling().V2().HorizontalPodAutoscalers(), shared.Core().V1().Pods(),
		hpaSync, h.window, hpaTolerance, hpaInitial, hpaReadyDelay,
	)
	shared.Start(ctx.Done())
	shared.WaitForCacheSync(ctx.Done())
	go func() {
		defer close(h.ended)
		controller.Run(ctx, 1)
		shared.Shutdown()
	}()
}

// metric is what the HPA goes by, to the same target in each case.
func (h *HPA) metric() autoscalingv2.MetricSpec {
	named := autoscalingv2.MetricIdentifier{Name: "load"}
	cores := resource.NewMilliQuantity(int64(1000*h.plant.Target), resource.DecimalSI)
	each := autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: cores}
	switch h.signal {
	case faults.Average:
		return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{Metric: named, Target: each}}
	case faults.Total:
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{Metric: named, Target: each}}
	case faults.CPU:
	}
	share := int32(100*h.plant.Target/h.plant.Limit + 0.5)
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name:   corev1.ResourceCPU,
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &share},
	}}
}

// Close ends the controller and waits for it.
func (h *HPA) Close() {
	if h.client == nil {
		return
	}
	h.cancel()
	<-h.ended
	h.client = nil
	clear(h.pods)
}

// sync makes the cluster's pods equal to the plant's replicas.
func (h *HPA) sync(v View) {
	ctx := context.Background()
	pods := h.client.CoreV1().Pods(namespace)
	there := make(map[int]bool, len(v.Replicas))
	for _, r := range v.Replicas {
		there[r.ID] = true
		ready := !r.Ready.IsZero()
		was, known := h.pods[r.ID]
		var err error
		switch {
		case !known:
			_, err = pods.Create(ctx, h.pod(r, ready), metav1.CreateOptions{})
		case was != ready:
			_, err = pods.UpdateStatus(ctx, h.pod(r, ready), metav1.UpdateOptions{})
		}
		if err != nil {
			panic(err) // of an API server in this memory
		}
		h.pods[r.ID] = ready
	}
	for id := range h.pods {
		if !there[id] {
			if err := pods.Delete(ctx, podName(id), metav1.DeleteOptions{}); err != nil {
				panic(err)
			}
			delete(h.pods, id)
		}
	}
	h.client.ClearActions() // or it remembers them all
}

// pod is as a kubelet reports it: it runs while it boots, but is not ready.
func (h *HPA) pod(r Replica, ready bool) *corev1.Pod {
	condition := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(r.Asked)}
	if ready {
		condition.Status, condition.LastTransitionTime = corev1.ConditionTrue, metav1.NewTime(r.Ready)
	}
	began := metav1.NewTime(r.Asked)
	cores := *resource.NewMilliQuantity(int64(1000*h.plant.Limit), resource.DecimalSI)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: podName(r.ID), Namespace: namespace, Labels: map[string]string{"app": deployment}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name:      deployment,
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: cores}, Limits: corev1.ResourceList{corev1.ResourceCPU: cores}},
		}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &began, Conditions: []corev1.PodCondition{condition}},
	}
}

// served is the metrics API: CPU over the time between the last two scrapes, of
// those pods that were in both.
type served struct{ *HPA }

var errAbsent = errors.New("deployments.apps web not found")

var errNoMetrics = errors.New("no metrics known for pods")

func (s served) GetResourceMetric(context.Context, corev1.ResourceName, string, labels.Selector, string) (metrics.PodMetricsInfo, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	window := s.scraped.at.Sub(s.before.at)
	info := make(metrics.PodMetricsInfo, len(s.scraped.cpu))
	for pod, cpu := range s.scraped.cpu {
		if was, ok := s.before.cpu[pod]; ok && cpu >= was {
			info[pod] = metrics.PodMetric{Timestamp: s.scraped.at, Window: window, Value: int64(1000 * (cpu - was) / window.Seconds())}
		}
	}
	// What is old is gone, and a rate over a gap would be of the gap: metrics-server
	// is given the benefit of the doubt, and says nothing.
	if time.Since(s.scraped.at) > 2*metricsInterval || window > 2*metricsInterval {
		clear(info)
	}
	if len(info) == 0 {
		return nil, time.Time{}, errNoMetrics
	}
	return info, s.scraped.at, nil
}

// GetRawMetric is the custom metrics API.
func (s served) GetRawMetric(string, string, labels.Selector, labels.Selector) (metrics.PodMetricsInfo, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.custom) == 0 {
		return nil, time.Time{}, errNoMetrics
	}
	return maps.Clone(s.custom), time.Now(), nil
}

func (served) GetObjectMetric(name, _ string, _ *autoscalingv2.CrossVersionObjectReference, _ labels.Selector) (int64, time.Time, error) {
	return 0, time.Time{}, fmt.Errorf("no object metric %s", name)
}

// GetExternalMetric is the external metrics API, whose client takes an empty answer
// for an error.
func (s served) GetExternalMetric(string, string, labels.Selector) ([]int64, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.external) == 0 {
		return nil, time.Time{}, errNoMetrics
	}
	return slices.Clone(s.external), time.Now(), nil
}

// scales is the scale subresource of the one deployment there is.
type scales struct{ *HPA }

var _ scale.ScalesGetter = scales{}

func (s scales) Scales(string) scale.ScaleInterface { return s }

func (s scales) Get(context.Context, schema.GroupResource, string, metav1.GetOptions) (*autoscalingv1.Scale, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.absent {
		return nil, errAbsent
	}
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: deployment, Namespace: namespace},
		Spec:       autoscalingv1.ScaleSpec{Replicas: int32(s.desired)},
		Status:     autoscalingv1.ScaleStatus{Replicas: int32(s.desired), Selector: "app=" + deployment},
	}, nil
}

func (s scales) Update(_ context.Context, _ schema.GroupResource, to *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.desired = int(to.Spec.Replicas)
	return to, nil
}

func (scales) Patch(context.Context, schema.GroupVersionResource, string, types.PatchType, []byte, metav1.PatchOptions) (*autoscalingv1.Scale, error) {
	return nil, errors.New("nobody patches a scale here")
}
