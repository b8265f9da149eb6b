package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	bolt "go.etcd.io/bbolt"

	"tdreplica/core"
)

// maxEvents is how many events are kept: the newest.
const maxEvents = 10_000

// each decodes every record of a bucket, in key order.
func each[T any](tx *bolt.Tx, bucket []byte, f func(*T)) error {
	return tx.Bucket(bucket).ForEach(func(k, v []byte) error {
		rec := new(T)
		v, err := unseal(tx, bucket, k, v)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(v, rec); err != nil {
			return fmt.Errorf("decode record %q of %s: %w", k, bucket, err)
		}
		f(rec)
		return nil
	})
}

func put(tx *bolt.Tx, bucket, key []byte, rec any) error {
	v, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encode record %q of %s: %w", key, bucket, err)
	}
	return write(tx, bucket, key, seal(bucket, key, v))
}

// taskKey separates by a byte that no id contains, so that the tasks of
// "fern" are not taken for those of "fern2".
func taskKey(replica, database string) []byte { return []byte(replica + "\x00" + database) }

// Replicas returns all replicas, sorted by id.
func (s *Store) Replicas() ([]Replica, error) {
	var out []Replica
	err := s.db.View(func(tx *bolt.Tx) error {
		return each(tx, bucketReplicas, func(r *Replica) { out = append(out, *r) })
	})
	return out, err
}

// Tasks returns the tasks of a replica, or of all replicas if it is "", sorted
// by replica and number.
func (s *Store) Tasks(replica string) ([]Task, error) {
	var out []Task
	err := s.db.View(func(tx *bolt.Tx) error {
		return each(tx, bucketTasks, func(t *Task) {
			if replica == "" || t.Replica == replica {
				out = append(out, *t)
			}
		})
	})
	sort.Slice(out, func(i, j int) bool {
		if out[i].Replica != out[j].Replica {
			return out[i].Replica < out[j].Replica
		}
		return out[i].Number < out[j].Number
	})
	return out, err
}

// PutReplica writes a replica and tasks of it in one transaction.
func (s *Store) PutReplica(r Replica, tasks ...Task) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		if err := put(tx, bucketReplicas, []byte(r.ID), r); err != nil {
			return err
		}
		return putTasks(tx, tasks)
	})
	return writing("replica "+r.ID, err)
}

// PutTasks writes tasks in one transaction.
func (s *Store) PutTasks(tasks ...Task) error {
	if len(tasks) == 0 {
		return nil
	}
	return writing("tasks", s.db.Update(func(tx *bolt.Tx) error { return putTasks(tx, tasks) }))
}

func putTasks(tx *bolt.Tx, tasks []Task) error {
	for i := range tasks {
		t := &tasks[i]
		if err := put(tx, bucketTasks, taskKey(t.Replica, t.Database), t); err != nil {
			return err
		}
	}
	return nil
}

// DeleteTask forgets a task. It succeeds if there is none.
func (s *Store) DeleteTask(replica, database string) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		return write(tx, bucketTasks, taskKey(replica, database), nil)
	})
	return writing("task "+replica+"/"+database, err)
}

// DeleteReplica forgets a replica and its tasks. It succeeds if there is none.
func (s *Store) DeleteReplica(id string) error {
	err := s.db.Update(func(tx *bolt.Tx) error {
		var keys [][]byte
		if err := each(tx, bucketTasks, func(t *Task) {
			if t.Replica == id {
				keys = append(keys, taskKey(t.Replica, t.Database))
			}
		}); err != nil {
			return err
		}
		for _, k := range keys {
			if err := write(tx, bucketTasks, k, nil); err != nil {
				return err
			}
		}
		return write(tx, bucketReplicas, []byte(id), nil)
	})
	return writing("replica "+id, err)
}

// PutInstance remembers the process that runs now, for Snapshot after it ended.
func (s *Store) PutInstance(i core.Instance) error {
	return writing("instance", s.db.Update(func(tx *bolt.Tx) error {
		return put(tx, bucketMeta, keyInstance, i)
	}))
}

// AppendEvents keeps events and forgets the oldest beyond 10,000. An event
// without a sequence number gets the next one; a caller that numbers them
// itself goes on from LastEventSeq.
func (s *Store) AppendEvents(events ...core.Event) error {
	if len(events) == 0 {
		return nil
	}
	return writing("events", s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketEvents)
		last := lastSeq(b)
		for _, e := range events {
			if e.Seq == 0 {
				e.Seq = last + 1
			}
			last = max(last, e.Seq)
			if err := put(tx, bucketEvents, seqKey(e.Seq), e); err != nil {
				return err
			}
		}
		if last <= maxEvents {
			return nil
		}
		var old [][]byte
		c := b.Cursor()
		for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) <= last-maxEvents; k, _ = c.Next() {
			old = append(old, append([]byte(nil), k...))
		}
		for _, k := range old {
			if err := b.Delete(k); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Events returns events with a sequence number above after, oldest first, at
// most limit of them (0: all that are kept).
func (s *Store) Events(after uint64, limit int) ([]core.Event, error) {
	var out []core.Event
	err := s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketEvents).Cursor()
		for k, v := c.Seek(seqKey(after + 1)); k != nil; k, v = c.Next() {
			if limit > 0 && len(out) == limit {
				return nil
			}
			var e core.Event
			v, err := unseal(tx, bucketEvents, k, v)
			if err != nil {
				return err
			}
			if err := json.Unmarshal(v, &e); err != nil {
				return fmt.Errorf("decode event %d: %w", binary.BigEndian.Uint64(k), err)
			}
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// LastEventSeq returns the sequence number of the newest event, 0 if none.
func (s *Store) LastEventSeq() (uint64, error) {
	var last uint64
	err := s.db.View(func(tx *bolt.Tx) error {
		last = lastSeq(tx.Bucket(bucketEvents))
		return nil
	})
	return last, err
}

func lastSeq(b *bolt.Bucket) uint64 {
	if k, _ := b.Cursor().Last(); len(k) == 8 {
		return binary.BigEndian.Uint64(k)
	}
	return 0
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func writing(what string, err error) error {
	if err != nil {
		return fmt.Errorf("write %s to the state file: %w", what, err)
	}
	return nil
}

// Snapshot tells, while no instance runs, what was last known: nothing runs,
// and the numbers are as old as each task's MeasuredAt.
func (s *Store) Snapshot() (*core.Snapshot, error) {
	snap := &core.Snapshot{At: time.Now(), Replicas: []core.Replica{}, Tasks: []core.Task{}}
	err := s.db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket(bucketMeta).Get(keyInstance); v != nil {
			v, err := unseal(tx, bucketMeta, keyInstance, v)
			if err != nil {
				return err
			}
			return json.Unmarshal(v, &snap.Instance)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the instance's record: %w", err)
	}
	snap.Instance.ID, snap.Instance.StateDir = s.id, s.dir
	snap.Instance.Running, snap.Instance.PID = false, 0

	replicas, err := s.Replicas()
	if err != nil {
		return nil, err
	}
	for _, r := range replicas {
		snap.Replicas = append(snap.Replicas, r.Replica)
	}
	tasks, err := s.Tasks("")
	if err != nil {
		return nil, err
	}
	for i := range tasks {
		t := atRest(&tasks[i], snap.Replica(tasks[i].Replica))
		t.Quarantined = s.QuarantinedOf(t.Key())
		snap.Tasks = append(snap.Tasks, t)
	}
	return snap, nil
}

// atRest is a task as it is while nothing runs: it keeps what was measured and
// loses what would only be true of a running one.
func atRest(rec *Task, r *core.Replica) core.Task {
	t := rec.Last
	t.Replica, t.Database, t.Number, t.Desired = rec.Replica, rec.Database, rec.Number, rec.Desired
	t.Topic, t.Group = rec.Topic, rec.Group
	if r != nil {
		t.Source, t.Sink = r.Source, r.Sink
	}
	switch was := t.State; {
	case was == core.Stopped && t.Desired == core.WantRunning && t.Note == "":
		t.Note = "no instance runs; it goes on with the next one"
	case was == core.Failed, was == core.Stopped: // still true, and the note still says why
	case was == "":
		t.State, t.Diff, t.Note = core.Stopped, core.Unknown, "no instance runs; it never ran"
	default:
		t.State = core.Stopped
		note := "no instance runs; it was " + string(was)
		if t.Note != "" {
			note += ": " + t.Note
		}
		t.Note = note
	}
	t.Phase, t.Step, t.Rate = "", core.Step{}, core.Rate{}
	t.Retry.Next = time.Time{}
	t.LagMS, t.EtaMS, t.IdleMS, t.Trend = core.Unknown, core.Unknown, core.Unknown, 0
	t.QueueBytes = 0
	for i := range t.Vgroups {
		v := &t.Vgroups[i]
		v.Rate, v.State, v.Owner, v.LagMS, v.EtaMS = 0, "", "", core.Unknown, core.Unknown
	}
	return t
}
