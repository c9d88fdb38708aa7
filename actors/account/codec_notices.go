package account

import "encoding/binary"

func (e *NoticeQueued) append(dst []byte) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(e.N)), byte(e.Channel))
	return appendString(appendString(dst, e.Name), e.Body)
}

func (e *NoticeQueued) read(r *reader) {
	e.N, e.Channel, e.Name, e.Body = r.uint32(), Channel(r.byte()), r.string(), r.string()
}

func (e *NoticeLost) append(dst []byte) []byte {
	return appendString(append(binary.AppendUvarint(dst, uint64(e.N)), byte(e.Channel)), e.Name)
}

func (e *NoticeLost) read(r *reader) {
	e.N, e.Channel, e.Name = r.uint32(), Channel(r.byte()), r.string()
}

func (e *NoticeSettled) append(dst []byte) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(e.N)), byte(e.State))
	return appendString(binary.AppendUvarint(dst, uint64(e.Attempts)), e.Problem)
}

func (e *NoticeSettled) read(r *reader) {
	e.N, e.State, e.Attempts, e.Problem = r.uint32(), NoticeState(r.byte()), r.uint32(), r.string()
}

func (e *NoticeReplayed) append(dst []byte) []byte {
	return appendString(binary.AppendUvarint(dst, uint64(e.N)), e.By)
}

func (e *NoticeReplayed) read(r *reader) { e.N, e.By = r.uint32(), r.string() }

// append writes the outbox: number of the next, lost, and the notices after their
// count, each as number, channel and state (1 byte each), name, body, times of the
// act, of opening and of settling (signed), attempts and problem.
func (o *Outbox) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(o.Next))
	dst = binary.AppendUvarint(dst, uint64(o.Lost))
	dst = binary.AppendUvarint(dst, uint64(len(o.Notices)))
	for _, n := range o.Notices {
		dst = append(binary.AppendUvarint(dst, uint64(n.N)), byte(n.Channel), byte(n.State))
		dst = appendString(appendString(dst, n.Name), n.Body)
		for _, t := range [...]Time{n.At, n.OpenedAt, n.SettledAt} {
			dst = binary.AppendVarint(dst, int64(t))
		}
		dst = appendString(binary.AppendUvarint(dst, uint64(n.Attempts)), n.Problem)
	}
	return dst
}

func readOutbox(r *reader) *Outbox {
	o := &Outbox{Next: r.uint32(), Lost: r.uint32()}
	count := r.uvarint()
	if count > MaxUndelivered+MaxDelivered || o.Next < 2 {
		r.fail("notice count out of range")
	}
	for last := uint32(0); count > 0 && r.err == nil; count-- {
		n := &Notice{N: r.uint32(), Channel: Channel(r.byte()), State: NoticeState(r.byte()), Name: r.string(), Body: r.string()}
		n.At, n.OpenedAt, n.SettledAt = Time(r.varint()), Time(r.varint()), Time(r.varint())
		n.Attempts, n.Problem = r.uint32(), r.string()
		if n.State == 0 || n.State >= numNoticeStates {
			r.fail("unknown state of a notice")
			break
		}
		if n.N <= last || n.N >= o.Next || n.Channel == 0 || n.Channel >= numChannels {
			r.fail("a notice out of order, or of an unknown channel")
		}
		if n.State == NoticeOpen && (n.SettledAt != 0 || n.Attempts != 0 || n.Problem != "") {
			r.fail("an open notice that is settled")
		}
		last = n.N
		o.add(n)
	}
	if o.count(NoticeOpen)+o.count(NoticeFailed) > MaxUndelivered || o.count(NoticeDelivered) > MaxDelivered {
		r.fail("notice count out of range")
	}
	if r.err != nil {
		return nil
	}
	return o
}
