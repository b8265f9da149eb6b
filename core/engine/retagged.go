package engine

import (
	"context"
	"slices"

	"tdreplica/core"
	"tdreplica/core/raw"
	"tdreplica/core/store"
)

// A change of a child's tags may be read again when one of them has another name by
// now, or another one has its name. A server takes it by name. So the task keeps the
// numbers of tags of super tables where tags were renamed or dropped.

// noteTags takes note of a super table's tags.
func (t *task) noteTags(meta *raw.Meta) {
	s := meta.Super
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.rec.Retagged, func(r store.Retagged) bool { return r.SUID == s.SUID })
	changed := meta.Alter != nil && (meta.Alter.Change == raw.DropTag || meta.Alter.Change == raw.RenameTag)
	if i < 0 && !changed || i >= 0 && s.TagVersion <= t.rec.Retagged[i].Tags {
		return
	}
	note := store.Retagged{SUID: s.SUID, Table: s.Name, Tags: s.TagVersion, Names: map[int16]string{}}
	for _, c := range s.Tags {
		note.Names[c.ID] = c.Name
	}
	if i < 0 {
		t.rec.Retagged = appendBounded(t.rec.Retagged, note)
	} else {
		t.rec.Retagged[i] = note
	}
	t.notes++
}

// namesOfTags are the tags of a super table by their numbers; nil if none of them was
// renamed or dropped.
func (t *task) namesOfTags(super string) map[int16]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range slices.Backward(t.rec.Retagged) {
		if r.Table == super && !slices.Contains(t.rec.Dropped, r.SUID) {
			return r.Names
		}
	}
	return nil
}

func (t *task) anyRetagged() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.rec.Retagged) > 0
}

// presentTags is a change of a child's tags by the names that they have now, without
// those that were dropped and whose name another one has. It returns false if there
// is nothing else.
func (w *worker) presentTags(ctx context.Context, meta *raw.Meta, here *core.Table) (raw.Item, bool, error) {
	if !w.p.t.anyRetagged() {
		return meta.Item, true, nil
	}
	var ids map[string]core.TableID
	err := w.ask(ctx, func(ctx context.Context) (err error) {
		ids, err = w.p.plan.sinkCatalog.TableIDs(ctx, w.p.t.key.Database, []string{meta.Alter.Table})
		return err
	})
	if err != nil {
		return meta.Item, false, err
	}
	names := w.p.t.namesOfTags(ids[meta.Alter.Table].Super)
	if names == nil {
		return meta.Item, true, nil
	}
	item, any := raw.RenameTags(*meta, func(v raw.SetTagValue) (string, bool) {
		name, known := names[v.ID]
		if _, there := find(here, core.Column{Name: name, Note: "TAG"}); known && there {
			return name, true // else the other direction has renamed it since
		}
		for id, other := range names {
			if other == v.Name && id > v.ID && v.ID > 0 {
				return "", false
			}
		}
		return v.Name, true
	})
	return item, any, nil
}
