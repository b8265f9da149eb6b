package tui

// The smallest window the console can use. Below it one honest line says so.
const (
	minWidth  = 60
	minHeight = 15
)

// rect is a part of the window; every part is as wide as the window.
type rect struct{ h int }

// layout is how the window's lines are shared out.
type layout struct {
	header, banner, notice, footer rect
	main                           rect // everything between header and footer
	tasks, vgroups, events         rect // the parts of main on the tasks screen
}

// arrange shares the lines out. The panes' heights depend on the numbers of
// tasks and on the largest number of vgroups of any task, not on the selected
// one, so that moving the cursor moves nothing else.
func arrange(h, banner, notice, tasks, vgroups int) layout {
	var l layout
	l.header.h, l.footer.h = 1, 1
	l.banner.h, l.notice.h = banner, notice
	l.main.h = max(0, h-l.header.h-l.footer.h-banner-notice)

	left := l.main.h
	switch {
	case left < 12:
		l.events.h = 0
	case left < 20:
		l.events.h = 2
	case left < 30:
		l.events.h = 3
	default:
		l.events.h = left / 5
	}
	left -= l.events.h
	// Two lines frame the tasks (rule, head), three the vgroups (rule, what
	// holds for all of them, head).
	wantTasks, wantVgroups := 2+max(1, tasks), 3+max(1, vgroups)
	l.vgroups.h = min(wantVgroups, max(5, left*9/20))
	l.tasks.h = min(wantTasks, left-l.vgroups.h)
	l.vgroups.h = min(wantVgroups, left-l.tasks.h)
	rest := left - l.tasks.h - l.vgroups.h
	if l.events.h > 0 {
		l.events.h += rest
	} else {
		l.tasks.h += rest
	}
	return l
}
