package engine

import (
	"context"
	"maps"
	"slices"
	"time"

	"tdreplica/core"
)

// renewSoon has the subscription made anew before long.
func (p *pump) renewSoon() {
	now := p.e.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.renewAt.IsZero() {
		p.renewAsked = now
		p.renewAt = now.Add(renewAfter)
		if soonest := p.t.renewed.Add(renewPace); soonest.After(p.renewAt) {
			p.renewAt = soonest
		}
	}
}

// renewDue reports whether it is time for it.
func (p *pump) renewDue(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.renewAt.IsZero() && !now.Before(p.renewAt)
}

// renewLate reports whether it has been put off for long enough to say so.
func (p *pump) renewLate(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Sub(p.renewAsked) >= renewTell
}

// renew drops the consumer group if that is due, and notes where the WALs end
// if the group is about to be made. What it goes back to is on disk before.
// Nobody is in the group, and everything that was read is applied.
func (p *pump) renew(ctx context.Context, exists bool) error {
	if !p.plan.sourceVersion.AtLeast(tagsEndRows) || exists && !p.t.renewal {
		return nil
	}
	ends, known, err := p.plan.catalog.WALEnds(ctx, p.t.key.Database)
	if err != nil {
		return err
	}
	p.freshEnds = map[int32]int64{}
	if known {
		p.freshEnds = ends
	}
	if !p.t.renewal {
		return nil
	}
	p.doing("make the subscription anew")
	t := p.t
	rewinds := t.rewindsOfAll()
	t.goBack(rewinds)
	t.mu.Lock()
	t.rec.Renewed = true
	t.mu.Unlock()
	if err := t.e.persist([]*task{t}); err != nil {
		return err
	}
	if err := p.plan.catalog.DropGroup(ctx, p.plan.topic, p.plan.group); hasCode(err, codeGroupInUse) {
		// One that was ours, at an adapter that hangs: the server ends it some time.
		return &core.Error{Class: core.ClassRetry, Op: "make the subscription anew", Err: err}
	} else if err != nil {
		return err
	}
	t.mu.Lock()
	t.rec.Rewinds, t.urgent = nil, true
	// They tell what the old group was read to. While the new one is read from
	// further back, a change keeps back what they would call read.
	t.rec.Samples = nil
	t.mu.Unlock()
	t.renewal, t.renewed, p.renewed = false, t.e.clock.Now(), true
	t.say(core.LevelInfo, core.EventDDL, "tags of child tables were set: the subscription is made anew and %d vgroups are read again from before the change", len(rewinds))
	return nil
}

// goBack goes back to earlier positions and keeps up to where was read before,
// also if it had gone back and could not make the group anew.
func (t *task) goBack(rewinds map[int32]int64) {
	t.mu.Lock()
	reread := map[int32]int64{}
	maps.Copy(reread, t.reread)
	t.mu.Unlock()
	var done []int32
	for vg, from := range rewinds {
		was := t.meter.rewind(vg, from)
		if was >= reread[vg] {
			done = append(done, vg)
		}
		reread[vg] = max(reread[vg], was)
	}
	t.mu.Lock()
	t.reread = reread
	for _, vg := range done { // all that followed those drops has been applied
		delete(t.redropped, vg)
	}
	t.mu.Unlock()
}

// rewindsOfAll is from where each vgroup must be read when the group is made
// anew. Where no change of tags was read there may be one that was made and is
// not read yet: it has kept back rows in front of it from the old group, and does
// not concern the new one, so that nobody would go back for them when it is read.
// Up to where a scout has read there is none that is not among the rewinds.
func (t *task) rewindsOfAll() map[int32]int64 {
	t.mu.Lock()
	rewinds := map[int32]int64{}
	maps.Copy(rewinds, t.rec.Rewinds)
	vgroups := slices.Collect(maps.Keys(t.rec.Samples))
	ahead := t.ahead
	t.mu.Unlock()
	for _, vg := range vgroups {
		at, known := t.meter.position(vg)
		if _, there := rewinds[vg]; there || !known {
			continue
		}
		if from := t.unspoiled(vg, max(at, ahead[vg])); from < at {
			rewinds[vg] = from
		}
	}
	return rewinds
}

// rewindsLeft reports whether a change of tags was read before the task ended,
// and the subscription was not made anew.
func (t *task) rewindsLeft() bool {
	t.mu.Lock()
	rewinds := maps.Clone(t.rec.Rewinds)
	t.mu.Unlock()
	for vg, from := range rewinds {
		t.meter.owes(vg, from)
	}
	return len(rewinds) > 0
}

// mayRenew reports whether a group that is to be made anew may be left for that.
// A task that is behind does so only if a scout has read ahead of it: without, it
// would read again all that it has read since it last did, again and again, and
// never come to the end. A shared group can only
// be dropped by its only member, which must have come to all the changes that
// others may have come to before it; until then no commit goes beyond what is to
// be read again.
func (p *pump) mayRenew(now time.Time) bool {
	if p.members != nil {
		if p.members.isAlone() && p.members.reads(p.plan.db.Vgroups) {
			return true
		}
		p.putOff(now.Add(renewPatience))
		p.t.drifted(mustBeAlone)
		return false
	}
	if p.t.isScouted() {
		if p.caughtUp(now) || p.t.worthwhile(now, p.readyAt) {
			return true
		}
	} else if p.near(now) {
		return true
	}
	p.putOff(now.Add(renewAfter))
	if p.renewLate(now) {
		p.t.drifted(mustCatchUp)
	}
	return false
}

// putOff has mayRenew asked again later.
func (p *pump) putOff(until time.Time) {
	p.mu.Lock()
	p.renewAt = until
	p.mu.Unlock()
}

// mustBeAlone and mustCatchUp warn of rows that are held back.
const mustCatchUp = "tags of child tables were set, and the source hands out no rows of them until the consumer group is made anew; that comes once this task has caught up"
const mustBeAlone = "tags of child tables were set, and the source hands out no rows of them until the consumer group is made anew; that takes its only member; stop this replica's other instances until this warning goes"
