package tui

// pager shows more lines than fit.
type pager struct {
	top   int
	lines int // in the text, as of the last view
	page  int
}

func (p *pager) move(m motion) {
	last := max(0, p.lines-p.page)
	switch {
	case m.toTop:
		p.top = 0
	case m.toEnd:
		p.top = last
	default:
		p.top += m.by + m.pages*max(1, p.page-1)
	}
	p.top = max(0, min(p.top, last))
}

// press moves by a key that moves lines, and reports whether it was one.
func (p *pager) press(k string) bool {
	m, moves := map[string]motion{"up": {by: -1}, "down": {by: 1}, "pgup": {pages: -1}, "pgdown": {pages: 1}}[k]
	if moves {
		p.move(m)
	}
	return moves
}

// titled is a dialog's title, with how much is below and the key for it.
func (p *pager) titled(a *app, title string) string {
	if more := p.more(a); more != "" {
		title += " " + a.glyphs.sep + " " + more + " " + a.key("down")
	}
	return title
}

// view is the part of the text that is on the screen.
func (p *pager) view(text []string, h int) []string {
	p.lines, p.page = len(text), h
	p.top = max(0, min(p.top, len(text)-h))
	return pad(append([]string(nil), text[p.top:min(len(text), p.top+h)]...), h)
}

// more says how much is below the screen: "37 %" or "".
func (p *pager) more(a *app) string {
	if p.lines <= p.page || p.page <= 0 {
		return ""
	}
	return a.f("%d%%", min(100, (p.top+p.page)*100/p.lines))
}
