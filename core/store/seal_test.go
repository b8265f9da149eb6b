package store_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"tdreplica/core"
	"tdreplica/core/store"
)

// contents is all that an instance goes by.
type contents struct {
	id       string
	replicas []store.Replica
	tasks    []store.Task
}

func read(s *store.Store) (c contents, err error) {
	c.id = s.InstanceID()
	if c.replicas, err = s.Replicas(); err != nil {
		return c, err
	}
	c.tasks, err = s.Tasks("")
	return c, err
}

// filled is a state directory with a few records, and what it holds.
func filled(t *testing.T) (dir string, c contents) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir)
	for _, id := range []string{"fern", "moss", "reed"} {
		task := store.Task{Replica: id, Database: "power", Number: 1, Topic: "tdr_power",
			Last: core.Task{Vgroups: []core.Vgroup{{ID: 4, Current: 1902114, Committed: 1902000, Latest: 1902114}}}}
		if err := s.PutReplica(replica(id), task); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AppendEvents(core.Event{Text: "running"}); err != nil {
		t.Fatal(err)
	}
	c, err := read(s)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return dir, c
}

// TestLostRecord takes a whole record out behind the store's back.
func TestLostRecord(t *testing.T) {
	dir, _ := filled(t)
	edit(t, dir, func(tx *bolt.Tx) error { return tx.Bucket([]byte("tasks")).Delete([]byte("moss\x00power")) })
	var fe *store.FormatError
	if _, err := store.Open(dir); !errors.As(err, &fe) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a file without one of its tasks was opened: %v", err)
	}
}

// TestFormatOne reads a file of the format without checksums, and writes them.
func TestFormatOne(t *testing.T) {
	dir, want := filled(t)
	edit(t, dir, func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte("meta"))
		for _, r := range want.replicas {
			v, err := json.Marshal(r)
			if err := errors.Join(err, tx.Bucket([]byte("replicas")).Put([]byte(r.ID), v)); err != nil {
				return err
			}
		}
		for _, r := range want.tasks {
			v, err := json.Marshal(r)
			if err := errors.Join(err, tx.Bucket([]byte("tasks")).Put([]byte(r.Replica+"\x00"+r.Database), v)); err != nil {
				return err
			}
		}
		return errors.Join(tx.DeleteBucket([]byte("events")), bucket(tx, "events"),
			meta.Put([]byte("instance_id"), []byte(want.id)), meta.Delete([]byte("total")), meta.Put([]byte("format"), []byte("1")))
	})
	for _, how := range []func(string) (*store.Store, error){store.OpenReadOnly, store.Open, store.Open, store.OpenReadOnly} {
		s, err := how(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(s)
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, want %+v", got, want)
		}
	}
	edit(t, dir, func(tx *bolt.Tx) error {
		if f := string(tx.Bucket([]byte("meta")).Get([]byte("format"))); f != "2" {
			t.Errorf("the file is of format %s now", f)
		}
		return nil
	})
}

func bucket(tx *bolt.Tx, name string) error {
	_, err := tx.CreateBucket([]byte(name))
	return err
}

func edit(t *testing.T, dir string, f func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, "state.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}
