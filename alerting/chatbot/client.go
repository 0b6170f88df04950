package chatbot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/notify"
)

const (
	unreachable = "unreachable" // the verdict when there is no answer
	// maxAnswer bounds what is read of an answer. Those of bots are some 100
	// bytes.
	maxAnswer = 64 << 10
	// maxQuoted bounds what of a strange answer is quoted in an error.
	maxQuoted = 200
)

// channel is how a bot is reached by one of those who use it.
type channel struct {
	integration string // "dingtalk"
	format      string
	protocol    Protocol
	client      *http.Client
	timeout     time.Duration // of a post
	url         url.URL
	secret      string
}

// result is what became of a message.
type result struct {
	verdict string
	retry   bool // at once, rather than with the group's next flush
	busy    bool
	wait    time.Duration // that the bot asks for
	err     error         // with a notify.Reason; nil: taken
}

// post sends a message.
func (c *channel) post(ctx context.Context, m Message) result {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	target, payload := c.protocol.Request(c.url, c.secret, time.Now(), m)
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // "<" would take six bytes of a limited number
	if err := enc.Encode(payload); err != nil {
		return result{verdict: unreachable, err: fmt.Errorf("encode message: %w", err)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, &body)
	if err != nil {
		return result{verdict: unreachable, err: errors.New("the bot's URL is no URL")} // err quotes it
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", notify.UserAgentHeader)

	resp, err := c.client.Do(req)
	if err != nil {
		return c.unreached(ctx, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.unreached(ctx, err)
	}
	if resp.StatusCode/100 != 2 {
		return c.status(resp, text)
	}
	return c.answer(text)
}

func (c *channel) unreached(ctx context.Context, err error) result {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the rest of it is the URL
	}
	reason := notify.DefaultReason
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		reason, err = notify.ContextDeadlineExceededReason, fmt.Errorf("no answer within %v", c.timeout)
	}
	r := c.failed(result{verdict: unreachable, retry: true}, reason, "the bot cannot be reached: "+err.Error())
	r.err = notify.NewErrorWithReason(reason, caused{r.err, err})
	return r
}

// caused is an error that says less than its cause.
type caused struct {
	error
	cause error
}

// Unwrap lets callers see whether the bot may have got the message.
func (e caused) Unwrap() error { return e.cause }

// status judges an answer that is no success even by HTTP.
func (c *channel) status(resp *http.Response, text []byte) result {
	r := result{verdict: Refused.String(), wait: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	what := fmt.Sprintf("the bot answers with status %d: %s", resp.StatusCode, c.quote(text))
	switch {
	case resp.StatusCode/100 == 3:
		what = fmt.Sprintf("the bot answers with status %d, a redirect, which is not followed; write the bot's own URL", resp.StatusCode)
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable && r.wait > 0:
		r.verdict, r.retry, r.busy = Busy.String(), true, true
	case resp.StatusCode/100 == 5, resp.StatusCode == http.StatusRequestTimeout:
		r.verdict, r.retry = Unknown.String(), true
	}
	return c.failed(r, notify.GetFailureReasonFromStatusCode(resp.StatusCode), what)
}

func (c *channel) answer(text []byte) result {
	a := c.protocol.Answer(text)
	r := result{verdict: a.Verdict.String(), wait: a.Wait}
	switch a.Verdict {
	case Taken:
		return r
	case Busy:
		r.retry, r.busy = true, true
		return c.failed(r, notify.RateLimitedReason, fmt.Sprintf("the bot takes no more messages for now: code %d, %s", a.Code, a.Text))
	case Refused:
		return c.failed(r, notify.ClientErrorReason, fmt.Sprintf("the bot refuses the message: code %d, %s", a.Code, a.Text))
	default:
		return c.failed(r, notify.DefaultReason, "the bot gives an answer without a code: "+c.quote(text)+"; is this the URL of a "+c.integration+" bot?")
	}
}

func (c *channel) failed(r result, reason notify.Reason, what string) result {
	r.err = notify.NewErrorWithReason(reason, errors.New(c.hide(what)))
	return r
}

// hide takes the secrets out of a text that others had a part in.
func (c *channel) hide(text string) string {
	secrets := []string{c.url.String(), c.secret, path.Base(c.url.Path)}
	for _, values := range c.url.Query() {
		secrets = append(secrets, values...)
	}
	for _, s := range secrets {
		if len(s) >= 8 { // "send" is part of each URL and no secret
			text = strings.ReplaceAll(text, s, "<secret>")
		}
	}
	return text
}

// quote is the beginning of an answer. Secrets go first: half of one, where the
// text is cut, would not be found.
func (c *channel) quote(text []byte) string {
	return strconv.Quote(truncate(c.hide(string(text)), maxQuoted, UTF8Size))
}

// retryAfter reads the header: seconds, or a time. It is at most ten minutes,
// the longest that a platform is known to be cross.
func retryAfter(header string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(header); err == nil {
		wait = time.Duration(min(seconds, 3600)) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxPause)
}
