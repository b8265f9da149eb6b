package tui

import (
	"fmt"
	"time"

	"tdreplica/core"
)

// noticeTime is how long a message stays that is no error.
const noticeTime = 6 * time.Second

// noticesKept bounds the errors that wait to be read.
const noticesKept = 20

// notice is a message to the operator. One without an end stays until it is
// dismissed.
type notice struct {
	level token
	text  string
	hint  string
	until time.Time
}

// notices are shown one at a time above the footer, the newest first.
type notices []notice

func (n *notices) add(x notice) {
	*n = append(*n, x)
	if over := len(*n) - noticesKept; over > 0 {
		*n = append(notices(nil), (*n)[over:]...)
	}
}

// expire removes messages whose time is over.
func (n *notices) expire(now time.Time) {
	kept := (*n)[:0]
	for _, x := range *n {
		if x.until.IsZero() || now.Before(x.until) {
			kept = append(kept, x)
		}
	}
	*n = kept
}

// dismiss removes the newest that waits to be dismissed and reports whether
// there was one. What goes away by itself goes too, but is not what somebody
// who presses esc wants to be rid of.
func (n *notices) dismiss() bool {
	lasting := (*n)[:0]
	for _, x := range *n {
		if x.until.IsZero() {
			lasting = append(lasting, x)
		}
	}
	if len(lasting) == 0 {
		*n = lasting
		return false
	}
	*n = lasting[:len(lasting)-1]
	return true
}

// say shows a message for a few seconds.
func (a *app) say(format string, args ...any) {
	a.notices.add(notice{level: ok, text: fmt.Sprintf(format, args...), until: a.clock().Add(noticeTime)})
}

// complain shows an error until it is dismissed.
func (a *app) complain(err error) {
	a.notices.add(notice{level: bad, text: a.spoken(err.Error()), hint: a.spoken(core.HintOf(err))})
}

// errorLines say what went wrong, and what to do about it, in w cells.
func (a *app) errorLines(err error, w int) []string {
	var out []string
	for _, r := range wrap(a.spoken(err.Error()), w) {
		out = append(out, a.newLine(w).put(bad, r).String())
	}
	if hint := core.HintOf(err); hint != "" {
		for _, r := range wrap(a.spoken(hint), w) {
			out = append(out, a.newLine(w).put(dim, r).String())
		}
	}
	return out
}

// noticeLines draws the newest message in at most three lines.
func (a *app) noticeLines(w int) []string {
	if len(a.notices) == 0 {
		return nil
	}
	n := a.notices[len(a.notices)-1]
	said := clean(n.text)
	if n.hint != "" {
		said += " " + a.glyphs.hint + " " + clean(n.hint)
	}
	tail := ""
	if n.until.IsZero() {
		tail = "esc " + a.text.Dismiss
		if more := len(a.notices) - 1; more > 0 {
			tail += fmt.Sprintf(" (+%d)", more)
		}
	}
	mark := a.glyphs.bullet
	if n.level != ok {
		mark = a.glyphs.warn
	}
	rows := wrap(said, max(10, w-4-width(tail)-2))
	if len(rows) > 3 {
		rows = append(rows[:2:2], rows[2]+a.glyphs.tail)
	}
	out := make([]string, 0, len(rows))
	for i, r := range rows {
		l := a.newLine(w)
		if i == 0 {
			l.gap(1).put(n.level, mark).gap(1).put(n.level, r)
			if tail != "" {
				l.fill(w-width(tail)-1).put(dim, tail)
			}
		} else {
			l.gap(3).put(n.level, r)
		}
		out = append(out, l.String())
	}
	return out
}
