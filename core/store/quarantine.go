package store

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"tdreplica/core"
)

const (
	// quarantineHead is the first line of a file in quarantine. The second line
	// is its description, everything behind it the message as it was read.
	quarantineHead = "tdreplica quarantine 1\n"
	messageSuffix  = ".msg"
	partialSuffix  = ".part"
	// maxDescription bounds the second line.
	maxDescription = 1 << 20
)

// ErrQuarantineFull is returned by Quarantine when a message does not fit.
var ErrQuarantineFull = errors.New("the quarantine is full")

// unknownMessage is the error for an id that no message in quarantine has.
func unknownMessage(id string) error {
	return &core.RefusedError{Text: fmt.Sprintf("no message in quarantine has the id %q", id), Hint: "`quarantine list` shows them"}
}

// description is the second line of a file.
type description struct {
	core.Quarantined
	SHA256 string `json:"sha256"` // of the message
}

// quarantine is the messages that sinks refused, one file each. What the files
// say is also kept in memory.
type quarantine struct {
	dir string

	files sync.Mutex // held while files are written, read or deleted; taken before mu
	mu    sync.Mutex // never held meanwhile: who counts messages holds locks, too
	kept  map[string]core.Quarantined
	count map[core.TaskKey]int
	bytes int64
}

// open reads what is there. What a crash left half-written was never counted
// as kept, so it is removed.
func (q *quarantine) open(stateDir string, clean bool) error {
	q.dir = filepath.Join(stateDir, "quarantine")
	q.kept, q.count = map[string]core.Quarantined{}, map[core.TaskKey]int{}
	entries, err := os.ReadDir(q.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the quarantine: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if id, ok := strings.CutSuffix(name, messageSuffix); ok {
			m, _, err := q.read(id, false)
			if err != nil {
				m = &core.Quarantined{ID: id, Rows: core.Unknown, Damaged: err.Error()}
			}
			q.note(*m)
		} else if clean && strings.HasSuffix(name, partialSuffix) {
			if err := os.Remove(filepath.Join(q.dir, name)); err != nil {
				return fmt.Errorf("clean the quarantine: %w", err)
			}
		}
	}
	return nil
}

func (q *quarantine) path(id string) string { return filepath.Join(q.dir, id+messageSuffix) }

func (q *quarantine) note(m core.Quarantined) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.kept[m.ID] = m
	q.count[core.TaskKey{Replica: m.Replica, Database: m.Database}]++
	q.bytes += m.Bytes
}

func (q *quarantine) forget(m core.Quarantined) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.kept, m.ID)
	q.count[core.TaskKey{Replica: m.Replica, Database: m.Database}]--
	q.bytes -= m.Bytes
}

func (q *quarantine) find(id string) (m core.Quarantined, there bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m, there = q.kept[id]
	return m, there
}

// hasRoom reports whether so many bytes more fit into limit.
func (q *quarantine) hasRoom(bytes, limit int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+bytes > limit || len(q.kept) >= core.MaxQuarantined {
		return fmt.Errorf("%w: it holds %d messages of %d bytes", ErrQuarantineFull, len(q.kept), q.bytes)
	}
	return nil
}

// read returns what a file says, and with whole also its message.
func (q *quarantine) read(id string, whole bool) (*core.Quarantined, []byte, error) {
	f, err := os.Open(q.path(id))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	size, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(io.LimitReader(f, int64(len(quarantineHead))+maxDescription), 4096)
	head, err := r.ReadString('\n')
	if err != nil || head != quarantineHead {
		return nil, nil, errors.New("it is no message in quarantine, or of another version's")
	}
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, nil, errors.New("its description is cut off")
	}
	var d description
	if err := json.Unmarshal(line, &d); err != nil {
		return nil, nil, fmt.Errorf("read its description: %w", err)
	}
	begin := int64(len(head) + len(line))
	switch {
	case d.ID != id:
		return nil, nil, fmt.Errorf("it describes another message, %q", d.ID)
	case size.Size() != begin+d.Bytes:
		return nil, nil, fmt.Errorf("it has %d bytes, not %d", size.Size(), begin+d.Bytes)
	case !whole:
		return &d.Quarantined, nil, nil
	}
	message := make([]byte, d.Bytes)
	if _, err := f.ReadAt(message, begin); err != nil {
		return nil, nil, fmt.Errorf("read its message: %w", err)
	}
	if digestOf(message) != d.SHA256 {
		return nil, nil, errors.New("its message is not what was written")
	}
	return &d.Quarantined, message, nil
}

func digestOf(message []byte) string {
	sum := sha256.Sum256(message)
	return hex.EncodeToString(sum[:])
}

// Quarantine keeps a message that a sink refused. When it returns nil the
// message is on the disk; added is false if it was there already, and whole. All
// messages together take at most limit bytes: then it returns ErrQuarantineFull.
func (s *Store) Quarantine(m core.Quarantined, message []byte, limit int64) (added bool, err error) {
	q := &s.quarantine
	q.files.Lock()
	defer q.files.Unlock()
	m.Bytes = int64(len(message))
	old, there := q.find(m.ID)
	if there {
		if _, _, err := q.read(m.ID, true); err == nil {
			return false, nil
		}
	}
	if err := q.hasRoom(m.Bytes-old.Bytes, limit); err != nil {
		return false, err
	}
	if err := q.write(&m, message); err != nil {
		return false, fmt.Errorf("write a message to quarantine: %w", err)
	}
	if there {
		q.forget(old)
	}
	q.note(m)
	return true, nil
}

// write makes the file whole and durable before it gets its name.
func (q *quarantine) write(m *core.Quarantined, message []byte) (err error) {
	line, err := json.Marshal(description{*m, digestOf(message)})
	if err != nil {
		return err
	}
	if err := os.Mkdir(q.dir, 0o700); err == nil {
		if err := syncDir(filepath.Dir(q.dir)); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	partial := filepath.Join(q.dir, m.ID+partialSuffix)
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	_, err = io.Copy(f, io.MultiReader(strings.NewReader(quarantineHead), bytes.NewReader(append(line, '\n')), bytes.NewReader(message)))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(partial, q.path(m.ID)); err != nil {
		return err
	}
	return syncDir(q.dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Quarantined lists the messages in quarantine by task, vgroup and offset: the
// order in which they were refused.
func (s *Store) Quarantined() []core.Quarantined {
	q := &s.quarantine
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]core.Quarantined, 0, len(q.kept))
	for _, m := range q.kept {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b core.Quarantined) int {
		return cmp.Or(cmp.Compare(a.Replica, b.Replica), cmp.Compare(a.Database, b.Database),
			cmp.Compare(a.Vgroup, b.Vgroup), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// QuarantinedOf counts the messages of a task.
func (s *Store) QuarantinedOf(key core.TaskKey) int {
	s.quarantine.mu.Lock()
	defer s.quarantine.mu.Unlock()
	return s.quarantine.count[key]
}

// ReadQuarantined returns one message whole, and checks that it is what was
// written.
func (s *Store) ReadQuarantined(id string) (*core.Quarantined, []byte, error) {
	q := &s.quarantine
	q.files.Lock()
	defer q.files.Unlock()
	if _, there := q.find(id); !there {
		return nil, nil, unknownMessage(id)
	}
	m, message, err := q.read(id, true)
	if err != nil {
		return nil, nil, fmt.Errorf("read the message %s in quarantine: %w", id, err)
	}
	return m, message, nil
}

// Discard deletes one message and returns what it was.
func (s *Store) Discard(id string) (*core.Quarantined, error) {
	q := &s.quarantine
	q.files.Lock()
	defer q.files.Unlock()
	m, there := q.find(id)
	if !there {
		return nil, unknownMessage(id)
	}
	if err := os.Remove(q.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("delete a message in quarantine: %w", err)
	}
	q.forget(m)
	return &m, syncDir(q.dir)
}

// DiscardReplica deletes the messages of a replica.
func (s *Store) DiscardReplica(replica string) error {
	for _, m := range s.Quarantined() {
		if m.Replica != replica {
			continue
		}
		if _, err := s.Discard(m.ID); err != nil {
			return err
		}
	}
	return nil
}
