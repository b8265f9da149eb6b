package engine

import (
	"sync"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// item is a message on its way from a reader to its writer. Sequence numbers
// count the messages that one reader handed out, from 1.
type item struct {
	m    *core.Message
	seq  uint64
	size int64    // put notes it: a message that was released has none
	stat raw.Stat // of its rows
	keys *batch   // what its crossing knows it by; nil if it knows nothing

	tenure *tenure // of its vgroup; nil where the group is not shared
}

// queue is what a reader has read and its writer has not written. Its bytes
// include the message that is being written. Only the reader puts, only the
// writer takes. The bound is checked before a poll, so the queue holds at most
// its limit and one message, however big that is.
type queue struct {
	limit int64
	more  chan struct{} // one slot: something was put, or the queue was closed
	freed chan struct{} // one slot: something was written

	mu     sync.Mutex
	items  []item // from first on
	first  int
	bytes  int64
	closed bool
}

// compactAfter is how many items that were taken may stay in front of the rest.
const compactAfter = 64

func newQueue(limit int64) *queue {
	return &queue{limit: limit, more: make(chan struct{}, 1), freed: make(chan struct{}, 1)}
}

func (q *queue) room() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes < q.limit
}

func (q *queue) put(it item) {
	q.mu.Lock()
	it.size = it.m.Size()
	q.items = append(q.items, it)
	q.bytes += it.size
	q.mu.Unlock()
	signal(q.more)
}

// take returns the oldest item; ok is false if there is none now, and over is
// true if there never will be.
func (q *queue) take() (it item, ok, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == len(q.items) {
		return item{}, false, q.closed
	}
	it = q.items[q.first]
	q.items[q.first] = item{} // so that the message can be freed
	if q.first++; q.first == len(q.items) || q.first >= compactAfter {
		q.items, q.first = append(q.items[:0], q.items[q.first:]...), 0
	}
	return it, true, false
}

// written gives an item's bytes back.
func (q *queue) written(it item) {
	q.mu.Lock()
	q.bytes -= it.size
	q.mu.Unlock()
	signal(q.freed)
}

// close says that nothing more will be put.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	signal(q.more)
}

func (q *queue) size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
