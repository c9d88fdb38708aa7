package delivery

import (
	"container/heap"
	"time"
)

// ages finds the oldest open item without a look at all of them: a scrape of metrics
// must not hold up whoever adds one.
type ages struct {
	heap  ageHeap // open items, and some that have ended
	ended map[place]struct{}
}

// place is an item without its time.
type place struct {
	line [16]byte
	n    uint32
}

func placeOf(item Item) place { return place{item.Line, item.N} }

func (a *ages) add(item Item) {
	if _, again := a.ended[placeOf(item)]; again { // a replay of one that is still in the heap
		a.forgetEnded()
	}
	heap.Push(&a.heap, item)
}

// end takes an open item out, for now by a note only.
func (a *ages) end(item Item) {
	if a.ended == nil {
		a.ended = map[place]struct{}{}
	}
	a.ended[placeOf(item)] = struct{}{}
	if len(a.ended) > 1000 && len(a.ended) > len(a.heap)/2 {
		a.forgetEnded()
	}
}

// forgetEnded takes out of the heap what has ended.
func (a *ages) forgetEnded() {
	open := a.heap[:0]
	for _, item := range a.heap {
		if _, ended := a.ended[placeOf(item)]; !ended {
			open = append(open, item)
		}
	}
	clear(a.ended)
	a.heap = open
	heap.Init(&a.heap)
}

func (a *ages) oldest() time.Time {
	for len(a.heap) > 0 {
		first := placeOf(a.heap[0])
		if _, ended := a.ended[first]; !ended {
			return a.heap[0].OpenedAt
		}
		delete(a.ended, first)
		heap.Pop(&a.heap)
	}
	return time.Time{}
}

type ageHeap []Item

func (h ageHeap) Len() int           { return len(h) }
func (h ageHeap) Less(i, j int) bool { return h[i].OpenedAt.Before(h[j].OpenedAt) }
func (h ageHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *ageHeap) Push(x any)        { *h = append(*h, x.(Item)) }
func (h *ageHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
