package engine

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"tdreplica/core"
	"tdreplica/core/raw"
)

// A request to create a child carries its tags by the numbers that they have at the
// source, and a super table at the sink may know other tags by them: if it was made
// there, or if both sides gave it tags at once. Where rows bring the request, a server
// takes the numbers as they are. Where it comes alone it gives each value the number
// that a tag of its name has there, and takes the first name for that of the first
// value; but values come in the order of their numbers, and names in that of the
// statement (docs/protocol.md, section 9). So children are created in front of the
// rows that bring them, and with their names in order.

// tellsIDs is the first version that lists super tables with their ids [M: 3.3.6.13];
// 3.3.3.0 does not, and 3.3.4 by its source text does.
var tellsIDs = core.Version{3, 3, 4, 0}

// superTags is what a worker knows of the tags of super tables. It is believed for as
// long as that their columns fit.
type superTags struct {
	known map[string]*bothTags
	ids   map[string]int64 // of the sink's; nil where its server does not tell them
	since time.Time
	shape int64
}

// bothTags are the tags of a super table at both sides. The source is not asked before
// the sink's do not tell enough: what was read is written also while it is away.
type bothTags struct {
	here, there []core.Column
	asked       bool // there is known
}

// createFirst creates the tables that a message of rows brings.
func (w *worker) createFirst(ctx context.Context, m *core.Message) error {
	tables, err := raw.Requests(m.RawType, m.Payload())
	if err != nil || len(tables) == 0 {
		return nil // the sink judges what cannot be read
	}
	if tables, _, err = w.inOrder(ctx, tables); err != nil {
		return err
	}
	return w.insist(ctx, raw.Item{RawType: core.RawCreateTbl, Payload: raw.EncodeCreate(tables)}.Message(m))
}

// creation is what of a creation of tables is to be written, if anything is.
func (w *worker) creation(ctx context.Context, meta *raw.Meta) (item raw.Item, any bool, err error) {
	living := w.p.t.livingTables(meta.Tables)
	tables, changed, err := w.inOrder(ctx, living)
	if err != nil || !changed && len(living) == len(meta.Tables) {
		return meta.Item, true, err
	}
	return raw.Item{RawType: core.RawCreateTbl, Payload: raw.EncodeCreate(tables)}, len(tables) > 0, nil
}

// inOrder pairs the names of tags with the values, and puts both in the order that the
// sink's super table has them in. It reports whether that changed anything.
func (w *worker) inOrder(ctx context.Context, tables []raw.NewTable) (ordered []raw.NewTable, changed bool, err error) {
	ordered = slices.Clone(tables)
	for i, t := range tables {
		if len(t.TagNames) < 2 {
			continue
		}
		tags, err := w.tagsOf(ctx, t.Super)
		if err != nil {
			return nil, false, err
		}
		paired, err := w.pair(ctx, t, tags)
		if err != nil {
			return nil, false, err
		}
		ordered[i] = paired.Arranged(tags.here)
		changed = changed || !bytes.Equal(ordered[i].Record, t.Record)
	}
	return ordered, changed, nil
}

// pair believes names to be in the order of the values if they are in that of the tags
// of a super table which the sink has got from the source, or of the source's. The
// former is as old as the message is; the latter may have changed since. Where tags
// are known by their numbers there is nothing to believe.
func (w *worker) pair(ctx context.Context, t raw.NewTable, tags *bothTags) (raw.NewTable, error) {
	if names := w.p.t.namesOfTags(t.Super); tellsAll(names, t.Tags, tags.here) {
		return t.Numbered(names), nil
	}
	id, told := w.supers.ids[t.Super]
	own := !told || id == raw.SinkSUID(t.SUID, w.p.t.key.Database)
	if here, ok := t.Paired(tags.here, false); ok && own && slices.Equal(here.TagNames, t.TagNames) {
		return t, nil
	}
	if err := w.askSource(ctx, t.Super, tags); err != nil {
		return t, err
	}
	for _, some := range []bool{false, true} { // some were renamed or dropped since
		for _, side := range [][]core.Column{tags.there, tags.here} {
			if paired, ok := t.Paired(side, some); ok {
				return paired, nil
			}
		}
	}
	w.p.t.say(core.LevelWarn, core.EventDrift, "table %s is created with tags that neither side knows by these names any more: %s; verify tells whether they are right",
		t.Name, strings.Join(t.TagNames, ", "))
	return t, nil
}

// tellsAll reports whether names are those of all these values that were not dropped,
// and the sink has them: of what the other direction has renamed or added since this
// one has not read.
func tellsAll(names map[int16]string, values []raw.Tag, here []core.Column) bool {
	newest := int16(0)
	for id, name := range names {
		if !slices.ContainsFunc(here, func(c core.Column) bool { return c.Name == name }) {
			return false
		}
		newest = max(newest, id)
	}
	return !slices.ContainsFunc(values, func(v raw.Tag) bool { return v.ID > newest })
}

// tagsOf describes a super table at the sink, unless that is known.
func (w *worker) tagsOf(ctx context.Context, super string) (*bothTags, error) {
	c, now, shape := &w.supers, w.p.e.clock.Now(), w.p.reshaped.Load()
	if c.known == nil || shape != c.shape || now.Sub(c.since) >= fitFor {
		*c = superTags{known: map[string]*bothTags{}, since: now, shape: shape}
		ids, err := w.superIDs(ctx, w.p.plan.sinkCatalog, w.p.plan.sinkVersion)
		if err != nil {
			c.known = nil
			return nil, err
		}
		c.ids = ids
	}
	if tags := c.known[super]; tags != nil {
		return tags, nil
	}
	here, err := w.describe(ctx, w.p.plan.sinkCatalog, super)
	if err != nil {
		return nil, err
	}
	tags := &bothTags{}
	if here != nil {
		tags.here = here.Tags
	}
	c.known[super] = tags
	return tags, nil
}

// superIDs are the ids of a side's super tables; nil where its server does not tell them.
func (w *worker) superIDs(ctx context.Context, c Catalog, server core.Version) (ids map[string]int64, err error) {
	if !server.AtLeast(tellsIDs) {
		return nil, nil
	}
	err = w.ask(ctx, func(ctx context.Context) (err error) {
		ids, err = c.SuperTableIDs(ctx, w.p.t.key.Database)
		return err
	})
	return ids, err
}

func (w *worker) askSource(ctx context.Context, super string, tags *bothTags) error {
	if tags.asked {
		return nil
	}
	there, err := w.describe(ctx, w.p.plan.catalog, super)
	if err != nil {
		return err
	}
	if there != nil {
		tags.there = there.Tags
	}
	tags.asked = true
	return nil
}
