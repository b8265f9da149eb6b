// Package store keeps what must survive a restart: replicas, tasks, events and
// the instance's identity, in one bbolt file of the state directory.
package store

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"tdreplica/core"
)

// Format is the version of the state file's layout that this build reads and
// writes. It changes when older builds could no longer read the file rightly.
const Format = 2

const (
	// openTimeout is how long Open waits for commands that are just reading.
	openTimeout = 5 * time.Second
	readTimeout = time.Second
)

var (
	bucketMeta     = []byte("meta")
	bucketReplicas = []byte("replicas")
	bucketTasks    = []byte("tasks")
	bucketEvents   = []byte("events")

	keyFormat   = []byte("format")
	keyID       = []byte("instance_id")
	keyInstance = []byte("instance")
	keyTotal    = []byte("total") // see seal.go
)

// ErrNoState is returned by OpenReadOnly where no instance ever ran.
var ErrNoState = errors.New("the state directory holds no state: no instance ever ran on it")

// FormatError is a state file that this build cannot read.
type FormatError struct {
	Path string
	Text string
	Hint string
	Err  error // the cause; may be nil
}

func (e *FormatError) Error() string {
	s := fmt.Sprintf("read the state file %s: %s", e.Path, e.Text)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *FormatError) Unwrap() error { return e.Err }

// ErrorHint implements the interface that core.HintOf looks for.
func (e *FormatError) ErrorHint() string { return e.Hint }

// Store is an open state directory. Its methods are safe for concurrent use.
// What a writing method returns nil for is on the disk.
type Store struct {
	dir  string
	db   *bolt.DB
	lock *instanceLock // nil when read-only
	id   string

	quarantine quarantine
}

func statePath(dir string) string { return filepath.Join(dir, "state.db") }
func lockPath(dir string) string  { return filepath.Join(dir, "lock") }

// Open creates the state directory (0700) and its file (0600) where they are
// missing, and takes the instance lock. It returns *LockedError if another
// instance owns the directory and *FormatError if its file cannot be used.
func Open(dir string) (*Store, error) {
	s, err := open(dir)
	if hint := writeHint(err); hint != "" {
		return nil, &diskError{err, hint + ", or name another directory with --state-dir"}
	}
	return s, err
}

// diskError is an error of the disk with what to do about it.
type diskError struct {
	error
	hint string
}

func (e *diskError) Unwrap() error { return e.error }

// ErrorHint implements the interface that core.HintOf looks for.
func (e *diskError) ErrorHint() string { return e.hint }

func writeHint(err error) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return "an instance writes its state there: mount it writable"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on that disk"
	case errors.Is(err, fs.ErrPermission):
		return "an instance writes its state there: run it as the directory's owner"
	}
	return ""
}

func open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the state directory: %w", err)
	}
	if err := checkDirectory(dir); err != nil {
		return nil, err
	}
	lock, err := lockInstance(dir, lockPath(dir))
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, lock: lock}
	err = s.create()
	if err == nil {
		err = s.open(statePath(dir), &bolt.Options{Timeout: openTimeout})
	}
	if err != nil {
		lock.release()
		return nil, err
	}
	if err := s.quarantine.open(dir, true); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// create makes the file where there is none. It is made under another name
// first: one that a full disk has cut short would look damaged.
func (s *Store) create() error {
	path := statePath(s.dir)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // what else may be wrong with it shows when it is opened
	}
	unfinished := path + ".new"
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make a new state file: %w", err)
	}
	if err := s.open(unfinished, &bolt.Options{Timeout: openTimeout}); err != nil {
		return err
	}
	if err := errors.Join(s.db.Close(), os.Rename(unfinished, path)); err != nil {
		return fmt.Errorf("make a new state file: %w", err)
	}
	return nil
}

// checkDirectory refuses a directory in which others could replace the control
// socket by one of their own.
func checkDirectory(dir string) error {
	st, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the state directory: %w", err)
	}
	if st.Mode().Perm()&0o022 != 0 {
		return &core.RefusedError{
			Text: fmt.Sprintf("the state directory %s is writable by others (mode %04o)", dir, st.Mode().Perm()),
			Hint: "chmod 700 " + dir,
		}
	}
	return nil
}

// OpenReadOnly opens the state of a directory on which no instance runs. It
// returns ErrNoState if there is nothing to read, *LockedError if an instance
// owns the directory.
func OpenReadOnly(dir string) (*Store, error) {
	if _, err := os.Stat(statePath(dir)); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoState
	}
	if pid, owned := Owner(dir); owned {
		return nil, &LockedError{Dir: dir, PID: pid}
	}
	s := &Store{dir: dir}
	if err := s.open(statePath(dir), &bolt.Options{Timeout: readTimeout, ReadOnly: true}); err != nil {
		return nil, err
	}
	if err := s.quarantine.open(dir, false); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open opens the file and reads all of it once, so that damage shows here, as
// an error, and not later in the middle of something.
func (s *Store) open(path string, opts *bolt.Options) (err error) {
	corrupt := func(cause error) error {
		return &FormatError{
			Path: path, Text: "the file is damaged", Err: cause,
			Hint: "restore it from a backup, or move it away and start the replicas again: " +
				"they get new consumer groups and read what the sources' WAL still holds",
		}
	}
	// A truncated file is mapped beyond its end: reading there is a fault, which
	// this turns into a panic that can be caught.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			// The file's own locks may be held by what panicked: closing it could
			// hang. The process is about to give up on this file anyway.
			err = corrupt(fmt.Errorf("%v", p))
			if _, fault := p.(runtime.Error); fault {
				err = corrupt(errors.New("a page of it is missing, or is no page"))
			}
		}
	}()
	if st, err := os.Stat(path); err == nil && st.Size() == 0 {
		// The library would make a new one of it: all replicas would be forgotten.
		return corrupt(errors.New("it is empty"))
	}
	db, err := bolt.Open(path, 0o600, opts)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("open the state file %s: another process holds it: %w", path, err)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum),
		errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrInvalidMapping):
		return corrupt(err)
	case err != nil && strings.Contains(err.Error(), "file size too small"):
		return corrupt(err)
	case err != nil:
		return fmt.Errorf("open the state file %s: %w", path, err)
	}
	s.db = db
	if err := s.prepare(opts.ReadOnly); err != nil {
		db.Close()
		var fe *FormatError
		var se *json.SyntaxError
		var te *json.UnmarshalTypeError
		if !errors.As(err, &fe) && (errors.As(err, &se) || errors.As(err, &te) || errors.Is(err, errDamaged)) {
			return corrupt(err)
		}
		return err
	}
	return nil
}

// prepare creates the buckets of a new file, checks the format and reads
// every record.
func (s *Store) prepare(readOnly bool) error {
	if !readOnly {
		for _, step := range []func(*bolt.Tx) error{s.initialise, upgrade} {
			if err := s.db.Update(step); err != nil {
				return fmt.Errorf("prepare the state file: %w", err)
			}
		}
	}
	return s.db.View(func(tx *bolt.Tx) error {
		if err := s.checkFormat(tx); err != nil {
			return err
		}
		id, err := unseal(tx, bucketMeta, keyID, tx.Bucket(bucketMeta).Get(keyID))
		if err != nil {
			return err
		}
		s.id = string(id)
		if err := checkTotal(tx); err != nil {
			return err
		}
		if err := each(tx, bucketReplicas, func(*Replica) {}); err != nil {
			return err
		}
		if err := each(tx, bucketTasks, func(*Task) {}); err != nil {
			return err
		}
		return each(tx, bucketEvents, func(*core.Event) {})
	})
}

func (s *Store) initialise(tx *bolt.Tx) error {
	if tx.Bucket(bucketMeta) != nil {
		return nil
	}
	for _, name := range [][]byte{bucketMeta, bucketReplicas, bucketTasks, bucketEvents} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	random := make([]byte, 5)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	id := strings.ToLower(base32.StdEncoding.EncodeToString(random))[:6]
	meta := tx.Bucket(bucketMeta)
	if err := write(tx, bucketMeta, keyID, seal(bucketMeta, keyID, []byte(id))); err != nil {
		return err
	}
	return meta.Put(keyFormat, []byte(strconv.Itoa(Format)))
}

func (s *Store) checkFormat(tx *bolt.Tx) error {
	wrong := func(text, hint string) error {
		return &FormatError{Path: statePath(s.dir), Text: text, Hint: hint}
	}
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return wrong("it is not a state file of tdreplica", "give a directory of its own with --state-dir")
	}
	found, err := strconv.Atoi(string(meta.Get(keyFormat)))
	switch {
	case err != nil:
		return wrong("it has no format version", "move it away, or restore it from a backup")
	case found > Format:
		return wrong(fmt.Sprintf("its format %d is newer than this build, which reads formats up to %d", found, Format),
			"use the newer tdreplica that wrote it")
	case found < 1:
		return wrong(fmt.Sprintf("its format %d is older than this build can read (format 1 to %d)", found, Format),
			"use the older tdreplica that wrote it")
	}
	return nil
}

// Close gives the directory back.
func (s *Store) Close() error {
	err := s.db.Close()
	if s.lock != nil {
		err = errors.Join(err, s.lock.release())
	}
	return err
}

// Dir returns the state directory.
func (s *Store) Dir() string { return s.dir }

// InstanceID returns the random name that was made with the state directory.
// It is part of every consumer group.
func (s *Store) InstanceID() string { return s.id }
