// Package scene holds deterministic states of an instance for the console's
// tests and pictures, and a controller that plays them.
package scene

import (
	"fmt"
	"math"
	"strings"
	"time"

	"tdreplica/core"
)

// Now is the moment at which every scene takes place.
var Now = time.Date(2026, 3, 14, 14, 3, 22, 0, time.UTC)

const (
	siteA = "http://td1:6041"
	siteB = "http://td2:6041"
)

// What an engine says about the scenes' troubles.
const (
	refused = "apply 21,480 bytes of rows of vgroup 5, read at offset 1,935,241: write rows at http://td1:6041: dial tcp 10.0.3.7:6041: connect: connection refused; is taosAdapter running there? By default it listens on port 6041"
	gap     = "read vgroup 11 of database `factory` at http://td2:6041: WAL versions 52118 to 60002 were deleted before they were read; they were written after 2026-03-14T13:01:40Z, when the last message before them was applied, and before 2026-03-14T13:22:41Z; `repair otter factory --gap` goes on behind them and copies what is missing; raise the source's wal_retention_period"
)

// Empty is an instance without replicas.
func Empty() *core.Snapshot {
	return &core.Snapshot{Seq: 1, At: Now, Instance: core.Instance{
		Name: "site-a", ID: "9f3c", Running: true, PID: 4711, Version: "1.0.0", StateDir: "/var/lib/tdreplica",
		Since: Now.Add(-12*24*time.Hour - 4*time.Hour),
	}}
}

func replica(id, source, sink, back string) core.Replica {
	return core.Replica{ID: id, Source: source, Sink: sink, Origin: core.FromConfig, AllDatabases: true,
		CheckIntervalS: 1800, Workers: 4, StartFrom: "earliest", TwoWay: back, MaxLagS: 60, MaxInterruptedS: 300}
}

func task(r core.Replica, n int, db string, vgroups int) core.Task {
	t := core.Task{Replica: r.ID, Number: n, Source: r.Source, Sink: r.Sink, Database: db,
		State: core.Running, Phase: core.CaughtUp, Desired: core.WantRunning, Since: Now.Add(-53 * time.Hour),
		EtaMS: core.Unknown, IdleMS: 400, Rate: core.Rate{Messages: 42, Bytes: 3.1e6, Rows: 96_400, Versions: 1130},
		Totals: core.Totals{Messages: 8_112_904, Bytes: 412 << 30, Rows: 9_111_222_333, Retries: 3, Commits: 88_120, DDL: 41},
		Topic:  "tdr_" + db, Group: "tdr.9f3c." + r.ID + "." + db, Workers: 4, QueueBytes: 96 << 10, QueueLimit: 64 << 20,
		LastCommit: Now.Add(-600 * time.Millisecond), SourceVersion: "3.3.7.5", SinkVersion: "3.4.1.0", Precision: "ms",
		WALRetentionS: 72 * 3600, MeasuredAt: Now, History: make([]int64, 60)}
	for i := range vgroups {
		at := int64(1_902_114 + i*33_127)
		t.Vgroups = append(t.Vgroups, core.Vgroup{ID: int32(4 + i), Current: at, Committed: at, Latest: at,
			Rate: 282.5, EtaMS: core.Unknown, LastAt: Now.Add(-time.Duration(400+37*i) * time.Millisecond), State: "caught up",
			History: make([]int64, 60)})
	}
	return t
}

// behind makes a task catch up with diff WAL versions to go.
func behind(t core.Task, diff int64) core.Task {
	t.Phase, t.Diff, t.Trend, t.LagMS, t.EtaMS, t.QueueBytes = core.CatchingUp, diff, -1, 830, 3_100, 3_250_000
	t.Rate = core.Rate{Messages: 1610, Bytes: 38.2 * (1 << 20), Rows: 1.21e6, Versions: 41_200}
	for i := range t.History {
		t.History[i] = diff + int64(float64(diff)*float64(59-i)/9)
	}
	n := int64(len(t.Vgroups))
	for i := range t.Vgroups {
		v := &t.Vgroups[i]
		v.Diff = diff / n
		v.Latest, v.Committed = v.Current+v.Diff, v.Current-24
		v.Rate, v.LagMS, v.EtaMS = 10_300+float64(i*40), 790+int64(i)*13, 3_000
		v.State = []string{"reading", "writing", "waits for DDL", "reading"}[i%4]
		v.History = t.History
	}
	return t
}

// idle is a task whose source has been quiet for d.
func idle(t core.Task, d time.Duration) core.Task {
	t.IdleMS = d.Milliseconds()
	t.Rate = core.Rate{Rows: float64(core.Unknown)}
	for i := range t.Vgroups {
		t.Vgroups[i].Rate, t.Vgroups[i].LastAt, t.Vgroups[i].State = 0, Now.Add(-d), "idle"
	}
	return t
}

func interrupted(t core.Task) core.Task {
	t.State, t.Phase, t.Since = core.Interrupted, "", Now.Add(-12*time.Second)
	t.Note = refused
	t.LastError = t.Note
	t.Retry = core.Retry{Tries: 3, Next: Now.Add(8 * time.Second)}
	t.Diff, t.Trend, t.LagMS, t.Rate = 37, 1, 12_000, core.Rate{Rows: float64(core.Unknown)}
	for i := range t.History {
		t.History[i] = max(0, int64(i-54)*7)
	}
	for i := range t.Vgroups {
		v := &t.Vgroups[i]
		v.Diff, v.LagMS, v.State, v.Rate = 9, 12_000, "waits", 0
		v.Latest = v.Current + 9
	}
	return t
}

func failed(t core.Task) core.Task {
	t.State, t.Phase, t.Since = core.Failed, "", Now.Add(-41*time.Minute)
	t.Note = gap
	t.LastError = t.Note
	t.Diff, t.LagMS, t.Rate = 1204, 41*60_000, core.Rate{Rows: float64(core.Unknown)}
	for i := range t.History {
		t.History[i] = int64(i * 20)
	}
	for i := range t.Vgroups {
		v := &t.Vgroups[i]
		v.ID, v.Diff, v.LagMS, v.State, v.Rate = int32(11+i), 602, 41*60_000, "stopped", 0
		v.Latest, v.LastAt = v.Current+602, Now.Add(-41*time.Minute)
	}
	return t
}

func stopped(t core.Task) core.Task {
	t.State, t.Phase, t.Desired, t.Since = core.Stopped, "", core.WantStopped, Now.Add(-26*time.Hour)
	t.Diff, t.LagMS, t.Rate = core.Unknown, core.Unknown, core.Rate{Rows: float64(core.Unknown)}
	t.Vgroups, t.History = nil, nil
	return t
}

// TwoWay is a healthy pair of sites, replicated both ways.
func TwoWay() *core.Snapshot {
	s := Empty()
	maple, otter := replica("maple", siteA, siteB, "otter"), replica("otter", siteB, siteA, "maple")
	s.Replicas = []core.Replica{maple, otter}
	s.Tasks = []core.Task{
		task(maple, 1, "power", 4), task(maple, 2, "factory", 2), idle(task(maple, 3, "metering", 2), 12*time.Minute),
		task(otter, 1, "power", 4), idle(task(otter, 2, "工厂数据", 2), 3*time.Hour),
	}
	return s
}

// CatchingUp has one task with a backlog.
func CatchingUp() *core.Snapshot {
	s := TwoWay()
	s.Tasks[0] = behind(s.Tasks[0], 12_480)
	return s
}

// Interrupted has a sink that does not answer.
func Interrupted() *core.Snapshot {
	s := CatchingUp()
	s.Tasks[3] = interrupted(s.Tasks[3])
	return s
}

// Failed is everything at once: the sketch of the console.
func Failed() *core.Snapshot {
	s := Interrupted()
	s.Tasks[4] = failed(s.Tasks[4])
	s.Tasks[4].Database = "factory"
	heron := replica("heron", siteA, "https://dr.example:6041", "")
	s.Replicas = append([]core.Replica{heron}, s.Replicas...)
	s.Tasks = append([]core.Task{stopped(task(heron, 1, "power", 4))}, s.Tasks...)
	return s
}

// Long has the longest names: 64 Chinese characters, an id and addresses that
// somebody chose.
func Long() *core.Snapshot {
	s := Empty()
	r := replica("north-sea-platforms-to-the-archive", "https://platform-17.north-sea.example:6041", "https://archive.example:6041", "")
	s.Replicas = []core.Replica{r}
	name := strings.Repeat("北海第十七号钻井平台传感器数据库", 4)
	s.Tasks = []core.Task{
		behind(task(r, 1, name, 4), 123_456_789_012),
		interrupted(task(r, 2, "a_database_with_a_name_of_sixty_four_characters_0123456789_abcd", 2)),
		task(r, 3, "a_database_with_a_name_of_sixty_four_characters_0123456789_abce", 2),
	}
	return s
}

// Many is an instance with n tasks of v vgroups each.
func Many(n, v int) *core.Snapshot {
	s := Empty()
	words := []string{"maple", "otter", "heron", "cedar", "lynx", "birch", "raven", "alder", "finch", "aspen"}
	for i := range n {
		id := words[i%len(words)]
		r := replica(id, siteA, fmt.Sprintf("http://edge-%02d:6041", i%len(words)), "")
		if s.Replica(id) == nil {
			s.Replicas = append(s.Replicas, r)
		}
		t := task(r, i/len(words)+1, fmt.Sprintf("plant_%03d", i), v)
		switch {
		case i%97 == 13:
			t = interrupted(t)
		case i%17 == 3:
			t = behind(t, int64(1000+i*37))
		case i%5 == 2:
			t = idle(t, time.Duration(i)*time.Minute)
		case i%211 == 200:
			t = failed(t)
		}
		s.Tasks = append(s.Tasks, t)
	}
	return s
}

// Events are those of the scenes, oldest first.
func Events() []core.Event {
	engine := core.Actor{Via: "engine"}
	at := func(h, m, s int) time.Time { return time.Date(2026, 3, 14, h, m, s, 0, time.UTC) }
	all := []core.Event{
		{At: at(7, 59, 58), Level: core.LevelInfo, Kind: core.EventCommand, Replica: "maple", Actor: core.Actor{Via: "config"}, Text: "declared: created"},
		{At: at(8, 0, 1), Level: core.LevelInfo, Kind: core.EventInstance, Actor: engine, Text: "the instance started"},
		{At: at(11, 12, 40), Level: core.LevelInfo, Kind: core.EventCommand, Replica: "maple", Database: "metering", Actor: core.Actor{Via: "console", User: "lin"}, Text: "start: created"},
		{At: at(11, 12, 41), Level: core.LevelInfo, Kind: core.EventState, Replica: "maple", Database: "metering", Actor: engine, Text: "running"},
		{At: at(13, 22, 41), Level: core.LevelError, Kind: core.EventGap, Replica: "otter", Database: "factory", Actor: engine, Text: "failed: " + gap},
		{At: at(14, 2, 57), Level: core.LevelInfo, Kind: core.EventDDL, Replica: "maple", Database: "power", Actor: engine, Text: "alter table meters add column phase float"},
		{At: at(14, 3, 10), Level: core.LevelWarn, Kind: core.EventState, Replica: "otter", Database: "power", Actor: engine, Text: "interrupted: " + refused},
	}
	for i := range all {
		all[i].Seq = uint64(i + 1)
	}
	return all
}

// Detail is the detail of a task of a snapshot.
func Detail(s *core.Snapshot, k core.TaskKey) *core.TaskDetail {
	t := s.Task(k)
	if t == nil {
		return nil
	}
	d := &core.TaskDetail{Task: *t, Replica: *s.Replica(t.Replica)}
	for i := range 90 {
		wave := 20 + 14*math.Sin(float64(i)/7) + 5*math.Sin(float64(i)/2)
		p := core.Throughput{At: Now.Truncate(10 * time.Second).Add(time.Duration(i-89) * 10 * time.Second), LagMS: int64(400 + 30*wave)}
		p.Bytes = int64(wave * (1 << 20) * min(10, Now.Sub(p.At).Seconds()))
		d.Minutes = append(d.Minutes, p)
	}
	for i := range 280 { // it was not there yet for the first forty minutes
		wave := 22 + 15*math.Sin(float64(i)/45)
		lag := int64(500)
		if i > 180 && i < 198 {
			lag = int64(i-180) * 3_000
		}
		p := core.Throughput{At: Now.Truncate(5 * time.Minute).Add(time.Duration(i-279) * 5 * time.Minute), LagMS: lag}
		p.Bytes = int64(wave * (1 << 20) * min(300, Now.Sub(p.At).Seconds()))
		d.Day = append(d.Day, p)
	}
	d.DDL = []core.DDLRecord{
		{At: Now.Add(-26 * time.Hour), Vgroup: 4, Text: "create table meters (ts timestamp, current float, voltage int) tags (site int)"},
		{At: Now.Add(-25 * time.Second), Vgroup: 5, Text: "alter table meters add column phase float"},
	}
	if t.State == core.Failed {
		d.Gaps = []core.Gap{{At: t.Since, Vgroup: 11, From: 52_118, To: 60_003}}
		d.Poisoned = 2
	}
	return d
}

// Candidates are what Inspect finds.
func Candidates() []core.Candidate {
	return []core.Candidate{
		{Database: "power", AtSource: true, AtSink: true, Precision: "ms", Vgroups: 4},
		{Database: "factory", AtSource: true, AtSink: true, Precision: "ms", Vgroups: 2, Warnings: []string{"the WAL is kept for 1 h only"}},
		{Database: "metering", AtSource: true, Precision: "us", Vgroups: 2, Problems: []string{"does not exist at the sink"}},
		{Database: "archive", AtSource: true, AtSink: true, Precision: "ns", Vgroups: 8, Problems: []string{"the precision differs: ns at the source, ms at the sink"}},
		{Database: "工厂数据", AtSource: true, AtSink: true, Precision: "ms", Vgroups: 2},
	}
}
