// Package statsd takes metrics in StatsD's format, with DogStatsD's tags, by UDP
// or a Unix datagram socket. It promises that a steady stream of datagrams costs
// no memory, and that a sender on the Unix socket is who the kernel says it is.
//
//	requests:1|c                    counter, requests_total: what is added up
//	requests:1|c|@0.1               …sent for one in ten: counts as 10
//	queue.depth:12|g                gauge, queue_depth; +3 and -3 move it
//	render:320|ms|#page:cart        histogram, render_seconds{page="cart"}
//	body:512|h, body:512|d          histogram, body, in whatever unit that is
//	users:alice|s                   gauge, users: how many distinct in 15 ticks
//
// Several lines may be in a datagram, and several values in a line, as in
// render:320:290|ms. What is fixed here where StatsD leaves it open:
//
//   - A counter is what was added since the agent saw it first, in one series
//     that only grows, not a number for each flush. It begins at 0, one tick
//     before its first value.
//   - A gauge keeps its value; one that was only ever moved began at 0. What is
//     silent for 5 minutes ends, a gauge that was moved after an hour, as nobody
//     else knows its value; and all that a container sent when it leaves.
//   - Timers become histograms in seconds, so that those of many nodes can be
//     added up and quantiles come out of PromQL. A sampled timer counts 1/rate
//     times, which need not be whole.
//   - A sampling rate of a gauge or set means nothing.
//   - Characters that Prometheus does not allow in names become underscores. A
//     tag without a value has the value "true"; a tag that occurs twice has
//     both values, with a semicolon between.
//   - Events, service checks and samples with times of their own are not taken.
//     The container that a DogStatsD client says it is in is not believed.
package statsd
