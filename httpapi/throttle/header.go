package throttle

import (
	"strconv"
	"time"
)

// The header fields of draft-ietf-httpapi-ratelimit-headers-10, whose values are
// structured fields (RFC 9651): a policy's name as a string, with parameters.
const (
	PolicyHeader = "RateLimit-Policy" // "login";q=10;w=60
	LimitHeader  = "RateLimit"        // "login";r=3;t=42
)

// AppendPolicy appends the limiter's member of a RateLimit-Policy field to dst: the
// quota q is what may come at once, and the window w the seconds in which a bucket
// fills.
func (l *Limiter) AppendPolicy(dst []byte) []byte {
	dst = l.member(dst)
	dst = append(dst, ";q="...)
	dst = strconv.AppendInt(dst, int64(l.policy.Burst), 10)
	dst = append(dst, ";w="...)
	return strconv.AppendInt(dst, seconds(time.Duration(l.span)), 10)
}

// AppendLimit appends the limiter's member of a RateLimit field to dst: r is what is
// left, and t the seconds until all of it is there again.
func (l *Limiter) AppendLimit(dst []byte, v Verdict) []byte {
	dst = l.member(dst)
	dst = append(dst, ";r="...)
	dst = strconv.AppendInt(dst, int64(v.Remaining), 10)
	dst = append(dst, ";t="...)
	return strconv.AppendInt(dst, seconds(v.Full), 10)
}

// RetryAfter is the value of a Retry-After field (RFC 9110): whole seconds, rounded
// up, so that who keeps to it is not refused again.
func (v Verdict) RetryAfter() int64 { return max(1, seconds(v.Retry)) }

func (l *Limiter) member(dst []byte) []byte {
	dst = append(dst, '"')
	dst = append(dst, l.policy.Name...)
	return append(dst, '"')
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
