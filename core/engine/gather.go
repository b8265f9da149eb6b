package engine

import (
	"errors"
	"time"

	"tdreplica/core"
)

// gatherRows is how many rows a message is to have: four times what servers
// gather by themselves. That takes a seventh off the CPU time that all of the
// servers, their adapters and this process need for a row (docs/performance.md);
// sixteen times as many takes off no more.
const gatherRows = 4 * 4096

// errNarrow ends a pump in order so that the next one reads smaller messages.
var errNarrow = errors.New("fewer rows are read at once: they are wide")

// rowsPerMessage is what a subscription asks for; 0 is the server's default,
// which is also for rows as they are stored: it counts their blocks instead.
func (t *task) rowsPerMessage(raw bool) int {
	if raw || t.wide.Load() {
		return 0
	}
	return gatherRows
}

// narrowWait is how long what was read may take to be written before a pump ends
// for smaller messages: a huge one that was under way would be read twice.
const narrowWait = 30 * time.Second

// narrows reports whether it is time to end for smaller messages.
func (w *worker) narrows() bool {
	return !w.narrowBy.IsZero() && (w.acked.Load() == w.handed || w.p.e.clock.Now().After(w.narrowBy))
}

// tooWide reports, once in a task's life, that a message takes too much of a
// queue for so many rows to be gathered.
func (t *task) tooWide(m *core.Message, queue int64) bool {
	return (m.Kind == core.KindData || m.Kind == core.KindMetadata) && int64(len(m.Payload())) > queue/4 && t.wide.CompareAndSwap(false, true)
}
