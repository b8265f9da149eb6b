package tui

import (
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"tdreplica/core"
)

// copyLimit is what terminals accept in one OSC 52 sequence, in base64.
const copyLimit = 74_994

// noticeMsg is a notice that a command made.
type noticeMsg notice

// copy puts what is under the cursor into the clipboard of the terminal, also
// through SSH and tmux.
func (a *app) copy() tea.Cmd {
	s := a.underCursor()
	if s == "" {
		return nil
	}
	if base64.StdEncoding.EncodedLen(len(s)) > copyLimit {
		s = strings.ToValidUTF8(s[:copyLimit/4*3], "")
	}
	seq := ansi.SetSystemClipboard(s)
	if os.Getenv("TMUX") != "" {
		// It takes the one or hands on the other, as it is configured.
		seq += ansi.TmuxPassthrough(seq)
	}
	a.say(a.text.Copied, len(s))
	return func() tea.Msg {
		// The screen shows that it was copied already; a terminal that cannot
		// be written to shows nothing at all.
		_, _ = io.WriteString(a.out, seq)
		return nil
	}
}

// underCursor is the selected row as text.
func (a *app) underCursor() string {
	switch {
	case a.screen == screenEvents || a.screen == screenTasks && a.focus == paneEvents:
		if e := a.log.current(); e != nil {
			return e.At.UTC().Format(time.RFC3339) + "\t" + string(e.Level) + "\t" + e.Replica + "\t" + e.Database + "\t" + e.Text
		}
	case a.screen == screenInfo:
		return ansi.Strip(strings.Join(a.infoText(200), "\n"))
	case a.screen == screenDetail && a.detail.got != nil:
		if b, err := json.MarshalIndent(a.detail.got, "", "  "); err == nil {
			return string(b)
		}
	case a.focus == paneVgroups:
		if v := a.vgroups.current(); v != nil {
			return tabbed(a.vgroups.cols, v)
		}
	default:
		if t := a.selected(); t != nil {
			return tabbed(a.tasks.cols, t)
		}
	}
	return ""
}

func tabbed[R any](cols []column[R], r *R) string {
	return strings.TrimRight(strings.Join(record(cols, r), "\t"), "\t")
}

func record[R any](cols []column[R], r *R) []string {
	out := make([]string, len(cols))
	for i := range cols {
		out[i] = cols[i].value(r)
	}
	return out
}

// writer asks for the path of a file to write the screen's data to.
type writer struct {
	grace
	path input
	err  error
}

func (a *app) openWrite() tea.Cmd {
	name := map[screen]string{screenTasks: "tasks", screenDetail: "task", screenEvents: "events", screenInfo: "info"}[a.screen]
	if a.screen == screenTasks {
		name = [panes]string{"tasks", "vgroups", "events"}[a.focus]
	}
	kind := "csv"
	switch a.screen {
	case screenDetail:
		kind = "json"
	case screenInfo:
		kind = "txt"
	}
	stem := "tdreplica-" + name + "-" + a.now.In(a.zone).Format("20060102-150405")
	return a.open(&writer{path: newInput(stem + "." + kind)})
}

func (d *writer) title(a *app) string { return a.text.WriteTitle }

func (d *writer) press(a *app, k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		a.closeDialog()
	case "enter":
		data, err := a.export(filepath.Ext(d.path.String()))
		if err != nil {
			d.err = err
			return nil
		}
		path := d.path.String()
		a.closeDialog()
		return a.save(path, data)
	default:
		d.path.press(k)
	}
	return nil
}

func (d *writer) body(a *app, w, _ int) []string {
	l := a.newLine(w).put(dim, a.text.WritePath+" ")
	d.path.draw(a, l, w-l.used, true)
	out := []string{l.String(), ""}
	if d.err != nil {
		return append(out, a.newLine(w).put(bad, d.err.Error()).String())
	}
	return append(out, a.newLine(w).put(dim, a.text.WriteHelp).String())
}

// save writes a new file that only its owner can read. It never replaces one.
func (a *app) save(path string, data []byte) tea.Cmd {
	text, clock := a.text, a.clock
	return func() tea.Msg {
		full, err := filepath.Abs(path)
		if err == nil {
			err = writeNew(full, data)
		}
		if err != nil {
			return noticeMsg{level: bad, text: fmt.Sprintf(text.WriteFailed, err)}
		}
		return noticeMsg{level: ok, text: fmt.Sprintf(text.Written, size(int64(len(data))), full), until: clock().Add(2 * noticeTime)}
	}
}

func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// export is the data of the screen: all of it, not only what is in sight.
func (a *app) export(ext string) ([]byte, error) {
	if a.screen == screenDetail && (a.detail.got == nil || a.target() == nil) {
		return nil, errors.New(a.text.NoData)
	}
	switch ext {
	case ".json":
		b, err := json.MarshalIndent(a.exported(), "", "  ")
		return append(b, '\n'), err
	case ".csv", ".txt":
	default:
		return nil, fmt.Errorf(a.text.WriteKinds, ext)
	}
	var rows [][]string
	switch {
	case a.screen == screenInfo, a.screen == screenDetail && ext == ".txt":
		return []byte(ansi.Strip(strings.Join(a.pageText(), "\n")) + "\n"), nil
	case a.screen == screenDetail:
		rows = records(a.tasks.cols, []*core.Task{a.target()})
	case a.screen == screenEvents || a.focus == paneEvents:
		rows = append(rows, []string{"at", "level", "kind", "replica", "database", "via", "user", "text"})
		for _, e := range a.log.rows {
			rows = append(rows, []string{stamp(e.At), string(e.Level), string(e.Kind), e.Replica, e.Database, e.Actor.Via, e.Actor.User, e.Text})
		}
	case a.focus == paneVgroups:
		rows = records(a.vgroups.cols, a.vgroups.rows)
	default:
		rows = records(a.tasks.cols, a.tasks.rows)
	}
	var b strings.Builder
	if ext == ".txt" {
		for _, r := range rows {
			b.WriteString(strings.TrimRight(strings.Join(r, "\t"), "\t") + "\n")
		}
		return []byte(b.String()), nil
	}
	w := csv.NewWriter(&b)
	err := w.WriteAll(rows)
	return []byte(b.String()), err
}

func (a *app) pageText() []string {
	if a.screen == screenInfo {
		return a.infoText(200)
	}
	return a.detail.text(a, a.target(), 160)
}

func records[R any](cols []column[R], rows []*R) [][]string {
	head := make([]string, len(cols))
	for i := range cols {
		head[i] = cols[i].id
	}
	out := [][]string{head}
	for _, r := range rows {
		out = append(out, record(cols, r))
	}
	return out
}

// exported is the screen's data as the documented JSON has it.
func (a *app) exported() any {
	switch {
	case a.screen == screenDetail:
		return a.detail.got
	case a.screen == screenInfo && a.feed.snap != nil:
		return a.feed.snap.Instance
	case a.screen == screenEvents || a.focus == paneEvents:
		return a.log.rows
	case a.focus == paneVgroups:
		return a.vgroups.rows
	}
	return a.tasks.rows
}
